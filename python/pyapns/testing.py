"""A real node with a simulator of Apple, for the tests of your own sender.

In pytest, name this module in `conftest.py`, and use the fixture `pyapns_service`:

    pytest_plugins = ["pyapns.testing"]

    def test_the_order_is_announced(pyapns_service):
        announce(order, url=pyapns_service.url)
        [delivery] = pyapns_service.ledger.accepted()
        assert delivery.payload["aps"]["alert"] == "Your order is on its way"

Elsewhere, `push_service()` is a context manager.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ._find import ProgramNotFound, find_program
from .client import Client

__all__ = ["APP_ID", "Delivery", "Ledger", "ProgramNotFound", "PushService", "Simulator", "push_service"]

# The app that a service has in both environments.
APP_ID = "com.example.app"

START_SECONDS = 60.0
STOP_SECONDS = 40.0


@dataclass(frozen=True)
class Delivery:
    """A request that the simulator got, and its answer to it. `accepted` is Apple's 200."""

    token: str
    payload: Any
    accepted: bool
    status: Optional[int] = None
    reason: Optional[str] = None
    topic: Optional[str] = None
    push_type: Optional[str] = None
    priority: Optional[str] = None
    expiration: Optional[str] = None
    collapse_id: Optional[str] = None
    apns_id: Optional[str] = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_simple(cls, data: Mapping[str, Any]) -> Delivery:
        """Return the delivery of an entry of the ledger. A payload that is not JSON stays text or bytes."""
        body = data["body"]
        payload: Any = base64.b64decode(body["base64"]) if isinstance(body, dict) else body
        with contextlib.suppress(ValueError):
            payload = json.loads(payload)
        names = ("status", "reason", "topic", "push_type", "priority", "expiration", "collapse_id", "apns_id")
        fields = {name: data.get(name) for name in names}
        return cls(data["token"], payload, data["accepted"], **fields, raw=data)


class Simulator:
    """The control port of a simulator: which tokens are dead, and how it answers."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.gateway: str = said["listen"]
        self.control: str = said["control"]
        self.ca_file: str = said["ca_file"]
        self.certificate_file: str = said["certificate_file"]
        self.identity: Mapping[str, Any] = said

    @property
    def certificate(self) -> str:
        """The PEM of a push certificate and its key, which every app can be provisioned with."""
        with open(self.certificate_file) as file:
            return file.read()

    def get(self, path: str) -> Any:
        """Return what the control port answers."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any = None) -> Any:
        """Post JSON to the control port."""
        return self._call("POST", path, json.dumps(body))

    def _call(self, method: str, path: str, body: Optional[str]) -> Any:
        connection = http.client.HTTPConnection(self.control, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            parsed = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"the simulator refused {method} {path}: {parsed.get('error')}")
        return parsed

    def reset(self) -> None:
        """Forget tokens, script and ledger."""
        self.post("/reset")

    def make_dead(self, *tokens: str, reason: str = "Unregistered") -> None:
        """Answer 410 for these tokens."""
        self.post("/tokens", [{"token": token, "state": "dead", "reason": reason} for token in tokens])

    def make_bad(self, *tokens: str) -> None:
        """Answer 400 `BadDeviceToken` for these tokens."""
        self.post("/tokens", [{"token": token, "state": "bad"} for token in tokens])

    def answer(self, status: int, reason: str, *, token: Optional[str] = None, times: Optional[int] = None) -> None:
        """Answer so, to one token or to all; `times` times, or always. It replaces the script."""
        fault: Dict[str, Any] = {"act": {"answer": {"status": status, "reason": reason}}}
        if token is not None:
            fault["token"] = token
        if times is not None:
            fault["times"] = times
        self.script({"faults": [fault]})

    def script(self, script: Mapping[str, Any]) -> None:
        """Replace the script; its fields are in the simulator's README."""
        self.post("/script", script)


class Ledger:
    """Everything that arrived at the simulator since the last reset, in order."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def entries(self, token: Optional[str] = None) -> List[Delivery]:
        """Return all requests, or those for one device token."""
        found: List[Delivery] = []
        cursor = 0
        while True:
            page = self._simulator.get(f"/ledger?cursor={cursor}&limit=10000")["entries"]
            if not page:
                return found
            found += [Delivery.from_simple(one) for one in page if token in (None, one["token"])]
            cursor = page[-1]["sequence"] + 1

    def accepted(self, token: Optional[str] = None) -> List[Delivery]:
        """Return the requests that were answered with 200."""
        return [one for one in self.entries(token) if one.accepted]

    def totals(self) -> Mapping[str, Any]:
        """Return the sums: `requests`, `accepted` and others."""
        totals: Mapping[str, Any] = self._simulator.get("/")["totals"]
        return totals

    def wait_for(self, count: int, seconds: float = 10.0) -> List[Delivery]:
        """Return the accepted requests once they are `count`, for a sender that works in the background.

        Raises:
            AssertionError: there are fewer after `seconds`.
        """
        until = time.monotonic() + seconds
        while self.totals()["accepted"] < count:
            if time.monotonic() > until:
                raise AssertionError(f"{self.totals()['accepted']} of {count} notifications arrived in {seconds:g} s")
            time.sleep(0.02)
        return self.accepted()


class PushService:
    """A node that delivers to a simulator. `url` is the node's REST API, `app_id` an app in both environments."""

    app_id = APP_ID

    def __init__(self, url: str, simulator: Simulator, process: int, options: Mapping[str, Any]) -> None:
        self._options = options
        self.url = url
        self.simulator = simulator
        self.ledger = Ledger(simulator)
        # The node's process id, for tests that end it.
        self.process = process

    def client(self, **options: Any) -> Client:
        """Return a client of the node, with these options of `Client`."""
        return Client(self.url, **{**self._options, **options})

    def provision(self, app_id: str = APP_ID, environments: Sequence[str] = ("sandbox", "production")) -> None:
        """Provision an app with the simulator's certificate."""
        with self.client() as client:
            for environment in environments:
                client.provision(app_id, environment, self.simulator.certificate)

    def reset(self) -> None:
        """Remove what a test left: the simulator's state, all feedback, disconnections, an app that does not send."""
        self.simulator.reset()
        with self.client() as client:
            for app in client.apps():
                if app.state != "ok":
                    client.provision(app.app_id, app.environment, self.simulator.certificate)
                client.settle_held(app.app_id, app.environment, "drop")
                client.feedback(app.app_id, app.environment)
                client.disconnections(app.app_id, app.environment)


@contextlib.contextmanager
def _process(program: str, arguments: Sequence[str], folder: str) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """Run a program, and yield it with its first line of output."""
    with open(os.path.join(folder, f"{arguments[0]}.log"), "w+") as log:
        process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        too_late = threading.Timer(START_SECONDS, process.kill)
        too_late.start()
        try:
            said = process.stdout.readline().strip()
            too_late.cancel()
            if not said:
                log.seek(0)
                raise RuntimeError(f"`pyapns {arguments[0]}` does not start: {log.read()[-2000:]}")
            yield process, said
        finally:
            too_late.cancel()
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


@contextlib.contextmanager
def push_service(
    program: Optional[str] = None,
    settings: str = "",
    listen: str = "127.0.0.1:0",
    keeps_entries: bool = True,
    **options: Any,
) -> Iterator[PushService]:
    """Run a simulator and a node, and stop them at the end.

    Args:
        program: the daemon; without it, the installed one.
        settings: more settings of the node, as TOML. `[apple]` is taken.
        listen: the node's address. Port 0 takes a free one.
        keeps_entries: false for measurements: the ledger only counts, in constant memory.
        options: those of `Client` that the node requires, such as `key`.

    Raises:
        ProgramNotFound: there is no daemon on this machine.
    """
    program = program or find_program()
    with tempfile.TemporaryDirectory(prefix="pyapns-") as folder:
        apple = ["simulator", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--dir", folder + "/apple"]
        apple += [] if keeps_entries else ["--ledger", "counts"]
        with _process(program, apple, folder) as (_, said):
            simulator = Simulator(json.loads(said))
            config = os.path.join(folder, "pyapns.toml")
            gateway = f"https://{simulator.gateway}"
            with open(config, "w") as file:
                file.write(f"drain_notice_seconds = 0\n{settings}\n[apple]\n")
                file.write(f'sandbox = "{gateway}"\nproduction = "{gateway}"\nca_file = "{simulator.ca_file}"\n')
            node = ["serve", "--config", config, "--data-dir", folder + "/data", "--listen", listen]
            with _process(program, node, folder) as (process, said):
                service = PushService(said.split(" on ", 1)[1].split()[0], simulator, process.pid, options)
                service.provision()
                yield service


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture(scope="session")
    def pyapns_running() -> Iterator[PushService]:
        """A service for the whole test session. Tests use `pyapns_service`."""
        with push_service() as service:
            yield service

    @pytest.fixture
    def pyapns_service(pyapns_running: PushService) -> Iterator[PushService]:
        """A service as new: an empty ledger, no dead tokens, no feedback."""
        pyapns_running.reset()
        yield pyapns_running
