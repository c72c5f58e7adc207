"""The asynchronous client: the same methods as `Client`, with the same results, for asyncio."""

import asyncio
import concurrent.futures
import inspect
import ssl
import time

import pytest
from test_stream import MANY, notifications

import pyapns
from pyapns._aio_transport import LoopPool
from pyapns.aio import AsyncClient
from pyapns.testing import push_service


def run(work):
    """Run a coroutine function with a time limit."""
    return asyncio.run(asyncio.wait_for(work(), None if MANY > 100_000 else 60))


def public(kind):
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


def test_both_clients_have_the_same_methods_with_the_same_parameters():
    assert set(public(AsyncClient)) == set(public(pyapns.Client))
    for name in [*public(pyapns.Client), "__init__", "_request"]:
        sync, asynchronous = getattr(pyapns.Client, name), getattr(AsyncClient, name)
        if isinstance(sync, property):
            continue
        one, other = inspect.signature(sync), inspect.signature(asynchronous)
        if name == "stream":
            assert str(other.parameters["notifications"]).endswith("AsyncIterable[NotificationLike]]'")
            one = one.replace(parameters=[p for p in one.parameters.values() if p.name != "notifications"])
            other = other.replace(parameters=[p for p in other.parameters.values() if p.name != "notifications"])
        assert list(one.parameters.values()) == list(other.parameters.values()), name
        result = str(one.return_annotation).replace("Iterator[", "AsyncIterator[")
        assert result == str(other.return_annotation), name
        is_stream = "Iterator[" in result
        assert name == "__init__" or inspect.iscoroutinefunction(asynchronous) != is_stream, name
    assert pyapns.AsyncClient is AsyncClient


def test_the_methods_return_what_those_of_the_synchronous_client_return(pyapns_service, app):
    service = pyapns_service

    async def work():
        async with AsyncClient(service.url) as client:
            await client.provision("com.example.aio", "sandbox", service.simulator.certificate)
            aio = ("com.example.aio", "sandbox")
            assert ("com.example.aio", "sandbox") in [(one.app_id, one.environment) for one in await client.apps()]
            service.simulator.make_dead("0d", "0e")
            service.simulator.make_bad("0b")
            outcome = await client.send(*aio, "0a", {"aps": {"alert": "é"}}, identifier="i", expiry=0)
            assert isinstance(outcome, pyapns.Outcome) and outcome.is_accepted and outcome.identifier == "i"
            assert [one["outcome"] for one in await client.notify(*aio, [pyapns.Notification("0a", {})])] == [
                "accepted"
            ]
            words = [one.outcome for one in await client.send_to_tokens(*aio, ["0d", "0e", "0b"], {})]
            assert words == ["rejected"] * 3
            assert (await client.send_list(*aio, [{"token": "0c", "payload": {}}]))[0].token == "0c"
            page = await client.feedback_page(*aio, limit=1)
            assert await client.acknowledge_feedback(*aio, page.cursor) == 1
            assert [one.token async for one in client.iter_feedback(*aio, ack=False, limit=1)] == ["0e", "0b"]
            assert [one["token"] for one in await client.feedback(*aio)] == ["0e", "0b"]
            assert await client.feedback(*aio) == []
            log = await client.disconnections_page(*aio)
            assert [one.reason for one in log.entries] == ["BadDeviceToken"]
            assert [one.code async for one in client.iter_disconnections(*aio, ack=False)] == [8]
            assert [event.code for event in await client.disconnections(*aio)] == [8]
            assert await client.acknowledge_disconnections(*aio, log.cursor) == 0
            assert (await client.held_feedback(*aio)).count == 0
            assert await client.settle_held(*aio, "release") == 0
            assert await client.is_healthy() and (await client.readiness()).is_ready
            assert "pyapns_" in await client.metrics()
            assert (await client._request("GET", "apps"))[0] == 200
            assert (await client.app(*aio)).state == "ok"
            await client.remove(*aio)
            with pytest.raises(pyapns.NotProvisioned):
                await client.send(*aio, "0a", {})

    run(work)


def test_many_sends_at_once_share_the_connections(pyapns_service, app):
    async def work():
        async with AsyncClient(pyapns_service.url, connections=8) as client:
            sends = [client.send(*app, f"{number:04x}", {}, identifier=number) for number in range(200)]
            outcomes = await asyncio.gather(*sends)
            assert [(one.identifier, one.token) for one in outcomes] == [(n, f"{n:04x}") for n in range(200)]
            assert 1 <= len(client._pool._here().idle[0]) <= 8

    run(work)
    assert len(pyapns_service.ledger.accepted()) == 200


def test_a_cancelled_send_gives_its_place_back_and_its_connection_is_not_used_again(pyapns_service, app):
    pyapns_service.simulator.script({"faults": [{"times": 1, "act": {"silence": {"processed": False}}}]})

    async def work():
        async with AsyncClient(pyapns_service.url, connections=1) as client:
            silent = asyncio.ensure_future(client.send(*app, "0a", {}))
            await asyncio.to_thread(_wait_for_requests, pyapns_service, 1)
            waiting = asyncio.ensure_future(client.send(*app, "0b", {}))
            given_up = asyncio.ensure_future(client.send(*app, "0c", {}))
            await asyncio.sleep(0)
            given_up.cancel()
            silent.cancel()
            assert (await waiting).token == "0b"
            assert (await client.send(*app, "0d", {})).token == "0d"

    run(work)


def test_a_place_that_was_given_to_a_cancelled_call_goes_to_the_next_one():
    async def work():
        pool = LoopPool(1, 1)
        await pool.enter()
        cancelled = asyncio.ensure_future(pool.enter())
        await asyncio.sleep(0)
        pool.leave()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await asyncio.wait_for(pool.enter(), 5)

    run(work)


def _wait_for_requests(service, count):
    while service.ledger.totals()["requests"] < count:
        time.sleep(0.01)


def test_event_loops_in_threads_share_a_client_but_no_connection(pyapns_service, app):
    client = AsyncClient(pyapns_service.url)

    async def work():
        outcomes = await asyncio.gather(*(client.send(*app, f"{number:04x}", {}) for number in range(40)))
        await client.close()
        return [one.token for one in outcomes]

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = [done.result(30) for done in [threads.submit(run, work) for _ in range(4)]]
    assert found == [[f"{number:04x}" for number in range(40)]] * 4


def test_a_client_works_in_one_event_loop_after_another(pyapns_service, app):
    client = AsyncClient(pyapns_service.url)
    for number in range(3):

        async def work(token=f"0{number}"):
            return await client.send(*app, token, {})

        assert run(work).token == f"0{number}"


def test_what_may_have_arrived_is_not_repeated_and_the_rest_is(scripted, closed_url, pyapns_service, app):
    def closes(server, number, connection):
        server.read(number, connection, b'"payload"')

    server = scripted(closes)

    async def work():
        with pytest.raises(pyapns.ConnectionFailed) as failed:
            await AsyncClient(server.url).send("x", "sandbox", "0a", {}, identifier="i")
        assert failed.value.sent == "maybe"
        both = AsyncClient([closed_url, pyapns_service.url])
        assert (await both.send(*app, "0a", {})).is_accepted
        assert len([one async for one in both.stream(*app, notifications(3))]) == 3
        with pytest.raises(pyapns.ConnectionFailed) as unreachable:
            await AsyncClient(closed_url, retries=1).is_healthy()
        assert unreachable.value.sent == "no"

    run(work)
    assert len(server.received) == 1


@pytest.fixture
def over_tls(scripted, tmp_path):
    """A factory of servers as `scripted` makes them, behind TLS: a server, and a client that trusts it."""
    from test_connections import minted

    certificate, key = minted(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def start(script):
        def encrypted(server, number, connection):
            with context.wrap_socket(connection, server_side=True) as secure:
                script(server, number, secure)

        server = scripted(encrypted)
        return server, AsyncClient(f"https://127.0.0.1:{server.port}", ca=certificate)

    return start


def test_sends_over_tls_share_a_connection(over_tls):
    def answers(server, number, connection):
        for sent in range(3):
            server.read(number, connection, b'{"badge":%d}' % sent)
            body = b'{"response": {"outcome": "accepted", "token": "0a"}, "code": 201}'
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def work():
        server, client = over_tls(answers)
        for number in range(3):
            assert (await client.send("x", "sandbox", "0a", {"aps": {"badge": number}})).is_accepted
        assert len(server.received) == 1

    run(work)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 201 Created\r\nContent-Le"])
def test_a_request_that_left_whole_over_tls_may_have_arrived_and_is_not_repeated(over_tls, part):
    def closes(server, number, connection):
        server.read(number, connection, b'"payload"')
        connection.sendall(part)
        time.sleep(0.1)

    async def work():
        server, client = over_tls(closes)
        with pytest.raises(pyapns.ConnectionFailed) as failed:
            await client.send("x", "sandbox", "0a", {}, identifier="i")
        assert failed.value.sent == "maybe" and len(server.received) == 1

    run(work)


def test_a_silent_node_ends_a_call_at_the_time_limit(scripted):
    def silent(server, number, connection):
        server.read(number, connection, b"never")

    async def work():
        with pytest.raises(pyapns.ConnectionFailed, match="time limit") as failed:
            await AsyncClient(scripted(silent).url, timeout=0.3).settle_held("x", "sandbox", "drop")
        assert failed.value.sent == "maybe"

    run(work)


def test_the_time_limit_holds_for_all_nodes_together_and_the_next_call_uses_the_next_node(
    scripted, pyapns_service, app
):
    def silent(server, number, connection):
        server.read(number, connection, b"never")

    hung = scripted(silent)

    async def work():
        began = time.monotonic()
        with pytest.raises(pyapns.ConnectionFailed):
            await AsyncClient([hung.url] * 4, timeout=1).is_healthy()
        assert time.monotonic() - began < 2
        client = AsyncClient([hung.url, pyapns_service.url], timeout=1)
        with pytest.raises(pyapns.ConnectionFailed):
            await client.is_healthy()
        assert (await client.send(*app, "0a", {})).is_accepted

    run(work)
    assert len(hung.received) == 2


def test_after_a_stream_that_broke_the_next_call_uses_the_next_node(scripted, pyapns_service, app):
    def breaks(server, number, connection):
        server.read(number, connection, b'"payload"')

    broken = scripted(breaks)

    async def work():
        client = AsyncClient([broken.url, pyapns_service.url])
        with pytest.raises(pyapns.ConnectionFailed):
            assert [one async for one in client.stream(*app, [{"token": "0a", "payload": {}}])]
        assert (await client.send(*app, "0a", {})).is_accepted

    run(work)
    assert len(broken.received) == 1


def test_a_unix_socket_and_a_key_work(tmp_path):
    from test_connections import made_key

    from pyapns._find import find_program

    key, entry = made_key(find_program(), "admin")
    socket = str(tmp_path / "api.sock")
    with push_service(settings=entry, listen=f"unix:{socket}", key=key) as service:

        async def work():
            async with AsyncClient(unix_socket=socket, key=key) as client:
                assert (await client.send(service.app_id, "sandbox", "0a", {})).is_accepted
                outcomes = [one async for one in client.stream(service.app_id, "sandbox", notifications(5))]
                assert len(outcomes) == 5

        run(work)
