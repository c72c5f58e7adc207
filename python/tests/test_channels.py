"""Broadcast channels: what goes out, and what is repeated."""

import asyncio
import time

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
        "POST /apps/x/sandbox/channels?timeout=18 HTTP/1.1",
        f"GET {escaped}?timeout=18 HTTP/1.1",
        f"DELETE {escaped}?timeout=18 HTTP/1.1",
    ]
    assert first_line(server, 3) == "POST /apps/x/sandbox/broadcasts?timeout=18 HTTP/1.1"
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
def test_a_broadcast_is_repeated_if_the_caller_prefers_duplicates_and_names_it(scripted, client_of):
    def second_time(server, number, connection):
        server.read(number, connection, b"payload")
        if number == 1:
            answer(connection, 201, b'{"response": {"outcome": "accepted", "channel": "a"}, "code": 201}')

    server = scripted(second_time)
    assert client_of(server.url).broadcast(*APP, "a", {}, identifier=1, retry_unknown=True).is_accepted
    assert len(server.received) == 2 and "retry_unknown=true" in first_line(server, 0)


@both_clients
def test_a_change_without_an_answer_of_apple_may_have_been_made(pyapns_service, app, client_of):
    pyapns_service.simulator.script({"faults": [{"times": 1, "act": {"silence": {"processed": True}}}]})
    client = client_of(pyapns_service.url, timeout=3)
    with pytest.raises(pyapns.ApiError) as failed:
        client.create_channel(*app, 1)
    assert (failed.value.status, failed.value.reason, failed.value.sent) == (504, "unknown", "maybe")
    assert len(client.channels(*app)) == 1


@both_clients
def test_reading_is_repeated_and_the_list_has_all_pages(scripted, client_of, monkeypatch):
    monkeypatch.setattr("pyapns._channels.PAGE", 2)

    def script(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        pages = {1: ('{"id": "a"}, {"id": "b"}', "1"), 2: ('{"id": "c"}', "2")}
        if number:
            entries, cursor = pages[number]
            answer(connection, 200, f'{{"response": [{entries}], "cursor": "{cursor}", "code": 200}}'.encode())

    server = scripted(script)
    assert [one.id for one in client_of(server.url).channels(*APP)] == ["a", "b", "c"]
    assert [("cursor=" in first_line(server, number)) for number in range(3)] == [False, False, True]
    assert len(server.received) == 3


def test_what_is_no_broadcast_is_an_error_before_anything_is_sent(closed_url):
    client = pyapns.Client(closed_url)
    with pytest.raises(ValueError, match="Unknown broadcast: 7"):
        client.broadcast_list(*APP, [{"channel": ID, "payload": {}}, 7])


@both_clients
def test_channels_of_both_policies_get_three_broadcasts_each_and_are_deleted(pyapns_service, app, client_of):
    client = client_of(pyapns_service.url)
    channels = [client.create_channel(*app, policy) for policy in (0, 1)]
    assert [one.message_storage_policy for one in channels] == [0, 1]
    assert sorted(one.id for one in client.channels(*app)) == sorted(one.id for one in channels)
    assert [client.channel(*app, one.id) for one in channels] == channels
    expiry = int(time.time()) + 3600
    for channel in channels:
        stored = channel.message_storage_policy == 1
        options = {"expiry": expiry, "priority": 5} if stored else {}
        outcome = client.broadcast(*app, channel.id, {"aps": {"event": "1"}}, identifier="first", **options)
        assert (outcome.outcome, outcome.channel, outcome.identifier) == ("accepted", channel.id, "first")
        items = [{"channel": channel.id, "payload": {"aps": {"event": event}}, "identifier": event} for event in "23"]
        outcomes = client.broadcast_list(*app, items)
        assert [(one.outcome, one.channel, one.identifier) for one in outcomes] == [
            ("accepted", channel.id, event) for event in "23"
        ]
        delivered = [one for one in pyapns_service.ledger.accepted() if one.channel == channel.id]
        assert [one.call for one in delivered] == ["broadcast"] * 3
        assert sorted(one.payload["aps"]["event"] for one in delivered) == ["1", "2", "3"]
        assert (delivered[0].expiration, delivered[0].priority) == ((str(expiry), "5") if stored else ("0", "10"))
        assert [one["broadcasts"] for one in pyapns_service.simulator.channels() if one["id"] == channel.id] == [3]
    for channel in channels:
        client.delete_channel(*app, channel.id)
        outcome = client.broadcast(*app, channel.id, {"aps": {}})
        assert (outcome.outcome, outcome.reason) == ("rejected", "ChannelNotRegistered")
    assert client.channels(*app) == [] == pyapns_service.simulator.channels()


@both_clients
def test_what_apple_refuses_of_channels_is_an_error_or_a_rejected_outcome(pyapns_service, app, client_of):
    client = client_of(pyapns_service.url)
    with pytest.raises(pyapns.ApiError) as policy:
        client.create_channel(*app, 2)
    assert (policy.value.status, policy.value.sent) == (400, "no")
    with pytest.raises(pyapns.ApiError) as unknown:
        client.channel(*app, "AAAAAAAAAAAAAAAAAAAAAA==")
    assert unknown.value.reason and pyapns_service.simulator.channels() == []
    channel = client.create_channel(*app, 0)
    outcome = client.broadcast(*app, channel.id, {"aps": {}}, expiry=int(time.time()) + 60)
    assert (outcome.outcome, outcome.status, outcome.reason) == ("rejected", 400, "BadExpirationDate")
    with pytest.raises(pyapns.ApiError) as item:
        client.broadcast_list(*app, [{"channel": channel.id, "payload": {}}, {"payload": {}}])
    assert item.value.status == 400 and item.value.sent == "no"
    with pytest.raises(pyapns.NotProvisioned):
        client.channels("nobody", "sandbox")
