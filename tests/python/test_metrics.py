"""Our metrics, checked by Prometheus's promtool."""

import pathlib
import shutil
import subprocess
import urllib.request

from conftest import start_node
from rest import Rest, notification

APP = "/apps/com.example.app/sandbox"


def metrics_of(address):
    return urllib.request.urlopen(f"http://{address}/metrics", timeout=20).read()


def check(metrics):
    promtool = shutil.which("promtool")
    assert promtool, "tests/run installs it"
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, timeout=20)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_promtool_finds_no_fault_with_the_metrics(node):
    metrics = metrics_of(node)
    assert b"\npyapns_notifications_total" in metrics
    check(metrics)


def test_promtool_finds_no_fault_with_the_metrics_of_apps(simulator, control, tmp_path):
    process, address = start_node(simulator, tmp_path, "metrics.app_latency = true")
    rest = Rest(address)
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    assert rest.call("POST", APP, {"certificate": certificate})[0] == 201
    bad = {**notification("ab"), "topic": "com.example.unknown"}
    assert rest.call("POST", f"{APP}/notifications", [{**notification(), "expiry": 2_000_000_000}, bad])[0] == 201
    metrics = metrics_of(address)
    process.stop()
    for family in ["notifications_total", "rejections_total", "in_flight", "queue", "state", "notification_seconds_sum"]:
        assert b"\npyapns_app_" + family.encode() + b"{" in metrics, family
    check(metrics)
