"""The real programs, each test session its own: Apple's stand-in and a node that delivers to it."""

import json
import os
import pathlib
import subprocess

import pytest

from control import Control

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PYAPNS_TEST_PROGRAM", str(ROOT / "target/debug/pyapns"))


class Process:
    """A program, and the first line it printed: it is ready then."""

    def __init__(self, *arguments):
        self.child = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
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
    """The simulator's control port; what a test sets there ends with it."""
    control = Control(simulator["control"])
    control.post("/reset")
    yield control
    control.post("/reset")


def start_node(simulator, directory, settings=""):
    """A node that takes the simulator for both of Apple's environments, and its `host:port`."""
    config = directory / "pyapns.toml"
    gateway = "https://" + simulator["listen"]
    config.write_text(
        f'{settings}\n[apple]\nsandbox = "{gateway}"\nproduction = "{gateway}"\nca_file = "{simulator["ca_file"]}"\n'
    )
    process = Process(
        "serve", "--config", config, "--listen", "127.0.0.1:0", "--data-dir", directory / "data"
    )
    return process, process.said.rsplit("http://", 1)[1]


@pytest.fixture(scope="session")
def node(simulator, tmp_path_factory):
    """The `host:port` of a node."""
    process, address = start_node(simulator, tmp_path_factory.mktemp("node"))
    yield address
    process.stop()
