"""The types of the package, as mypy and stubtest see them."""

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parent
pytest.importorskip("mypy", reason="mypy is not installed for this Python")


def run(*command):
    environment = {**os.environ, "MYPYPATH": str(PACKAGE), "PYTHONPATH": str(PACKAGE)}
    cache = PACKAGE.parent / "target/mypy"
    ran = subprocess.run(
        [*command], cwd=PACKAGE, env={**environment, "MYPY_CACHE_DIR": str(cache)}, capture_output=True, text=True
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_the_package_and_its_users_are_strictly_typed(tmp_path):
    code, said = run(sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "pyapns", "tests/user_code.py")
    assert code == 0, said
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import pyapns\noutcome: int = pyapns.Client().send('a', 'sandbox', '0a', {})\n")
    code, said = run(sys.executable, "-m", "mypy", "--strict", str(wrong))
    assert code == 1 and 'has type "Outcome"' in said, said


@pytest.mark.skipif(not os.environ.get("PYAPNS_TEST_FULL"), reason="stubtest takes 15 s: tests/run --full")
def test_the_types_are_those_of_the_running_package():
    allowlist = str(HERE / "stubtest-allowlist.txt")
    command = [sys.executable, "-m", "mypy.stubtest", "--mypy-config-file", "pyproject.toml", "--allowlist", allowlist]
    code, said = run(*command, "pyapns")
    assert code == 0, said
