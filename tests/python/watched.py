"""A node and a cluster of three under load, with faults, watched by a Prometheus."""

import contextlib
import datetime
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

from conftest import PROGRAM, start_node
from control import Control
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus import Alertmanager, Prometheus, Receiver, wait
from rest import Rest
from rules import ROOT

# Apple's extension of certificates for push in the sandbox.
FOR_PUSH = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113635.100.6.3.1"), b"\x05\x00")
DAY = datetime.timedelta(days=1)
PAYLOAD = {"aps": {"alert": "Hello"}}
NO_CHANNEL = "AAAAAAAAAAAAAAAAAAAAAA=="
UNAVAILABLE = {"answer": {"status": 503, "reason": "ServiceUnavailable"}}
# What ends connections to Apple: GOAWAY, and resets.
ENDS = {
    "goaway": {"when": {"requests": 40}, "kind": "graceful"},
    "connections": [{"times": 2, "act": {"break": {"at": {"answers": 15}, "how": "reset"}}}],
}
# The alerts that the faults cause, with the job and the app that they name.
FAULTS = {
    "PyapnsNodeDown": {"job": "pyapns-cluster"},
    "PyapnsCredentialRefused": {"job": "pyapns", "app_id": "refused"},
    "PyapnsCertificateExpiring": {"job": "pyapns", "app_id": "expiring", "severity": "page"},
    "PyapnsBreakerOpen": {"job": "pyapns"},
    "PyapnsFeedbackHeld": {"job": "pyapns"},
    "PyapnsRedisAway": {"job": "pyapns-cluster"},
}


def expiring_certificate():
    """A certificate that expires in two days, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Apple Push Services: com.example.expiring")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = (
        made.add_extension(FOR_PUSH, critical=False)
        .serial_number(1)
        .not_valid_before(now - DAY)
        .not_valid_after(now + 2 * DAY)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return (made.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption())).decode()


class Load:
    """Sends until it is stopped. A target is a client with a path and a body."""

    def __init__(self, targets):
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=target) for target in targets]
        for thread in self.threads:
            thread.start()

    def send(self, rest, path, body):
        while not self.stopping.wait(0.25):
            # The balancer may still give the request to the node that stands still.
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                rest.call("POST", f"{path}?timeout=2", body)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class Site:
    """Everything that runs. `fired` and `resolved` have the labels of the alerts of FAULTS by their names."""

    def __init__(self, simulator, directory):
        self.simulator, self.control = simulator, Control(simulator["control"])
        self.fired, self.resolved, self.parts = {}, set(), None
        with contextlib.ExitStack() as stack:
            self.start(directory, stack)
            # All parts run: `stop` ends them. If one does not start, those before it end here.
            self.stack = stack.pop_all()

    def start(self, directory, stack):
        (directory / "alone").mkdir()
        self.node, address = start_node(self.simulator, directory / "alone", "metrics.app_latency = true")
        stack.callback(self.node.stop)
        stack.callback(self.control.post, "/reset")
        self.rest = Rest(address)
        self.cluster = subprocess.Popen(
            [
                sys.executable,
                ROOT / "deploy/try-cluster",
                "--port",
                "0",
                "--dir",
                directory / "cluster",
                "--pyapns",
                PROGRAM,
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYAPNS_METRICS_APP_LATENCY": "true"},
        )
        stack.callback(self.end_cluster)
        self.parts = json.loads(self.cluster.stdout.readline())
        self.front = Rest(self.parts["front"].removeprefix("http://"))
        self.nodes = [Rest(node["url"].removeprefix("http://")) for node in self.parts["nodes"]]
        jobs = {"pyapns": [address], "pyapns-cluster": [node.address for node in self.nodes]}
        self.receiver = Receiver()
        stack.callback(self.receiver.stop)
        self.alertmanager = Alertmanager(directory, self.receiver)
        stack.callback(self.alertmanager.stop)
        self.prometheus = Prometheus(directory, jobs, self.alertmanager)
        stack.callback(self.prometheus.stop)
        self.certificate = pathlib.Path(self.simulator["certificate_file"]).read_text()
        self.load = Load([])
        stack.callback(lambda: self.load.stop())

    def stop(self):
        self.stack.close()

    def end_cluster(self):
        stopped = [self.parts["nodes"][2]["pid"], self.parts["redis"]["pid"]] if self.parts else []
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        self.cluster.terminate()
        assert self.cluster.wait(timeout=60) == 0

    def provision(self, app, **credential):
        path = f"/apps/{app}/sandbox"
        status, answer = self.rest.call("POST", path, credential or {"certificate": self.certificate})
        assert status == 201, answer
        return path

    def begin_load(self):
        dead = [{"token": "dead", "state": "dead"}]
        self.control.post("/tokens", dead)
        self.control.post("/script", ENDS)
        cluster_control = Control(self.parts["simulator"]["control"])
        cluster_control.post("/tokens", dead)
        cluster_control.post("/script", ENDS)
        busy, body = self.provision("busy"), {"tokens": [*(f"{at:04x}" for at in range(9)), "dead"], "payload": PAYLOAD}
        in_cluster = [(node, "/apps/demo/sandbox/notifications", body) for node in (self.front, *self.nodes[:2])]
        status, channel = self.rest.call("POST", f"{busy}/channels", {"message_storage_policy": 0})
        assert status == 201, channel
        broadcasts = [{"channel": each, "payload": PAYLOAD} for each in (channel["response"]["id"], NO_CHANNEL)]
        of_node = [(self.rest, f"{busy}/notifications", body), (self.rest, f"{busy}/broadcasts", broadcasts)]
        self.load = Load([*of_node, *in_cluster])

    def break_apps(self):
        bad = [f"bad0{number:04x}" for number in range(60)]
        self.control.post("/tokens", [{"token": token, "state": "bad"} for token in bad])
        self.send(self.provision("held"), {"tokens": bad, "payload": PAYLOAD})
        key = pathlib.Path(self.simulator["key_file"]).read_text()
        ids = {"key_id": "WRONGKEYID", "team_id": self.simulator["team_id"], "topic": self.simulator["topic"]}
        self.send(self.provision("refused", key=key, **ids), {"token": "0a", "payload": PAYLOAD})
        self.provision("expiring", certificate=expiring_certificate(), topic="com.example.expiring")
        self.control.post("/script", {"faults": [{"act": UNAVAILABLE}]})

    def repair_apps(self):
        self.control.post("/script", {})
        self.provision("refused")
        self.provision("expiring")
        status, answer = self.rest.call("POST", "/apps/held/sandbox/feedback/held", {"action": "drop"})
        assert status == 200 and answer["response"]["count"] == 60, answer

    def break_cluster(self):
        """A member stands still, and a stranger connects to the listener of another one."""
        members = self.nodes[0].call("GET", "/cluster")[1]["response"]["members"]
        host, port = members[0]["address"].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.recv(64)
        os.kill(self.parts["nodes"][2]["pid"], signal.SIGSTOP)

    def take_redis_away(self):
        os.kill(self.parts["redis"]["pid"], signal.SIGSTOP)

    def refused_change(self):
        """Without Redis no app can be changed."""
        status, answer = self.nodes[0].call("POST", "/apps/new/sandbox", {"certificate": self.certificate})
        assert status == 503, answer

    def send(self, app, body):
        status, answer = self.rest.call("POST", f"{app}/notifications", body)
        assert status == 201, answer

    def wait_fired(self, *names):
        def all_fire():
            for labels in self.prometheus.firing():
                name = labels["alertname"]
                if FAULTS.get(name, {"": ""}).items() <= labels.items():
                    self.fired[name] = labels
            return self.fired.keys() >= set(names)

        wait(all_fire, lambda: f"{names} fire; {set(self.fired)} did")

    def wait_resolved(self, *names):
        def left():
            return [labels for labels in self.prometheus.firing() if labels["alertname"] in names]

        wait(lambda: not left(), lambda: f"these alerts end: {left()}")
        self.resolved.update(names)

    def told(self, status):
        """The names of the alerts about which a message with this status was sent."""
        alerts = [alert for received in self.receiver.alerts.values() for alert in received]
        return {alert["alertname"] for alert in alerts if alert["status"] == status}

    def run(self):
        """All faults, each until its alert fires, and their ends."""
        self.begin_load()
        wait(lambda: self.prometheus.values("pyapns_goaways_total"), lambda: "Apple's side sends GOAWAY")
        self.break_apps()
        self.break_cluster()
        of_apps = {name for name in FAULTS if FAULTS[name]["job"] == "pyapns"}
        self.wait_fired("PyapnsNodeDown", *of_apps)
        self.repair_apps()
        os.kill(self.parts["nodes"][2]["pid"], signal.SIGCONT)
        self.take_redis_away()
        self.refused_change()
        self.wait_fired("PyapnsRedisAway")
        os.kill(self.parts["redis"]["pid"], signal.SIGCONT)
        self.wait_resolved(*FAULTS)
        self.load.stop()
        wait(lambda: self.told("resolved") >= FAULTS.keys(), lambda: f"messages of the ends: {self.receiver.alerts}")
