"""Broadcast channels: what goes out, and what is repeated."""

import asyncio

import pytest

import pyapns
from pyapns.aio import AsyncClient
from pyapns.model import Channel

APP = ("x", "sandbox")
# Apple's ids are base64, in which these characters need an escape in a path.
ID = "aB+/c=="


class Blocking:
    """The asynchronous client with the methods of the synchronous one."""

    def __init__(self, *args, **options):
        self._client = AsyncClient(*args, **options)

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *args, **options: asyncio.run(method(*args, **options))


both_clients = pytest.mark.parametrize("client_of", [pyapns.Client, Blocking], ids=["sync", "async"])


def answer(connection, status, body):
    connection.sendall(
        b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)
    )


def first_line(server, number):
    return server.received[number].split(b"\r\n")[0].decode()


def body_of(server, number):
    return server.received[number].split(b"\r\n\r\n")[1].decode()


@both_clients
def test_each_call_has_its_method_path_and_body(scripted, client_of):
    channel = b'{"type": "channel", "id": "aB+/c==", "message_storage_policy": 1, "push_type": "LiveActivity"}'
    answers = [
        (201, b'{"response": %b, "code": 201}' % channel, b"policy"),
        (200, b'{"response": %b, "code": 200}' % channel, b"\r\n\r\n"),
        (200, b'{"response": {"type": "channel"}, "code": 200}', b"\r\n\r\n"),
        (201, b'{"response": {"outcome": "accepted", "channel": "aB+/c=="}, "code": 201}', b"payload"),
        (201, b'{"response": [{"outcome": "accepted", "channel": "aB+/c=="}], "code": 201}', b"payload"),
    ]

    def script(server, number, connection):
        status, body, end = answers[number]
        server.read(number, connection, end)
        answer(connection, status, body)

    server = scripted(script)
    client = client_of(server.url)
    created = client.create_channel(*APP, 1)
    assert created == Channel(ID, 1, "LiveActivity") == client.channel(*APP, ID)
    assert client.delete_channel(*APP, ID) is None
    outcome = client.broadcast(*APP, ID, {"aps": {}}, expiry=7, priority=5, identifier="goal")
    assert (outcome.outcome, outcome.channel, outcome.token) == ("accepted", ID, "")
    [outcome] = client.broadcast_list(*APP, [{"channel": ID, "payload": {}}])
    assert outcome.is_accepted
    escaped = "/apps/x/sandbox/channels/aB%2B%2Fc%3D%3D"
    assert [first_line(server, number) for number in range(3)] == [
        "POST /apps/x/sandbox/channels HTTP/1.1",
        f"GET {escaped} HTTP/1.1",
        f"DELETE {escaped} HTTP/1.1",
    ]
    assert first_line(server, 3).startswith("POST /apps/x/sandbox/broadcasts")
    assert body_of(server, 0) == '{"message_storage_policy":1}'
    assert (
        body_of(server, 3) == '{"channel":"aB+/c==","payload":{"aps":{}},"expiry":7,"priority":5,"identifier":"goal"}'
    )
    assert body_of(server, 4) == '[{"channel":"aB+/c==","payload":{}}]'


@both_clients
@pytest.mark.parametrize("call", ["create_channel", "broadcast", "broadcast_list", "delete_channel"])
def test_what_may_have_arrived_is_not_repeated(scripted, client_of, call):
    def closes(server, number, connection):
        server.read(number, connection, b"}" if call != "delete_channel" else b"\r\n\r\n")

    server = scripted(closes)
    client = client_of([server.url, server.url])
    arguments = {
        "create_channel": (1,),
        "broadcast": (ID, {"aps": {}}),
        "broadcast_list": ([{"channel": ID, "payload": {}, "identifier": 1}],),
        "delete_channel": (ID,),
    }
    with pytest.raises(pyapns.ConnectionFailed) as failed:
        getattr(client, call)(*APP, *arguments[call])
    assert failed.value.sent == "maybe" and len(server.received) == 1


@both_clients
def test_reading_is_repeated_and_the_list_has_all_pages(scripted, client_of):
    def script(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        pages = {1: ('{"id": "a"}, {"id": "b"}', "1"), 2: ('{"id": "c"}', "2"), 3: ("", "2")}
        if number:
            entries, cursor = pages[number]
            answer(connection, 200, f'{{"response": [{entries}], "cursor": "{cursor}", "code": 200}}'.encode())

    server = scripted(script)
    assert [one.id for one in client_of(server.url).channels(*APP)] == ["a", "b", "c"]
    assert [("cursor=" in first_line(server, number)) for number in range(4)] == [False, False, True, True]


def test_what_is_no_broadcast_is_an_error_before_anything_is_sent(closed_url):
    client = pyapns.Client(closed_url)
    with pytest.raises(ValueError, match="Unknown broadcast: 7"):
        client.broadcast_list(*APP, [{"channel": ID, "payload": {}}, 7])
