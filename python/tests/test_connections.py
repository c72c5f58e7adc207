"""Threads, forks, API keys, TLS and Unix sockets, with real nodes."""

import asyncio
import concurrent.futures
import os
import signal
import subprocess
import threading
import time

import pytest

import pyapns
from pyapns.aio import AsyncClient
from pyapns.testing import push_service


def test_threads_share_a_client_and_its_connections(client, app, pyapns_service):
    found, errors = [], []

    def work(thread):
        try:
            for number in range(25):
                outcome = client.send(*app, f"{thread:02x}{number:02x}", {"aps": {}}, identifier=f"{thread} {number}")
                found.append((outcome.identifier, outcome.token))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    expected = {(f"{thread} {number}", f"{thread:02x}{number:02x}") for thread in range(8) for number in range(25)}
    assert set(found) == expected and len(pyapns_service.ledger.accepted()) == 200
    assert len(client._pool._idle[0]) <= 8


def test_more_threads_than_connections_wait_for_their_turn(pyapns_service, app):
    with pyapns_service.client(connections=2) as client:
        threads = [threading.Thread(target=client.send, args=(*app, f"{number:02x}", {})) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(pyapns_service.ledger.accepted()) == 12 and len(client._pool._idle[0]) <= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_its_own_connections(client, app, pyapns_service):
    assert client.send(*app, "00", {"aps": {}}).is_accepted
    children = []
    for child in range(3):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ok = all(client.send(*app, f"{child:02x}{n:02x}", {}).token == f"{child:02x}{n:02x}" for n in range(20))
                code = 0 if ok else 2
            finally:
                os._exit(code)
        children.append(pid)
    parent = [client.send(*app, f"ff{number:02x}", {}).token for number in range(20)]
    assert parent == [f"ff{number:02x}" for number in range(20)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert len(pyapns_service.ledger.accepted()) == 81


def made_key(program, *scopes):
    """An API key and its entry for the configuration, as `pyapns key` makes them."""
    command = [program, "key", "--id", "shop"]
    for scope in scopes:
        command += ["--scope", scope]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    key = next(word for word in made.stderr.split() if word.startswith("shop."))
    return key, made.stdout


def test_api_keys_and_a_unix_socket(tmp_path):
    from pyapns._find import find_program

    key, entry = made_key(find_program(), "admin")
    socket = str(tmp_path / "api.sock")
    with push_service(settings=entry, listen=f"unix:{socket}", key=key) as service:
        assert service.client().send(service.app_id, "sandbox", "0a", {"aps": {}}).is_accepted
        by_path = pyapns.Client(unix_socket=socket, key=key)
        assert [one.app_id for one in by_path.apps()] == [service.app_id] * 2
        assert len(list(by_path.stream(service.app_id, "sandbox", [{"token": "0a", "payload": {}}] * 5))) == 5
        as_password = pyapns.Client(unix_socket=socket)
        with pytest.raises(pyapns.Unauthorized) as missing:
            as_password.apps()
        assert (missing.value.status, missing.value.reason) == (401, "api_key_missing")
        as_password.connection.auth = tuple(key.split(".", 1))
        assert len(as_password.apps()) == 2
        with pytest.raises(pyapns.Unauthorized) as unknown:
            pyapns.Client(unix_socket=socket, key="shop.wrong").apps()
        assert unknown.value.reason == "api_key_unknown"
        secret = key.split(".", 1)[1]
        assert secret not in repr(by_path) + repr(by_path.__dict__) + str(unknown.value)


def minted(folder):
    """A self-signed certificate for 127.0.0.1."""
    files = str(folder / "server.pem"), str(folder / "server.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
        check=True,
        capture_output=True,
    )
    return files


def test_tls_trusts_only_the_given_authority(tmp_path):
    certificate, key = minted(tmp_path)
    settings = f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with push_service(settings=settings, ca=certificate) as service:
        assert service.url.startswith("https://")
        with service.client() as client:
            for number in range(3):
                assert client.send(service.app_id, "sandbox", f"0{number}", {}).is_accepted
            assert len(client._pool._idle[0]) == 1, "the connection is kept alive"
            items = ({"token": f"{number:04x}", "payload": {"aps": {}}} for number in range(3000))
            outcomes = list(client.stream(service.app_id, "sandbox", items))
            assert len(outcomes) == 3000 and all(one.is_accepted for one in outcomes)
        with pytest.raises(pyapns.ConnectionFailed, match="certificate") as failed:
            pyapns.Client(service.url, retries=0).is_healthy()
        assert failed.value.sent == "no"
        careless = pyapns.Client(service.url)
        careless.connection.verify = False
        assert careless.is_healthy() is True


def test_a_pause_longer_than_the_nodes_patience_continues_on_a_new_connection(monkeypatch):
    """Both clients at the same time, with a node that closes a stream after one silent second."""
    monkeypatch.setattr("pyapns._stream.SILENT_SECONDS", 0.7)
    monkeypatch.setattr("pyapns._aio_stream.SILENT_SECONDS", 0.7)

    def pausing():
        for number in range(6):
            if number == 3:
                time.sleep(2)
            yield {"token": f"0{number}", "payload": {}}
        time.sleep(2)

    async def pausing_for_asyncio():
        for number in range(6):
            if number == 3:
                await asyncio.sleep(2)
            yield {"token": f"0{number}", "payload": {}}
        await asyncio.sleep(2)

    async def asynchronous(service):
        async with AsyncClient(service.url) as client:
            items = pausing_for_asyncio()
            return [one.token async for one in client.stream(service.app_id, "sandbox", items)]

    expected = [f"0{number}" for number in range(6)]
    settings = "[limits]\nidle_seconds = 1\n"
    with push_service(settings=settings) as service, concurrent.futures.ThreadPoolExecutor() as threads:
        other = threads.submit(asyncio.run, asynchronous(service))
        outcomes = service.client().stream(service.app_id, "sandbox", pausing())
        assert [one.token for one in outcomes] == expected
        assert other.result(30) == expected


def test_a_node_killed_under_load_tells_every_notification_one_thing():
    """Calls and a stream, while the node dies by SIGKILL: the client doubles nothing, and says no wrong thing."""
    with push_service() as service:
        app = (service.app_id, "sandbox")
        client = service.client(timeout=5)
        told, taken, at_work = {}, [], threading.Event()

        def tell(token, word):
            assert token not in told, f"{token} was told twice"
            told[token] = word

        def calls(thread):
            for number in range(100_000):
                token = f"aa{thread:02x}{number:08x}"
                try:
                    tell(token, client.send(*app, token, {"aps": {}}).outcome)
                except pyapns.ConnectionFailed as error:
                    tell(token, {"no": "not_sent", "maybe": "unknown"}[error.sent])
                    return
                if number == 1:
                    at_work.set()

        def items():
            for number in range(10_000_000):
                taken.append(f"bb{number:08x}")
                yield {"token": taken[-1], "payload": {"aps": {}}}

        def stream():
            with pytest.raises(pyapns.ConnectionFailed):
                for outcome in client.stream(*app, items()):
                    tell(outcome.token, outcome.outcome)

        threads = [threading.Thread(target=calls, args=(thread,)) for thread in range(3)]
        threads.append(threading.Thread(target=stream))
        for thread in threads:
            thread.start()
        assert at_work.wait(30)
        os.kill(service.process, signal.SIGKILL)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        at_apple = [entry.token for entry in service.ledger.entries()]
    assert {token for token in told if token.startswith("bb")} == set(taken)
    assert len(at_apple) == len(set(at_apple)), "none is doubled"
    arrived = set(at_apple)
    for token, word in told.items():
        assert word in ("accepted", "unknown", "not_sent")
        assert word != "accepted" or token in arrived
        assert word != "not_sent" or token not in arrived
    assert arrived <= set(told)
    assert "unknown" in told.values()
