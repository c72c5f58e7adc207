"""The streams of the asynchronous client."""

import asyncio
import contextlib
import os
import queue
import re
import signal
import socket
import threading
import time

import pytest
from test_aio import run
from test_stream import MANY, long_notifications, notifications, resident_bytes

import pyapns
from pyapns.aio import AsyncClient
from pyapns.testing import push_service


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="measures memory as Linux shows it")
@pytest.mark.parametrize("kind", ["iterable", "asynchronous"])
def test_a_stream_of_a_generator_takes_constant_memory_and_keeps_the_order(busy_service, app, kind):
    count = MANY if kind == "iterable" else MANY // 4

    async def asynchronous():
        for item in notifications(count):
            yield item

    async def work():
        settled, after = 0, 0
        async with AsyncClient(busy_service.url) as client:
            items = notifications(count) if kind == "iterable" else asynchronous()
            async for outcome in client.stream(*app, items):
                assert (outcome.identifier, outcome.outcome) == (after, "accepted")
                after += 1
                if after == count // 4:
                    settled = resident_bytes()
        assert after == count
        assert resident_bytes() - settled < 8 << 20

    run(work)
    assert busy_service.ledger.totals()["accepted"] == count


def test_an_item_goes_out_while_the_iterable_waits_for_the_next_one(pyapns_service, app):
    """A queue, for example: neither the item nor its outcome waits for the next item."""

    async def work():
        queue = asyncio.Queue()

        async def items():
            while (item := await queue.get()) is not None:
                yield item

        async with AsyncClient(pyapns_service.url) as client:
            stream = client.stream(*app, items())
            for number in range(5):
                for part in range(number):
                    await queue.put({"token": "0a", "payload": {}, "identifier": f"{number} {part}"})
                for part in range(number):
                    assert (await stream.__anext__()).identifier == f"{number} {part}"
            await queue.put(None)
            assert [one async for one in stream] == []

    run(work)


def test_a_reader_that_pauses_holds_the_stream_back(pyapns_service, app):
    taken = []

    async def work():
        async with AsyncClient(pyapns_service.url) as client:
            stream = client.stream(*app, notifications(1_000_000, taken))
            await stream.__anext__()
            before = -1
            while before != len(taken):
                before = len(taken)
                await asyncio.sleep(0.2)
            assert len(taken) < 100_000
            await stream.aclose()

    run(work)


def test_an_error_of_the_iterable_is_raised_after_the_outcomes_before_it(pyapns_service, app):
    async def faulty():
        for item in notifications(5):
            yield item
        raise ZeroDivisionError

    async def work():
        found = []
        async with AsyncClient(pyapns_service.url) as client:
            with pytest.raises(ZeroDivisionError):
                async for outcome in client.stream(*app, faulty()):
                    found.append(outcome.outcome)
            with pytest.raises(ValueError, match="Unknown notification"):
                async for outcome in client.stream(*app, [{"token": "0a", "payload": {}}, 7]):
                    found.append(outcome.outcome)
        assert found == ["accepted"] * 6

    run(work)


def test_a_refused_stream_tells_each_item_that_it_was_not_sent_and_raises(pyapns_service):
    taken, found = [], []

    async def work():
        async with AsyncClient(pyapns_service.url) as client:
            with pytest.raises(pyapns.NotProvisioned):
                async for outcome in client.stream("nobody", "sandbox", notifications(1_000_000, taken)):
                    found.append(outcome)

    run(work)
    assert [one.identifier for one in found] == taken
    assert {(one.outcome, one.reason) for one in found} <= {("not_sent", "unknown_app")}


def test_a_broken_stream_tells_each_item_one_thing(scripted, app):
    def breaks(server, number, connection):
        server.read(number, connection, b'"identifier":1}')
        line = b'{"outcome":"accepted","token":"0a","identifier":0}\n'
        connection.sendall(
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(line), line)
        )
        time.sleep(0.3)

    taken, found = [], []

    async def work():
        client = AsyncClient(scripted(breaks).url)
        with pytest.raises(pyapns.ConnectionFailed) as failed:
            async for outcome in client.stream(*app, long_notifications(taken)):
                found.append(outcome)
        assert failed.value.sent == "maybe"

    run(work)
    assert [one.identifier for one in found] == taken
    words = [one.outcome for one in found]
    assert words[0] == "accepted" and words.count("unknown") > 100
    assert words == sorted(words, key=["accepted", "unknown", "not_sent"].index)


@pytest.mark.parametrize("ends", ["breaks", "refuses", "is not there"])
def test_no_item_is_taken_while_the_caller_handles_the_last_outcomes(scripted, app, ends, closed_url):
    def script(server, number, connection):
        server.read(number, connection, b'"identifier":1}')
        if ends == "refuses":
            body = b'{"error": "x", "code": 404, "type": "error", "reason": "unknown_app", "args": {}}'
            connection.sendall(b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    url = closed_url if ends == "is not there" else scripted(script).url
    taken, found = [], []

    async def work():
        waiting = asyncio.Queue()

        async def items():
            while True:
                taken.append(await waiting.get())
                yield {"token": "0a", "payload": {}, "identifier": taken[-1]}

        for number in range(2):
            waiting.put_nowait(number)
        with pytest.raises(pyapns.ClientError):
            async for outcome in AsyncClient(url, retries=0).stream(*app, items()):
                found.append(outcome.identifier)
                waiting.put_nowait(len(found) + 1)
                for _ in range(20):
                    await asyncio.sleep(0)

    run(work)
    assert found == taken and len(found) in (1, 2)


def test_an_item_that_ended_as_not_sent_is_not_written_while_the_caller_handles_the_outcomes(monkeypatch, app):
    """The node reads nothing until the client gives up, and then everything that comes."""
    monkeypatch.setattr("pyapns._calls.MARGIN", 0)
    gave_up, received = threading.Event(), []

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            gave_up.wait(10)
            with contextlib.suppress(ConnectionResetError):
                while received.append(connection.recv(1 << 20)) or received[-1]:
                    pass

    async def one_by_one():
        for item in long_notifications([]):
            yield item
            await asyncio.sleep(0)

    async def work():
        words = {}
        client = AsyncClient(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=1, request_timeout=1)
        with pytest.raises(pyapns.ConnectionFailed):
            async for outcome in client.stream(*app, one_by_one()):
                words[outcome.identifier] = outcome.outcome
                if not gave_up.is_set():
                    gave_up.set()
                    await asyncio.to_thread(node.join, 5)
        return words

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        node = threading.Thread(target=serve, daemon=True)
        node.start()
        words = run(work)
    arrived = {int(number) for number in re.findall(rb'"identifier":(\d+)\}', b"".join(received))}
    not_sent = {number for number, word in words.items() if word == "not_sent"}
    assert not_sent and arrived
    assert not not_sent & arrived


def test_an_iterable_that_yields_when_it_is_cancelled_gets_an_outcome_for_that_item_and_ends(scripted, app):
    def breaks(server, number, connection):
        server.read(number, connection, b'"identifier":0}')

    found = []

    async def stubborn():
        yield {"token": "0a", "payload": {}, "identifier": 0}
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        yield {"token": "0a", "payload": {}, "identifier": 1}

    async def work():
        with pytest.raises(pyapns.ConnectionFailed):
            async for outcome in AsyncClient(scripted(breaks).url).stream(*app, stubborn()):
                found.append((outcome.identifier, outcome.outcome))

    run(work)
    assert found == [(0, "unknown"), (1, "not_sent")]


def test_a_stream_that_the_caller_closes_closes_its_connection(scripted, app):
    closed = queue.SimpleQueue()

    def answers(server, number, connection):
        server.read(number, connection, b'"identifier":0}')
        line = b'{"outcome":"accepted","token":"0a","identifier":0}\n'
        head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"%x\r\n%b\r\n" % (len(line), line))
        try:
            server.read(number, connection, b"never")
        finally:
            closed.put(number)

    async def work():
        stream = AsyncClient(scripted(answers).url).stream(*app, notifications(1_000_000))
        await stream.__anext__()
        await stream.aclose()
        assert await asyncio.to_thread(closed.get, True, 5) == 0

    run(work)


def test_a_silent_stream_ends_its_request_and_the_next_item_opens_another(scripted, app, monkeypatch):
    """A proxy may forget a silent connection without closing it."""
    monkeypatch.setattr("pyapns._aio_stream.SILENT_SECONDS", 0.1)
    ended = queue.SimpleQueue()

    def answers(server, number, connection):
        server.read(number, connection, b'"identifier":%d' % number)
        line = b'{"outcome":"accepted","token":"0a","identifier":%d}\n' % number
        head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"%x\r\n%b\r\n" % (len(line), line))
        server.read(number, connection, b"\r\n0\r\n\r\n")
        connection.sendall(b"0\r\n\r\n")
        ended.put(number)

    async def pausing():
        yield {"token": "0a", "payload": {}, "identifier": 0}
        while ended.empty():
            await asyncio.sleep(0.01)
        yield {"token": "0a", "payload": {}, "identifier": 1}

    server = scripted(answers)

    async def work():
        return [one.identifier async for one in AsyncClient(server.url).stream(*app, pausing())]

    assert run(work) == [0, 1] and len(server.received) == 2


def test_a_node_killed_under_load_tells_every_notification_one_thing():
    """Sends and a stream, while the node dies by SIGKILL: the client doubles nothing, and says no wrong thing."""
    with push_service() as service:
        app, told, taken = (service.app_id, "sandbox"), {}, []

        def tell(token, word):
            assert token not in told, f"{token} was told twice"
            told[token] = word

        async def calls(client, task):
            for number in range(100_000):
                token = f"aa{task:02x}{number:08x}"
                try:
                    tell(token, (await client.send(*app, token, {"aps": {}})).outcome)
                except pyapns.ConnectionFailed as error:
                    tell(token, {"no": "not_sent", "maybe": "unknown"}[error.sent])
                    return

        def items():
            while True:
                taken.append(f"bb{len(taken):08x}")
                yield {"token": taken[-1], "payload": {"aps": {}}}

        async def stream(client):
            with pytest.raises(pyapns.ConnectionFailed):
                async for outcome in client.stream(*app, items()):
                    tell(outcome.token, outcome.outcome)

        async def work():
            client = AsyncClient(service.url, timeout=5)
            sends = [asyncio.ensure_future(calls(client, task)) for task in range(32)]
            while len(told) < 64:
                await asyncio.sleep(0.01)
            streaming = asyncio.ensure_future(stream(client))
            while not any(token.startswith("bb") for token in told):
                await asyncio.sleep(0.01)
            os.kill(service.process, signal.SIGKILL)
            await asyncio.gather(*sends, streaming)

        run(work)
        at_apple = [entry.token for entry in service.ledger.entries()]
    assert {token for token in told if token.startswith("bb")} == set(taken)
    assert len(at_apple) == len(set(at_apple)), "none is doubled"
    arrived = set(at_apple)
    assert arrived <= set(told) and "unknown" in told.values()
    assert {token for token, word in told.items() if word == "accepted"} <= arrived
    assert not {token for token, word in told.items() if word == "not_sent"} & arrived
