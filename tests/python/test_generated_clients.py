"""Clients that openapi-generator makes from the API description: each provisions an app, sends one push, and reads the
error of a call that is refused."""

import json
import os
import pathlib
import subprocess
import sys
import uuid

import pytest

from conftest import start_node
from test_api_description import make_keys

BUILT = pathlib.Path(__file__).resolve().parents[2] / "target/foreign/openapi"
COMMANDS = {
    "go": [BUILT / "go/send"],
    "typescript": ["node", BUILT / "typescript/built/send.js"],
    "python": [sys.executable, BUILT / "python/send.py"],
}


@pytest.mark.parametrize("language", COMMANDS)
def test_a_generated_client_provisions_sends_and_reads_an_error(language, simulator, control, tmp_path):
    if not os.environ.get("PYAPNS_TEST_FULL"):
        pytest.skip(f"the client in {language} is tried by tests/run --full")
    if (BUILT / "skipped").exists():
        pytest.skip((BUILT / "skipped").read_text().strip())
    keys, settings = make_keys()
    process, address = start_node(simulator, tmp_path, settings)
    app, token = f"generated.{language}", uuid.uuid4().hex * 2
    arguments = [f"http://{address}", keys["admin"], simulator["certificate_file"], app, token]
    paths = {"PYTHONPATH": f"{BUILT}/python/lib:{BUILT}/python/generated"} if language == "python" else {}
    run = subprocess.run(
        [*COMMANDS[language], *arguments], env={**os.environ, **paths}, capture_output=True, text=True, timeout=60
    )
    process.stop()
    assert run.returncode == 0, run.stderr
    fingerprint, outcome, reason = run.stdout.splitlines()
    kind, status, apns_id, identifier = outcome.split("\t")
    assert (len(fingerprint), kind, status, identifier, reason) == (64, "accepted", "200", "order 7", "unknown_app")
    [entry] = [entry for entry in control.ledger() if entry["token"] == token]
    assert (entry["accepted"], entry["apns_id"], entry["priority"]) == (True, apns_id, "5")
    assert json.loads(entry["body"]) == {"aps": {"alert": "Grüße"}}
