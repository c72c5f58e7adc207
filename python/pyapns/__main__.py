"""`python -m pyapns`: the daemon with the given arguments, if this installation has it."""

from __future__ import annotations

import os
import subprocess
import sys

from ._find import ProgramNotFound, find_program


def main() -> int:
    """Become the daemon. Return an exit code only if that is not possible."""
    try:
        program = find_program()
    except ProgramNotFound as why:
        print(f"pyapns: {why}", file=sys.stderr)
        return 1
    arguments = [program, *sys.argv[1:]]
    if sys.platform == "win32":
        return subprocess.call(arguments)
    os.execv(program, arguments)


if __name__ == "__main__":
    sys.exit(main())
