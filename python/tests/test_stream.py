"""Streams: any number of notifications, in constant memory, and one outcome for each item that was taken."""

import os
import socket
import struct
import threading
import time

import pytest

import pyapns

MANY = 1_000_000 if os.environ.get("PYAPNS_TEST_FULL") else int(os.environ.get("PYAPNS_TEST_STREAMED", 20_000))


def notifications(count, taken=None):
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield {"token": f"{number:08x}", "payload": {"aps": {"badge": 1}}, "identifier": number}


def long_notifications(taken):
    """More bytes than a socket takes, before the client has as many without an outcome as it allows."""
    for item in notifications(10_000, taken):
        item["payload"]["text"] = "x" * 3000
        yield item


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="measures memory as Linux shows it")
def test_a_stream_of_a_generator_takes_constant_memory_and_keeps_the_order(busy_service, app):
    settled, after = None, 0
    client = busy_service.client()
    for number, outcome in enumerate(client.stream(*app, notifications(MANY))):
        assert (outcome.identifier, outcome.outcome) == (number, "accepted")
        after += 1
        if number == MANY // 4:
            settled = resident_bytes()
    assert after == MANY
    assert resident_bytes() - settled < 8 << 20
    assert busy_service.ledger.totals()["accepted"] == MANY


def test_an_empty_stream_has_no_outcomes(client, app):
    assert list(client.stream(*app, [])) == []


def test_a_line_that_the_node_refuses_is_an_outcome_and_the_stream_goes_on(client, app):
    items = [{"token": "0a", "payload": {}}, {"token": "x", "payload": {}}, {"token": "0b", "payload": {}}]
    first, second, third = client.stream(*app, items)
    assert (first.outcome, third.outcome) == ("accepted", "accepted")
    assert (second.outcome, second.reason) == ("rejected", "token_not_hex") and "not hex" in second.error


def test_the_outcome_of_a_slow_item_arrives_before_the_next_item_is_sent(client, app, pyapns_service):
    arrived = []

    def slow():
        for number in range(3):
            # Each item goes out at once, though the iterable is slow.
            pyapns_service.ledger.wait_for(number)
            arrived.append(number)
            yield {"token": f"{number:04x}", "payload": {}}
            time.sleep(0.01)

    assert len(list(client.stream(*app, slow()))) == 3 and arrived == [0, 1, 2]


def test_an_error_of_the_iterable_is_raised_after_the_outcomes_before_it(client, app):
    def faulty():
        yield from notifications(5)
        raise ZeroDivisionError("in the generator")

    found = []
    with pytest.raises(ZeroDivisionError):
        for outcome in client.stream(*app, faulty()):
            found.append(outcome.outcome)
    assert found == ["accepted"] * 5


def test_an_item_that_is_no_notification_ends_the_stream_as_an_error_of_the_iterable(client, app):
    found = []
    with pytest.raises(ValueError, match="Unknown notification"):
        for outcome in client.stream(*app, [{"token": "0a", "payload": {}}, 7, {"token": "0b", "payload": {}}]):
            found.append(outcome.token)
    assert found == ["0a"]


def test_a_stream_that_is_left_early_closes_the_generator(client, app):
    closed = []

    def watched():
        try:
            yield from notifications(1_000_000)
        finally:
            closed.append(True)

    stream = client.stream(*app, watched())
    assert next(stream).identifier == 0
    stream.close()
    del stream
    assert closed == [True]


def test_the_rest_of_an_iterable_goes_out_on_another_stream_after_a_break(client, app, scripted):
    def closes(server, number, connection):
        server.read(number, connection, b'"identifier":0')

    items = notifications(500)
    found = []
    with pytest.raises(pyapns.ConnectionFailed):
        for outcome in pyapns.Client(scripted(closes).url).stream(*app, items):
            found.append(outcome.identifier)
    found += [outcome.identifier for outcome in client.stream(*app, items)]
    assert found == list(range(500))


def test_a_refused_stream_tells_each_item_that_it_was_not_sent_and_raises(client):
    taken, found = [], []
    with pytest.raises(pyapns.NotProvisioned):
        for outcome in client.stream("nobody", "sandbox", notifications(1_000_000, taken)):
            found.append(outcome)
    assert [one.identifier for one in found] == taken and len(taken) < 100_000
    assert {(one.outcome, one.reason) for one in found} <= {("not_sent", "unknown_app")}


def test_a_stream_uses_the_next_address_when_the_first_cannot_be_reached(pyapns_service, app, closed_url):
    client = pyapns.Client([closed_url, pyapns_service.url])
    assert len(list(client.stream(*app, notifications(10)))) == 10


def test_nothing_is_taken_when_no_node_can_be_reached(app, closed_url):
    taken = []
    with pytest.raises(pyapns.ConnectionFailed) as failed:
        list(pyapns.Client(closed_url, retries=0).stream(*app, notifications(10, taken)))
    assert failed.value.sent == "no" and taken == []


def test_a_broken_stream_tells_what_is_unknown_and_what_was_not_written(scripted, app):
    """The server answers two lines, and reads no more. It disconnects once the client's socket takes no more."""

    def breaks(server, number, connection):
        server.read(number, connection, b'"identifier":1}')
        lines = [b'{"outcome":"accepted","token":"0a","identifier":%d}\n' % number for number in range(2)]
        connection.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines))
        time.sleep(0.5)

    taken, found = [], []
    client = pyapns.Client(scripted(breaks).url)
    with pytest.raises(pyapns.ConnectionFailed) as failed:
        for outcome in client.stream(*app, long_notifications(taken)):
            found.append(outcome)
    assert failed.value.sent == "maybe"
    assert [one.identifier for one in found] == taken, "each item that was taken has one outcome, in order"
    words = [one.outcome for one in found]
    assert words[:2] == ["accepted", "accepted"]
    unknown = [one for one in found if one.outcome == "unknown"]
    unwritten = words.count("not_sent")
    assert len(unknown) + unwritten == len(words) - 2 and len(unknown) > 100
    assert {one.reason for one in found[2:]} == {"connection_lost"}
    assert words == sorted(words, key=["accepted", "unknown", "not_sent"].index)


def test_an_item_of_which_no_byte_was_written_was_not_sent(scripted, app):
    is_closed = threading.Event()

    def resets(server, number, connection):
        server.read(number, connection, b'"identifier":0')
        # Closing sends RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        is_closed.set()

    def items():
        yield {"token": "0a", "payload": {}, "identifier": 0}
        assert is_closed.wait(10)
        yield {"token": "0b", "payload": {}, "identifier": 1}
        raise AssertionError("the iterable is read no further")

    found = []
    with pytest.raises(pyapns.ConnectionFailed):
        for outcome in pyapns.Client(scripted(resets).url).stream(*app, items()):
            found.append((outcome.identifier, outcome.outcome, outcome.reason))
    assert found == [(0, "unknown", "connection_lost"), (1, "not_sent", "connection_lost")]
