"""Our metrics, checked by Prometheus's promtool."""

import shutil
import subprocess
import urllib.request


def test_promtool_finds_no_fault_with_the_metrics(node):
    promtool = shutil.which("promtool")
    assert promtool, "tests/run installs it"
    metrics = urllib.request.urlopen(f"http://{node}/metrics", timeout=20).read()
    assert b"\npyapns_notifications_total" in metrics
    check = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, timeout=20)
    assert check.returncode == 0, check.stdout + check.stderr
