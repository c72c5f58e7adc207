"""The parts of a stream that neither read nor write."""

import json

import pytest

import pyapns
from pyapns._http import MalformedResponse, ResponseReader, checked_fields, chunk
from pyapns._lines import Lines


def test_every_item_has_exactly_one_end():
    lines = Lines()
    for number in range(6):
        lines.add({"token": f"0{number}", "payload": {}, "identifier": number})
        if number in (1, 3):
            lines.take_group()
    answer = json.dumps({"outcome": "accepted", "token": "00", "identifier": 0}).encode() + b"\n"
    head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert [one.identifier for one in lines.feed(head + chunk(answer))] == [0]
    ended = lines.lost(1, "it closed the connection")
    assert [(one.identifier, one.outcome) for one in ended] == [
        (1, "unknown"),
        (2, "unknown"),
        (3, "not_sent"),
        (4, "not_sent"),
        (5, "not_sent"),
    ]
    assert lines.unanswered == 0


@pytest.mark.parametrize("split", range(1, 90, 7))
def test_a_response_is_read_in_any_pieces(split):
    whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole += b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n"
    reader = ResponseReader()
    for at in range(0, len(whole), split):
        assert not reader.is_complete
        reader.feed(whole[at : at + split])
    assert (reader.is_complete, reader.keeps_alive, reader.status) == (True, True, 200)
    assert (reader.headers["x-a"], reader.take()) == ("b", b"hello!")


def test_the_end_of_a_body_is_its_length_or_the_end_of_the_connection():
    with_length = ResponseReader()
    with_length.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
    assert with_length.is_complete and with_length.keeps_alive
    without = ResponseReader()
    without.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert not without.is_complete and without.end() and without.take() == b"ab" and not without.keeps_alive
    cut_off = ResponseReader()
    cut_off.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab")
    assert not cut_off.end()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_response_is_an_error(answer):
    with pytest.raises(MalformedResponse):
        ResponseReader().feed(answer)


@pytest.mark.parametrize("name, value", [("X", "a\r\nY: b"), ("X\n", "a"), ("X Y", "a"), ("", "a"), ("X", "a\0")])
def test_no_header_can_end_its_line(name, value):
    with pytest.raises(ValueError, match="does not allow"):
        checked_fields([(name, value)])


def test_no_path_and_no_revision_can_begin_another_request():
    client = pyapns.Client("http://127.0.0.1:1", retries=0)
    with pytest.raises(ValueError, match="does not allow"):
        client._request("GET", "apps HTTP/1.1\r\nX: y")
    with pytest.raises(ValueError, match="does not allow"):
        client.remove("x", "sandbox", revision="1\r\nX: y")
    with pytest.raises(pyapns.ConnectionFailed):
        client.app("x\r\n/../y z", "sandbox")
