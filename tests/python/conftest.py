"""The real programs, started for each test session: the simulator and a node that delivers to it."""

import json
import os
import pathlib
import subprocess
import time
import uuid

import pytest

from control import Control
from rest import Rest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PYAPNS_TEST_PROGRAM", str(ROOT / "target/debug/pyapns"))


def until(condition, seconds=20):
    """Polls until `condition` is true, and returns it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
    return value


class Process:
    """A program and its first line of output, after which it is ready."""

    def __init__(self, *arguments, program=PROGRAM, **variables):
        command = [str(program), *map(str, arguments)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
        self.said = self.child.stdout.readline().strip()
        assert self.said, f"{arguments} said nothing"

    def stop(self):
        self.child.terminate()
        assert self.child.wait(timeout=30) == 0


@pytest.fixture(scope="session")
def simulator(tmp_path_factory):
    process = Process(
        "simulator", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--dir", tmp_path_factory.mktemp("apple")
    )
    yield json.loads(process.said)
    process.stop()


@pytest.fixture
def control(simulator):
    """The simulator's control port; a test's settings there end with the test."""
    control = Control(simulator["control"])
    control.post("/reset")
    yield control
    control.post("/reset")


def start_node(simulator, directory, settings="", program=PROGRAM):
    """A node that uses the simulator for both of Apple's environments, and its `host:port`."""
    config = directory / "pyapns.toml"
    gateway = "https://" + simulator["listen"]
    channels = "".join(f'{name}_channels = "https://{address}"\n' for name, address in simulator["channels"].items())
    config.write_text(
        f'{settings}\n[apple]\nsandbox = "{gateway}"\nproduction = "{gateway}"\nca_file = "{simulator["ca_file"]}"\n'
        + channels
    )
    arguments = ["--config", config, "--listen", "127.0.0.1:0", "--data-dir", directory / "data"]
    process = Process("serve", *arguments, program=program)
    return process, process.said.rsplit("http://", 1)[1]


@pytest.fixture(scope="session")
def node(simulator, tmp_path_factory):
    """The `host:port` of a node."""
    process, address = start_node(simulator, tmp_path_factory.mktemp("node"))
    yield address
    process.stop()


@pytest.fixture
def old_node(simulator, tmp_path):
    """The `host:port` of a fresh node with the JSON configuration of pyapns 0.5, and the app that recorded requests name."""
    config = tmp_path / "config.json"
    certificate = pathlib.Path(simulator["certificate_file"]).resolve()
    app = {"app_id": "com.example.app", "cert": str(certificate), "environment": "sandbox", "timeout": 15}
    log = {"log_file_name": "pyapns.log", "log_file_dir": ".", "log_file_rotate_length": 10**9, "log_file_max_rotate": 10}
    settings = {"host": "localhost", **log, "port": 7077, "rest_port": 0, "autoprovision": [app]}
    config.write_text(json.dumps(settings, indent=4))
    gateway = "https://" + simulator["listen"]
    apple = {"PYAPNS_APPLE_SANDBOX": gateway, "PYAPNS_APPLE_PRODUCTION": gateway}
    apple["PYAPNS_APPLE_CA_FILE"] = str(pathlib.Path(simulator["ca_file"]).resolve())
    process = Process("serve", "--config", config, "--data-dir", tmp_path / "data", **apple)
    yield process.said.rsplit("http://", 1)[1]
    process.stop()


@pytest.fixture
def client(node):
    return Rest(node)


@pytest.fixture
def app(client, simulator):
    """A freshly provisioned app, as `/apps/<name>/<environment>`."""
    path = f"/apps/old.{uuid.uuid4().hex[:8]}/sandbox"
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    status, answer = client.call("POST", path, {"certificate": certificate, "timeout": 15})
    assert status == 201, answer
    return path
