"""deploy/supervisord/pyapns.conf under the real supervisord."""

import getpass
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import pytest

from conftest import PROGRAM, ROOT, until
from rest import Rest, notification

CONF = ROOT / "deploy/supervisord/pyapns.conf"
APP = "/apps/com.example.app/sandbox"
BIN = pathlib.Path(sys.executable).parent


class Supervisord:
    """supervisord with the file of this repository, whose paths are replaced by those of a test."""

    def __init__(self, folder, simulator):
        self.config = folder / "pyapns.toml"
        self.log = folder / "pyapns.log"
        gateway = "https://" + simulator["listen"]
        self.config.write_text(
            f'listen = "127.0.0.1:0"\ndata_dir = "{folder}/data"\nreload_seconds = 0\n'
            f'[apple]\nsandbox = "{gateway}"\nca_file = "{pathlib.Path(simulator["ca_file"]).resolve()}"\n'
        )
        text = CONF.read_text()
        for ours, here in [
            ("/usr/bin/pyapns", PROGRAM),
            ("/etc/pyapns/pyapns.toml", self.config),
            ("=/var/lib/pyapns", f"={folder}"),
            ("/var/log/supervisor/pyapns.log", self.log),
            ("user=pyapns", f"user={getpass.getuser()}"),
        ]:
            assert ours in text
            text = text.replace(ours, str(here))
        (folder / "conf.d").mkdir()
        (folder / "conf.d/pyapns.conf").write_text(text)
        socket = folder / "s"
        (folder / "supervisord.conf").write_text(
            f"[supervisord]\nnodaemon=true\nlogfile={folder}/supervisord.log\npidfile={folder}/supervisord.pid\n"
            f"[unix_http_server]\nfile={socket}\n[supervisorctl]\nserverurl=unix://{socket}\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
            "supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[include]\nfiles = {folder}/conf.d/*.conf\n"
        )
        self.options = ["-c", str(folder / "supervisord.conf")]
        self.child = subprocess.Popen([BIN / "supervisord", *self.options], cwd=folder, stdout=subprocess.DEVNULL)

    def control(self, *words):
        done = subprocess.run(
            [BIN / "supervisorctl", *self.options, *words], capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def running(self):
        """The process id of the node, once supervisord takes it for started."""
        return until(lambda: re.search(r"pyapns +RUNNING +pid (\d+)", self.control("status")), 40)[1]

    def address(self, start=1):
        """The `host:port` of the node after its `start`-th start."""
        ready = until(lambda: re.findall(r"pyapns listens on http://(\S+)", self.log.read_text())[start - 1 :])
        return ready[0]

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        assert self.child.wait(timeout=60) == 0


@pytest.fixture
def supervised(tmp_path, simulator):
    supervised = Supervisord(tmp_path, simulator)
    yield supervised
    supervised.stop()


def send(address, answers):
    status, answer = Rest(address).call("POST", f"{APP}/notifications", [notification()])
    answers.append((status, answer["response"][0]["outcome"]))


def test_supervisord_starts_reloads_restarts_and_stops_a_node(supervised, simulator, control):
    first = supervised.running()
    client = Rest(supervised.address())
    assert client.call("GET", "/apps")[1]["response"] == []

    certificate = pathlib.Path(simulator["certificate_file"]).resolve()
    with supervised.config.open("a") as config:
        config.write(
            f'[[autoprovision]]\napp_id = "com.example.app"\nenvironment = "sandbox"\ncertificate = "{certificate}"\n'
        )
    supervised.control("signal", "HUP", "pyapns")
    until(lambda: client.call("GET", "/apps")[1]["response"])

    os.kill(int(first), signal.SIGKILL)
    address = supervised.address(start=2)
    assert supervised.running() != first
    answers = []
    send(address, answers)
    assert answers == [(201, "accepted")]

    # A notification waits for Apple's answer while the node is stopped.
    control.post("/script", {"latency": {"fixed_ms": 1500}})
    before = len(control.ledger())
    waiting = threading.Thread(target=send, args=(address, answers))
    waiting.start()
    until(lambda: len(control.ledger()) > before)
    assert "pyapns: stopped" in supervised.control("stop", "pyapns")
    waiting.join(timeout=20)
    assert answers == [(201, "accepted")] * 2
    assert re.search(r"stopped: pyapns \(exit status 0\)", (supervised.config.parent / "supervisord.log").read_text())
    assert "STOPPED" in supervised.control("status")


def test_supervisord_waits_for_longer_than_a_drain_takes():
    defaults = (ROOT / "src/config/default.toml").read_text()
    drain = int(re.search(r"^drain_seconds = (\d+)$", defaults, re.MULTILINE)[1])
    assert int(re.search(r"^stopwaitsecs=(\d+)$", CONF.read_text(), re.MULTILINE)[1]) > drain
