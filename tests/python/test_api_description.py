"""The API description, and the node against it: schemathesis makes requests of every kind from the description, and
compares every answer with it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import pytest
from openapi_spec_validator import validate

from conftest import PROGRAM, start_node

HERE = pathlib.Path(__file__).parent
SCOPES = ["send", "feedback", "apps:read", "apps:write", "metrics"]


def make_keys():
    """API keys by name, and their settings: a key for each scope, one with all the other scopes, and one with all."""
    sets = {scope: [scope] for scope in SCOPES}
    sets |= {f"not {scope}": [other for other in SCOPES if other != scope] for scope in SCOPES}
    keys, settings = {}, ""
    for name, scopes in {**sets, "admin": ["admin"], "not admin": SCOPES}.items():
        command = [PROGRAM, "key", "--id", re.sub("[ :]", "-", name), "--scope", ",".join(scopes)]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        keys[name] = made.stderr.split()[-1]
        settings += made.stdout
    return keys, settings


def call(url, key, body=None):
    """The text of the answer to a call with a key."""
    request = urllib.request.Request(url, data=body, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read().decode()


def answers(metrics):
    """The number of answers by method, route and status."""
    line = r'^pyapns_api_requests_total{method="(.+)",route="(.+)",status="(.+)"} (\d+)$'
    return {tuple(kind): int(count) for *kind, count in re.findall(line, metrics, re.MULTILINE)}


@pytest.fixture
def keyed_node(simulator, tmp_path):
    """The URL of a node with API keys and with the app that the requests name, and the keys."""
    keys, settings = make_keys()
    process, address = start_node(simulator, tmp_path, settings)
    certificate = pathlib.Path(simulator["certificate_file"]).read_bytes()
    for environment in ("sandbox", "production"):
        call(f"http://{address}/apps/com.example.app/{environment}", keys["admin"], certificate)
    yield f"http://{address}", keys
    process.stop()


def test_the_description_is_valid_openapi_and_every_key_may_read_it(keyed_node):
    url, keys = keyed_node
    described = {call(f"{url}/openapi.json", key) for key in keys.values()}
    assert len(described) == 1
    validate(json.loads(described.pop()))


def run_schemathesis(url, keys, simulator, folder, phases):
    """Runs these phases against a node. Returns what schemathesis prints."""
    (folder / "openapi.json").write_text(call(f"{url}/openapi.json", keys["metrics"]))
    files = {name: str(pathlib.Path(value).resolve()) for name, value in simulator.items() if name.endswith("_file")}
    variables = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": str(HERE),
        "PYAPNS_TEST_KEYS": json.dumps(keys),
        "PYAPNS_TEST_SIMULATOR": json.dumps({**simulator, **files}),
    }
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", HERE / "schemathesis.toml", "run", folder / "openapi.json", "--url", url]
    command += ["--phases", phases]
    # The short form makes the same requests every time.
    full = "PYAPNS_TEST_FULL" in os.environ
    command += ["--max-examples", "100"] if full else ["--max-examples", "8", "--generation-deterministic"]
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_no_request_that_is_made_from_the_description_finds_a_fault(keyed_node, simulator, tmp_path):
    url, keys = keyed_node
    run_schemathesis(url, keys, simulator, tmp_path, "examples,coverage,fuzzing")
    # It has made good requests, and not only such as are refused.
    answered = answers(call(f"{url}/metrics", keys["admin"]))
    app = "/apps/{app_id}/{environment}"
    for kind, least in [
        (("POST", app, "201"), 5),
        (("POST", app + "/notifications", "201"), 50),
        (("POST", app + "/notifications", "400"), 50),
        (("POST", app + "/feedback/held", "200"), 5),
        (("GET", app + "/disconnections", "200"), 5),
    ]:
        assert answered.get(kind, 0) >= least, f"{kind}: {answered}"


def test_no_sequence_of_calls_that_follows_the_links_of_the_description_finds_a_fault(keyed_node, simulator, tmp_path):
    url, keys = keyed_node
    printed = run_schemathesis(url, keys, simulator, tmp_path, "stateful")
    followed = re.search(r"API Links: +(\d+) covered", printed)
    assert followed and int(followed[1]) >= 5, printed
