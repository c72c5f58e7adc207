"""deploy/container: the image is built and run by buildah, without a registry and without a daemon."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import uuid

import pytest

from conftest import PROGRAM, ROOT, until
from rest import Rest, notification

CONTAINERFILE = ROOT / "deploy/container/Containerfile"
APP = "/apps/com.example.app/sandbox"


def shared_libraries(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


class Buildah:
    """buildah with a storage of its own."""

    def __init__(self, folder):
        program = shutil.which("buildah")
        assert program, "tests/run installs it"
        storage = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs"]
        self.command = [program, *map(str, storage)]

    def __call__(self, *arguments, **options):
        done = subprocess.run(
            [*self.command, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def run(self, container, *arguments):
        """The command of a process in a container, which sees the network of this machine."""
        return [*self.command, "run", "--isolation", "chroot", container, "--", *map(str, arguments)]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("buildah --isolation chroot needs root: run tests/run as root to test the image")
    buildah = Buildah(tmp_path_factory.mktemp("buildah"))
    yield buildah
    buildah("rm", "--all")


@pytest.fixture(scope="module")
def image(buildah, tmp_path_factory):
    """The image, on a base that has nothing but the C library of this machine."""
    base = buildah("from", "scratch")
    for library in shared_libraries(PROGRAM):
        buildah("copy", base, os.path.realpath(library), library)
    buildah("commit", "--quiet", base, "localhost/base")
    context = tmp_path_factory.mktemp("context")
    (context / "target/release").mkdir(parents=True)
    subprocess.run(["strip", "-o", context / "target/release/pyapns", PROGRAM], check=True, timeout=60)
    shutil.copytree(ROOT / "deploy/container", context / "deploy/container")
    for name in ["LICENSE", ".dockerignore"]:
        shutil.copy(ROOT / name, context)
    arguments = ["--build-arg", "BASE=localhost/base", "--build-arg", "BINARY=prebuilt"]
    options = ["--quiet", "--format", "docker", "--pull-never", "--file", context / CONTAINERFILE.relative_to(ROOT)]
    buildah("build", *options, *arguments, "--tag", "localhost/pyapns", context)
    return "localhost/pyapns"


def test_the_image_says_how_to_run_and_to_check_a_node(buildah, image):
    config = json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]
    assert config["User"] == "65532:65532"
    assert list(config["Volumes"]) == ["/var/lib/pyapns"] and list(config["ExposedPorts"]) == ["8088/tcp"]
    assert config["Entrypoint"] + config["Cmd"] == "/usr/bin/pyapns serve --config /etc/pyapns/pyapns.toml".split()
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "/usr/bin/pyapns", "healthcheck"]
    assert config["StopSignal"] == "SIGTERM"


def test_a_node_of_the_image_sends_is_healthy_and_stops(buildah, image, simulator):
    container = buildah("from", "--pull-never", image)
    root = pathlib.Path(buildah("mount", container))
    config = json.loads(buildah("inspect", container))["Docker"]["config"]
    data = root / "var/lib/pyapns"
    assert (data.stat().st_uid, data.stat().st_gid) == (65532, 65532)
    assert not (root / "bin").exists(), "the base has no shell"

    (root / "simulator-ca.pem").write_bytes(pathlib.Path(simulator["ca_file"]).read_bytes())
    listen = f"PYAPNS_LISTEN=unix:/var/lib/pyapns/{uuid.uuid4().hex[:8]}.sock"
    variables = {
        "PYAPNS_ADMIN_LISTEN": "127.0.0.1:0",
        "PYAPNS_APPLE_SANDBOX": "https://" + simulator["listen"],
        "PYAPNS_APPLE_CA_FILE": "/simulator-ca.pem",
    }
    environment = [listen, *(f"{name}={value}" for name, value in variables.items())]
    buildah("config", *(f"--env={variable}" for variable in environment), container)
    health = buildah.run(container, *config["Healthcheck"]["Test"][1:])
    assert subprocess.run(health, capture_output=True, timeout=60).returncode == 1, "no node runs yet"

    node = subprocess.Popen(
        buildah.run(container, *config["Entrypoint"], *config["Cmd"]), stdout=subprocess.PIPE, text=True
    )
    try:
        said = [node.stdout.readline(), node.stdout.readline()]
        operators = said[1].rsplit("http://", 1)[1].strip()
        healthy = subprocess.run(health, capture_output=True, text=True, timeout=60)
        assert healthy.returncode == 0 and "is ready" in healthy.stdout, healthy.stderr

        certificate = pathlib.Path(simulator["certificate_file"]).read_text()
        client = Rest(operators)
        assert client.call("POST", APP, {"certificate": certificate})[0] == 201
        status, answer = client.call("POST", f"{APP}/notifications", [notification()])
        assert (status, answer["response"][0]["outcome"]) == (201, "accepted")
        assert node_process(listen).stat().st_uid == 65532
    finally:
        os.kill(int(until(lambda: node_process(listen)).name), signal.SIGTERM)
    assert node.wait(timeout=40) == 0
    assert not (data / "pyapns.db").exists(), "the store is in the volume, which belongs to the node"


def node_process(variable):
    """The folder in /proc of the container's process with a variable of its environment."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            arguments, variables = [(process / name).read_bytes().split(b"\0") for name in ["cmdline", "environ"]]
        except OSError:
            continue
        if arguments[:2] == [b"/usr/bin/pyapns", b"serve"] and variable.encode() in variables:
            return process
    return None


def test_an_image_without_api_keys_serves_no_other_machine(buildah, image):
    container = buildah("from", "--pull-never", image)
    config = json.loads(buildah("inspect", container))["Docker"]["config"]
    started = buildah.run(container, *config["Entrypoint"], *config["Cmd"])
    refused = subprocess.run(started, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "there are no API keys" in refused.stderr, refused.stderr


def test_the_image_is_built_with_the_toolchain_of_the_project():
    version = re.search(r'^rust-version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"FROM docker.io/library/rust:{version}-slim-bookworm AS compiled" in CONTAINERFILE.read_text()


def test_hadolint_finds_no_fault_with_the_containerfile(tmp_path):
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    checked = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "Containerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    assert subprocess.run([hadolint, tmp_path / "Containerfile"], capture_output=True, timeout=30).returncode == 1
