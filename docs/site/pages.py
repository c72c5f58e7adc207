"""The pages of the site: the sources of docs/, some files of other folders, and links that work on GitHub and here."""

from __future__ import annotations

import os.path
import pathlib
import re

import reference
import settings

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Pages of other folders, and pages with another name on the site. All other pages of docs/ keep their names.
NAMES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benches/README.md": "benchmarks.md",
    "crates/simulator/README.md": "simulator-reference.md",
    "deploy/README.md": "deploying.md",
    "docs/README.md": "documentation.md",
    "grafana/README.md": "boards.md",
}
# Pages that are made from other sources. A link to such a source leads to its page.
MADE = {"rest-reference.md": reference, "settings.md": settings}
# The folder of the pages that show a file to which a page links.
SHOWN = "files/"
# The head of these pages: the search leaves them out.
HIDDEN = "---\nsearch:\n  exclude: true\n---\n\n"
# Files that are no text for people.
UNSHOWN = {".json", ".pyc", ".png"}
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml", ".json": "json", ".conf": "nginx"}
LINK = re.compile(r"(\[(?P<text>[^\[\]`]*)\]|\])\((?P<target>[^()\s]+)\)")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class Fault(Exception):
    """A page that cannot be built; the text says why."""


def sources() -> dict[str, str]:
    """Return the name of each page on the site, by its path in the repository."""
    own = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    return {**own, **NAMES}


def rewritten(text: str, replace) -> str:
    """Return a page for the generator: each link, a match of LINK, is what `replace` returns. Code stays as it is."""
    lines, fence = [], None
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if mark and fence is None:
            fence = mark[1]
            # The name under which a reader saves the block is shown above it.
            line = re.sub(r" file=(\S+)", r' title="\1"', line)
        elif mark and line.strip() == fence:
            fence = None
        elif fence is None:
            line = outside_code(line, lambda part: LINK.sub(replace, part))
        lines.append(line)
    return "".join(lines)


def outside_code(line: str, change) -> str:
    """Change the parts of a line that are not code."""
    parts, end = [], 0
    for code in CODE.finditer(line):
        # A link may have code as its text: the brackets around it are outside.
        parts += [change(line[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(line[end:])])


class Site:
    """The pages and files of the site, in a folder that the generator reads."""

    def __init__(self, folder: pathlib.Path, repository: str | None = None) -> None:
        self.folder = folder
        self.repository = repository
        self.sources = sources()
        self.faults: list[str] = []
        self.shown: set[str] = set()

    def write(self) -> None:
        """Write all pages, and the files to which they link.

        Raises:
            Fault: a link leads nowhere.
        """
        for source, name in self.sources.items():
            text = (ROOT / source).read_text()
            self.put(name, rewritten(text, lambda link, source=source: self.link(source, link)))
        for name, maker in MADE.items():
            self.put(name, maker.page((ROOT / maker.SOURCE).read_text()))
        for path in sorted(self.shown):
            folder = (ROOT / path).is_dir()
            self.put(f"{SHOWN}{path}.md", self.listing(path) if folder else shown(path))
        self.put("extra.css", (ROOT / "docs/site/extra.css").read_text())
        if self.faults:
            raise Fault("\n".join(self.faults))

    def put(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def link(self, source: str, link: re.Match[str]) -> str:
        """Return a link of a source as the site has it. A page is named by its title, not by its file."""
        target, text = self.target(source, link["target"]), link[1]
        page = next((path for path, name in self.sources.items() if name == target.partition("#")[0]), None)
        if page and (link["text"] or "").endswith(".md"):
            text = f"[{title(page)}]"
        return f"{text}({target})"

    def target(self, source: str, link: str) -> str:
        """Return the address on the site for a link of a source."""
        path, _, fragment = link.partition("#")
        if re.match(r"[a-z]+:", link) or not path:
            return link
        path = os.path.normpath(os.path.join(os.path.dirname(source), path))
        if (ROOT / path).is_dir() and (ROOT / path / "README.md").exists():
            path = os.path.join(path, "README.md")
        suffix = f"#{fragment}" if fragment else ""
        if path in self.sources:
            return self.sources[path] + suffix
        made = [name for name, maker in MADE.items() if maker.SOURCE == path]
        if made:
            return made[0]
        if path.startswith("../"):
            # On GitHub, `../../issues` leads from a file of the repository to its issues.
            return f"{self.repository}/{path.lstrip('./')}" if self.repository else self.sources[source]
        if not (ROOT / path).exists():
            self.faults.append(f"{source}: {link} leads to no file")
            return link
        if path.startswith("docs/"):
            name = path.removeprefix("docs/")
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes((ROOT / path).read_bytes())
            return name
        self.shown.add(path)
        return f"{SHOWN}{path}.md"

    def listing(self, path: str) -> str:
        """Return a page with links to the files of a folder, each of which gets a page too."""
        files = [file.relative_to(ROOT / path) for file in sorted((ROOT / path).rglob("*")) if file.is_file()]
        lines = []
        for file in (file for file in files if file.suffix not in UNSHOWN):
            self.put(f"{SHOWN}{path}/{file}.md", shown(f"{path}/{file}"))
            lines.append(f"- [{file}]({pathlib.PurePath(path).name}/{file}.md)\n")
        return f"{HIDDEN}# {path}\n\n{''.join(lines)}"

    def names(self) -> set[str]:
        """Return the names of the pages that must be in the navigation."""
        return {*self.sources.values(), *MADE}


def title(source: str) -> str:
    """Return the title of a page."""
    first = (ROOT / source).read_text().split("\n", 1)[0]
    if not first.startswith("# "):
        raise Fault(f"{source} does not begin with its title")
    return first.removeprefix("# ")


def shown(path: str) -> str:
    """Return a page with the text of a file."""
    text = (ROOT / path).read_text()
    fence = "`" * (1 + max([2, *(len(mark) for mark in re.findall("`{3,}", text))]))
    language = LANGUAGES.get(pathlib.PurePath(path).suffix, "text")
    return f"{HIDDEN}# {path}\n\n{fence} {language}\n{text.rstrip()}\n{fence}\n"


def in_navigation(items: list) -> list[str]:
    """Return the names of the pages in `nav` of the configuration."""
    names: list[str] = []
    for item in items:
        for value in item.values() if isinstance(item, dict) else [item]:
            names += in_navigation(value) if isinstance(value, list) else [value]
    return names


def check_navigation(navigation: list, names: set[str]) -> None:
    """Compare the navigation with the pages.

    Raises:
        Fault: a page is not in it, or is in it twice, or does not exist.
    """
    listed = in_navigation(navigation)
    faults = [f"{name} is not in `nav` of docs/site/zensical.toml: add it" for name in sorted(names - set(listed))]
    faults += [
        f"`nav` of docs/site/zensical.toml has {name}, but there is no such page"
        for name in listed
        if name not in names
    ]
    faults += [
        f"`nav` of docs/site/zensical.toml has {name} twice" for name in sorted(set(listed)) if listed.count(name) > 1
    ]
    if faults:
        raise Fault("\n".join(faults))
