"""The page of all settings, made from src/config/default.toml."""

from __future__ import annotations

import re

SOURCE = "src/config/default.toml"

OPENING = """# Settings

All settings with their defaults. A configuration file needs only the lines that differ. Every setting is also a
variable of the environment, for example `PYAPNS_LOG_LEVEL` for `level` of `[log]`. [Running](running.md#configuration)
describes the file, the variables and the command line.
"""


def page(text: str) -> str:
    """Return the page, made from the text of the source."""
    parts = [OPENING]
    for title, lines in sections(text):
        block = "\n".join(lines).strip("\n")
        parts.append(f"## {title}\n\n``` toml\n{block}\n```\n")
    return "\n".join(parts)


def sections(text: str) -> list[tuple[str, list[str]]]:
    """Return the title and the lines of each table. The comment right before a table belongs to it."""
    found: list[tuple[str, list[str]]] = [("The node", [])]
    for line in text.splitlines():
        header = re.match(r"\[+([\w.]+)\]+", line)
        if header and header[1] != found[-1][0]:
            before, comment = found[-1][1], []
            while before and before[-1].startswith("#"):
                comment.insert(0, before.pop())
            found.append((header[1], comment))
        found[-1][1].append(line)
    return found
