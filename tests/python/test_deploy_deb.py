"""The Debian package: it is built, and in the long form installed, used and removed."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import PROGRAM, ROOT, Process
from rest import Rest, notification

APP = "/apps/com.example.app/sandbox"
DATA = pathlib.Path("/var/lib/pyapns")
CONFIG = pathlib.Path("/etc/pyapns/pyapns.toml")
FULL = "PYAPNS_TEST_FULL" in os.environ


def run(*arguments, **options):
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cargo_deb():
    """The folder of cargo-deb, and whether it reads our edition of Rust. The wheel of PyPI is too old for that."""
    own = shutil.which("cargo-deb", path=os.pathsep.join([os.environ["PATH"], str(pathlib.Path.home() / ".cargo/bin")]))
    if own and int(run(own, "--version").split(".")[0].split()[-1]) >= 3:
        return pathlib.Path(own).parent, True
    assert not FULL, "tests/run --full installs cargo-deb"
    return pathlib.Path(sys.executable).parent, False


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of the program that the tests have, built from a copy of the sources."""
    tree = tmp_path_factory.mktemp("debian") / "pyapns"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("target", ".git", "__pycache__", "pyapns-data"))
    folder, knows_edition = cargo_deb()
    if not knows_edition:
        manifest = (tree / "Cargo.toml").read_text()
        assert 'edition = "2024"' in manifest
        (tree / "Cargo.toml").write_text(manifest.replace('edition = "2024"', 'edition = "2021"'))
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "CARGO_NET_OFFLINE": "true",
        "CARGO_TARGET_DIR": str(tree / "target"),
    }
    run(tree / "deploy/deb/build", "--program", pathlib.Path(PROGRAM).resolve(), "--fast", env=environment)
    (built,) = (tree / "target/debian").glob("*.deb")
    return built


def test_the_package_has_what_an_operator_expects_of_one(package, tmp_path):
    control = run("dpkg-deb", "--field", package)
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"Package: pyapns\nVersion: {version}-1\n" in control
    assert re.search(r"^Depends: .*adduser", control, re.MULTILINE) and "libc6 (>= 2." in control
    run("dpkg-deb", "--raw-extract", package, tmp_path)
    assert (tmp_path / "DEBIAN/conffiles").read_text().split() == [str(CONFIG)]
    for script in ["postinst", "prerm", "postrm"]:
        run("sh", "-n", tmp_path / "DEBIAN" / script)
    assert "deb-systemd-invoke" in (tmp_path / "DEBIAN/postinst").read_text(), "the unit is started"

    assert run(tmp_path / "usr/bin/pyapns", "--version").startswith(f"pyapns {version}")
    commands = re.findall(r"^  ([a-z-]+)  ", run(PROGRAM, "--help"), re.MULTILINE)
    pages = {page.name for page in (tmp_path / "usr/share/man/man1").iterdir()}
    assert {f"pyapns-{command}.1.gz" for command in commands if command != "help"} < pages
    assert (tmp_path / "usr/share/bash-completion/completions/pyapns").stat().st_size > 1000
    # /lib is /usr/lib.
    (unit,) = [*tmp_path.glob("lib/systemd/system/*"), *tmp_path.glob("usr/lib/systemd/system/*")]
    assert unit.name == "pyapns.service" and unit.read_text() == (ROOT / "deploy/systemd/pyapns.service").read_text()

    config = tmp_path / CONFIG.relative_to("/")
    assert f'data_dir = "{DATA}"' in config.read_text()
    run(PROGRAM, "check-config", "--config", config)
    named = re.findall(r"(/usr/share/\S+)", config.read_text())
    assert named and all((tmp_path / path.lstrip("/")).exists() for path in named)


@pytest.mark.skipif(not FULL, reason="lintian is installed by tests/run --full")
def test_lintian_finds_no_fault_with_the_package(package):
    judged = subprocess.run(
        ["lintian", "--fail-on", "error,warning", package], capture_output=True, text=True, timeout=120
    )
    assert judged.returncode == 0, judged.stdout
    assert not re.search(r"^[EW]:", judged.stdout, re.MULTILINE), judged.stdout


@pytest.fixture
def installed(package):
    if os.geteuid() != 0:
        pytest.skip("dpkg --install needs root")
    known = subprocess.run(["dpkg-query", "--show", "pyapns"], capture_output=True)
    if known.returncode == 0 or DATA.exists() or CONFIG.exists():
        pytest.skip("this machine has a pyapns, which the test would remove")
    run("dpkg", "--install", package)
    yield
    run("dpkg", "--purge", "pyapns")


def install_for_node(source, target):
    """Make a file readable for the node, as an operator does."""
    run("install", "-o", "root", "-g", "pyapns", "-m", "640", source, target)


@pytest.mark.skipif(not FULL, reason="installs a package on this machine: tests/run --full")
def test_an_installed_node_sends_and_its_data_outlive_the_package_until_it_is_purged(installed, simulator, tmp_path):
    assert (DATA.stat().st_mode & 0o777, DATA.owner()) == (0o700, "pyapns")
    assert (CONFIG.stat().st_mode & 0o777, CONFIG.group()) == (0o640, "pyapns")
    added = [CONFIG.parent / name for name in ["ca.pem", "com.example.app.pem"]]
    for source, target in zip(["ca_file", "certificate_file"], added):
        install_for_node(simulator[source], target)
    original = CONFIG.read_text()
    gateway = "https://" + simulator["listen"]
    with CONFIG.open("a") as config:
        config.write(
            f'[apple]\nsandbox = "{gateway}"\nca_file = "{added[0]}"\n[[autoprovision]]\n'
            f'app_id = "com.example.app"\nenvironment = "sandbox"\ncertificate = "{added[1].name}"\n'
        )
    unit = pathlib.Path("/lib/systemd/system/pyapns.service").read_text()
    user, command = (re.search(rf"^{name}=(.*)$", unit, re.MULTILINE)[1] for name in ["User", "ExecStart"])
    as_user = ["--reuid", user, "--regid", user, "--init-groups", "--no-new-privs", "--inh-caps=-all", *command.split()]
    node = Process(*as_user, program="setpriv", PYAPNS_LISTEN="127.0.0.1:0")
    status, answer = Rest(node.said.rsplit("http://", 1)[1]).call("POST", f"{APP}/notifications", [notification()])
    assert (status, answer["response"][0]["outcome"]) == (201, "accepted")
    node.stop()
    assert (DATA / "pyapns.db").owner() == "pyapns"
    assert "pyapns-serve" in run("man", "--where", "pyapns-serve")

    run("dpkg", "--remove", "pyapns")
    assert not pathlib.Path("/usr/bin/pyapns").exists()
    assert (DATA / "pyapns.db").exists() and CONFIG.read_text().startswith(original)

    run("dpkg", "--purge", "pyapns")
    assert not DATA.exists() and not CONFIG.exists()
    assert all(file.exists() for file in added), "an administrator's own files stay"
    shutil.rmtree(CONFIG.parent)
