"""The daemon's program, where a wheel or a package of the system installed it."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from typing import Iterator

NAME = "pyapns.exe" if sys.platform == "win32" else "pyapns"


class ProgramNotFound(FileNotFoundError):
    """The daemon's program is not installed."""


def find_program() -> str:
    """Return the path of the daemon's program.

    It is the one that `PYAPNS_PROGRAM` names, the one in the scripts of this installation, or the one in `PATH`.

    Raises:
        ProgramNotFound: there is none.
    """
    named = os.environ.get("PYAPNS_PROGRAM")
    if named:
        if os.path.isfile(named):
            return named
        raise ProgramNotFound(f"PYAPNS_PROGRAM names {named}, and no such file exists: correct it")
    for folder in _folders():
        path = os.path.join(folder, NAME)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    found = shutil.which(NAME)
    if found is not None:
        return found
    raise ProgramNotFound(
        "the daemon `pyapns` is not in this installation, because the wheel without the daemon was installed: "
        "install the wheel for this platform (pyapns-*-manylinux_*.whl), or build it with `cargo build --release` in "
        "pyapns's source and put it into PATH, or name it in PYAPNS_PROGRAM; a client needs no daemon on its machine"
    )


def _folders() -> Iterator[str]:
    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", vars={"base": sys.base_prefix})
    # pip install --target FOLDER puts the scripts into FOLDER/bin, --prefix beside lib.
    package = os.path.dirname(os.path.abspath(__file__))
    yield os.path.join(os.path.dirname(package), "bin")
    yield os.path.join(os.path.dirname(package), "..", "..", "..", "bin")
    if sys.version_info >= (3, 10):
        scheme = sysconfig.get_preferred_scheme("user")
    else:
        scheme = "nt_user" if os.name == "nt" else "posix_user"
    yield sysconfig.get_path("scripts", scheme=scheme)
