"""deploy/systemd/pyapns.service, judged by systemd's own tools; no systemd runs here."""

import os
import pathlib
import re
import shutil
import subprocess
import urllib.request

import pytest

from conftest import PROGRAM, ROOT, Process, start_node, until
from rest import Rest, notification

UNIT = ROOT / "deploy/systemd/pyapns.service"
APP = "/apps/com.example.app/sandbox"


def analyze(*arguments):
    program = shutil.which("systemd-analyze")
    assert program, "tests/run installs it"
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=30)


def settings():
    """The lines `Name=value`, by their name."""
    found = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def exposure(text, folder):
    unit = folder / "pyapns.service"
    unit.write_text(text)
    return analyze("security", "--offline=true", "--threshold=15", unit)


def test_the_unit_exposes_little_of_the_machine(tmp_path):
    judged = exposure(UNIT.read_text(), tmp_path)
    level = re.search(r"Overall exposure level for pyapns.service: ([0-9.]+)", judged.stdout)
    assert level and float(level[1]) <= 1.5, judged.stdout
    assert judged.returncode == 0, judged.stdout
    weak = exposure(
        UNIT.read_text().replace("ProtectSystem=strict\n", "").replace("NoNewPrivileges=yes\n", ""), tmp_path
    )
    assert weak.returncode != 0, weak.stdout


def verify(text, root):
    """The faults that systemd finds in a unit that is installed below `root` with all that it starts."""
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "pyapns.service").write_text(text)
    for target in pathlib.Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, units)
    for program in ["usr/bin/pyapns", "bin/kill"]:
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", root / program)
    return analyze("verify", "--man=no", f"--root={root}", "pyapns.service")


def test_systemd_knows_every_line_of_the_unit(tmp_path):
    verified = verify(UNIT.read_text(), tmp_path / "good")
    assert "pyapns" not in verified.stdout + verified.stderr, verified.stderr
    wrong = verify(UNIT.read_text().replace("TimeoutStopSec", "TimeoutStopSecs"), tmp_path / "wrong")
    assert re.search("Unknown key.*'TimeoutStopSecs'", wrong.stderr), wrong.stderr


# What systemd has learned after version 249, the one of Ubuntu 22.04.
NEWER = {
    *(
        "ExitType",
        "RestrictFileSystems",
        "RestrictNetworkInterfaces",
        "LoadCredentialEncrypted",
        "SetCredentialEncrypted",
    ),
    *("ImportCredential", "OpenFile", "RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryPressureWatch"),
    *("FileDescriptorStorePreserve", "DelegateSubgroup", "PrivatePIDs"),
}


def test_the_unit_and_the_documentation_name_the_same_oldest_systemd():
    named = re.search(r"\((\d+) or later\)", UNIT.read_text())[1]
    readme = (ROOT / "deploy/README.md").read_text()
    assert re.search(r"is for systemd (\d+) or later", readme)[1] == named == "249"
    assert "Ubuntu 22.04" in readme and not NEWER & settings().keys() and settings()["Type"] == ["notify"]


def test_the_unit_gives_the_node_more_time_than_its_drain_takes():
    defaults = (ROOT / "src/config/default.toml").read_text()
    drain = int(re.search(r"^drain_seconds = (\d+)$", defaults, re.MULTILINE)[1])
    assert int(settings()["TimeoutStopSec"][0]) > drain


def allowed_calls():
    """The system calls that SystemCallFilter= allows, expanded by systemd."""

    def expand(word):
        if not word.startswith("@"):
            return {word}
        shown = analyze("syscall-filter", word).stdout
        lines = [line.strip() for line in shown.splitlines()[1:]]
        return set().union(*(expand(line) for line in lines if line and not line.startswith("#")))

    allowed = set()
    for value in settings()["SystemCallFilter"]:
        words = set().union(*map(expand, value.lstrip("~").split()))
        allowed = allowed - words if value.startswith("~") else allowed | words
    assert "setpriority" in allowed and "reboot" not in allowed and "chown" not in allowed
    return allowed


def test_a_node_makes_no_system_call_that_the_unit_forbids(simulator, tmp_path):
    strace = shutil.which("strace")
    assert strace, "tests/run installs it"
    calls = tmp_path / "calls"
    (tmp_path / "pyapns").write_text(f'#!/bin/sh\nexec {strace} -D -f -qq -c -U name -o {calls} {PROGRAM} "$@"\n')
    (tmp_path / "pyapns").chmod(0o755)
    node, address = start_node(simulator, tmp_path, program=tmp_path / "pyapns")
    client = Rest(address)
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    assert client.call("POST", APP, {"certificate": certificate})[0] == 201
    status, answer = client.call("POST", f"{APP}/notifications", [notification()])
    assert (status, answer["response"][0]["outcome"]) == (201, "accepted")
    urllib.request.urlopen(f"http://{address}/metrics", timeout=20).read()
    node.stop()
    # The last line of strace, which ends after the node.
    until(lambda: "total" in calls.read_text())
    made = set(re.findall(r"^\w+$", calls.read_text(), re.MULTILINE)) - {"syscall", "total"}
    assert {"listen", "connect", "fsync"} <= made | {"fdatasync"} and "setpriority" in made, made
    # strace's own start of the program; and SQLite gives its files to the owner of the database, only as root.
    made -= {"execve"} | ({"fchown"} if os.geteuid() == 0 else set())
    assert made <= allowed_calls()


def test_a_secret_of_systemd_reaches_the_node(simulator, tmp_path):
    """`LoadCredential=`, whose folder systemd names in `$CREDENTIALS_DIRECTORY`."""
    assert "#LoadCredential=credentials.key:" in UNIT.read_text()
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "credentials.key").write_text("5a" * 32)
    (secrets / "credentials.key").chmod(0o400)
    config = tmp_path / "pyapns.toml"
    config.write_text(
        'listen = "127.0.0.1:0"\n[credentials]\nkey_files = ["${CREDENTIALS_DIRECTORY}/credentials.key"]\n'
    )
    arguments = ["serve", "--config", config, "--data-dir", tmp_path / "data"]
    node = Process(*arguments, CREDENTIALS_DIRECTORY=str(secrets))
    node.stop()
    assert not (tmp_path / "data/credentials.key").exists()

    variables = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
    without = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=20, env=variables)
    # The code that RestartPreventExitStatus= names: systemd does not try again.
    assert str(without.returncode) == settings()["RestartPreventExitStatus"][0] == "2"
    assert "the variable CREDENTIALS_DIRECTORY is not set" in without.stderr
    assert "LoadCredential=" in without.stderr


@pytest.mark.parametrize("name", ["ExecStart", "ExecReload"])
def test_each_command_of_the_unit_is_one_that_there_is(name, tmp_path):
    (command,) = settings()[name]
    words = command.split()
    if name == "ExecReload":
        assert words == ["/bin/kill", "-HUP", "$MAINPID"] and pathlib.Path(words[0]).exists()
        return
    config = tmp_path / "pyapns.toml"
    config.write_text('data_dir = "/var/lib/pyapns"\n')
    assert words[:2] == ["/usr/bin/pyapns", "serve"]
    checked = [PROGRAM, "check-config", *(str(config) if word.endswith(".toml") else word for word in words[2:])]
    assert subprocess.run(checked, timeout=20).returncode == 0
