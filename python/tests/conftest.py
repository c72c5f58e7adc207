"""The package against a real node and simulator, which `pyapns.testing` starts."""

import itertools
import os
import socket
import threading

import pytest

pytest_plugins = ["pyapns.testing"]


@pytest.fixture
def busy_service(request):
    """A service for streams of any length. In the long form, its ledger only counts."""
    from pyapns.testing import push_service

    if os.environ.get("PYAPNS_TEST_FULL"):
        with push_service(keeps_entries=False) as service:
            yield service
    else:
        yield request.getfixturevalue("pyapns_service")


@pytest.fixture
def client(pyapns_service):
    """A client of the running node."""
    with pyapns_service.client() as client:
        yield client


@pytest.fixture
def app(pyapns_service):
    """The arguments that name an app of the running node."""
    return pyapns_service.app_id, "sandbox"


class ScriptedServer:
    """A server that does what its script says for each connection. It counts them, and keeps what they sent."""

    def __init__(self, script):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._script = script
        self.received = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for number in itertools.count():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.received.append(b"")
            threading.Thread(target=self._answer, args=(number, connection), daemon=True).start()

    def _answer(self, number, connection):
        with connection:
            connection.settimeout(10)
            try:
                self._script(self, number, connection)
            except OSError:
                pass

    def read(self, number, connection, end):
        """Read until the bytes of this connection contain `end`."""
        while end not in self.received[number]:
            data = connection.recv(65536)
            if not data:
                break
            self.received[number] += data
        return self.received[number]

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def scripted():
    """A factory of servers with a script `(server, number of the connection, socket)`."""
    servers = []

    def start(script):
        servers.append(ScriptedServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def closed_url():
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"
