"""The wheels, installed into empty environments without network. `python/tests/run` names their folder."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

from pyapns._find import find_program

WHEELS = os.environ.get("PYAPNS_TEST_WHEELS")
ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not WHEELS, reason="no wheels are built: python/tests/run builds them")


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The python of an environment with the pure wheel and nothing else, not even pip."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    [wheel] = pathlib.Path(WHEELS).glob("*-none-any.whl")
    pip = [os.environ.get("PYAPNS_TEST_PYTHON", sys.executable), "-m", "pip", "--python", str(python)]
    # An unreachable proxy stands for the missing network.
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*pip, "install", "--quiet", "--no-index", str(wheel)], check=True, env=environment)
    return python


def run(python, *arguments, **variables):
    ran = subprocess.run(
        [str(python), *arguments],
        env={"PATH": "/nonexistent", **variables},
        cwd=python.parent,
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_the_package_needs_nothing_else_and_all_versions_agree(empty):
    code, said, error = run(
        empty,
        "-W",
        "error",
        "-c",
        "import pyapns, pyapns.aio, pyapns.testing, importlib.metadata as m\n"
        "names = [d.metadata['Name'] for d in m.distributions()]\n"
        "print(pyapns.__version__, m.version('pyapns'), names, m.requires('pyapns'))",
    )
    assert code == 0, error
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert said.strip() == f"{version} {version} ['pyapns'] None"
    daemon = subprocess.run([find_program(), "--version"], capture_output=True, text=True, check=True).stdout
    assert daemon.split()[1] == version


def test_importing_the_package_does_not_load_asyncio(empty):
    code, said, _ = run(empty, "-c", "import sys, pyapns; print('asyncio' in sys.modules)")
    assert (code, said.strip()) == (0, "False")


def test_without_the_daemon_python_m_pyapns_says_how_to_get_it(empty):
    code, _, error = run(empty, "-m", "pyapns", "serve")
    assert code == 1 and "install the wheel for this platform" in error and "PYAPNS_PROGRAM" in error
    assert "Traceback" not in error


def test_python_m_pyapns_becomes_the_daemon_with_its_arguments_and_exit_code(empty):
    found = {"PYAPNS_PROGRAM": find_program()}
    code, said, _ = run(empty, "-m", "pyapns", "--version", **found)
    assert code == 0 and said.startswith("pyapns ")
    assert run(empty, "-m", "pyapns", "no-such-command", **found)[0] == 2
    in_path = {"PATH": os.path.dirname(find_program())}
    assert run(empty, "-m", "pyapns", "--version", **in_path)[1] == said


def test_a_user_with_the_wheel_installed_is_strictly_typed(empty):
    pytest.importorskip("mypy", reason="mypy is not installed for this Python")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(empty)]
    environment = {**os.environ, "PYTHONPATH": "", "MYPYPATH": ""}
    code = ROOT / "python/tests/user_code.py"
    cache = str(ROOT / "target/mypy-installed")
    ran = subprocess.run(
        [*command, "--cache-dir", cache, str(code)], cwd=empty.parent, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_wheel_has_the_licence_the_types_and_a_record_of_all_files():
    for path in pathlib.Path(WHEELS).glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            assert wheel.testzip() is None
            record = wheel.read(next(name for name in names if name.endswith("/RECORD"))).decode()
        assert "pyapns/py.typed" in names and any(name.endswith("/LICENSE") for name in names)
        assert {line.rsplit(",", 2)[0] for line in record.splitlines()} == set(names)
        assert not any("test_" in name for name in names)


def test_the_platform_wheel_brings_a_daemon_that_delivers_to_its_simulator(tmp_path):
    found = list(pathlib.Path(WHEELS).glob("*-manylinux*.whl"))
    if not found:
        pytest.skip("the wheel with the daemon takes a release build: tests/run --full")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = tmp_path / "bin/python"
    pip = [os.environ.get("PYAPNS_TEST_PYTHON", sys.executable), "-m", "pip", "--python", str(python)]
    # Both wheels are there, and pip takes the one with the daemon.
    install = ["install", "--quiet", "--no-index", "--find-links", WHEELS, "pyapns"]
    subprocess.run([*pip, *install], check=True)
    assert (tmp_path / "bin/pyapns").stat().st_size < 40_000_000
    script = (
        "from pyapns.testing import push_service\n"
        "from pyapns._find import find_program\n"
        "with push_service() as service:\n"
        "    outcome = service.client().send(service.app_id, 'sandbox', '0a', {'aps': {}})\n"
        "    print(find_program(), outcome.outcome, len(service.ledger.accepted()))\n"
    )
    code, said, error = run(python, "-c", script)
    assert code == 0, error
    assert said.split() == [str(tmp_path / "bin/pyapns"), "accepted", "1"]
