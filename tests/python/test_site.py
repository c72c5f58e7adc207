"""The documentation as a site: built as its readers get it, and read in Chromium."""

import functools
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse

import pytest
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What the tests need to know about pages. Chromium parses them as it would to show them, which costs less.
READ = """async (paths) => {
  const read = {};
  for (const path of paths) {
    const page = new URL(path, location.origin).href;
    const shown = new DOMParser().parseFromString(await (await fetch(page)).text(), "text/html");
    const every = (selector, value) => [...shown.querySelectorAll(selector)].map(value);
    const base = shown.createElement("base");
    base.href = page;
    shown.head.prepend(base);
    read[path] = {
      links: every("a[href]", (link) => link.href),
      loads: [...every("[src]", (element) => element.src), ...every("link[href]", (link) => link.href)],
      ids: every("[id]", (element) => element.id),
      markup: every("article p", (text) => text.textContent)
        .filter((text) => /^ *([-*] |[0-9]+[.] |[|]|```)/m.test(text)),
      text: shown.querySelector("article")?.textContent ?? "",
    };
  }
  return read;
}"""
# Pages that are shown as readers see them: the first, a wide table, a picture.
SHOWN = ["", "metrics/", "cluster/"]


def build(root, out):
    command = [sys.executable, root / "docs/build-site", "--out", out]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


class Server(http.server.ThreadingHTTPServer):
    """The site on a free port of this machine."""

    def __init__(self, folder):
        handler = functools.partial(Quiet, directory=str(folder))
        super().__init__(("127.0.0.1", 0), handler)
        self.base = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site."""
    out = tmp_path_factory.mktemp("site") / "site"
    built = build(ROOT, out)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


@pytest.fixture(scope="module")
def server(site):
    server = Server(site)
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "tests/run installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(server, browser):
    """A narrow tab, and the set of URLs that it asked for."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="dark")
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.asked = set()
    context.on("request", lambda request: tab.asked.add(request.url))
    yield tab
    context.close()


@pytest.fixture(scope="module")
def pages(site, server, tab):
    """Every page by its path: `sending/`."""
    paths = [f"{file.parent.relative_to(site)}/".removeprefix("./") for file in sorted(site.rglob("index.html"))]
    tab.goto(server.base)
    return tab.evaluate(READ, paths)


def test_every_page_of_the_documentation_is_on_the_site(pages):
    names = {f"{path.stem}/" for path in (ROOT / "docs").glob("*.md")} - {"README/"}
    assert len(names) > 15
    assert names <= set(pages), names - set(pages)
    # The first page is the README of the repository; a link to a file of the repository leads to its text.
    assert "Try it without an Apple account" in pages[""]["text"]
    assert "backend" in pages["files/haproxy/haproxy.cfg/"]["text"]


def test_every_link_leads_to_a_page_and_an_anchor_of_the_site(pages, server, site):
    followed = 0
    for path, page in pages.items():
        for link in page["links"]:
            url, _, fragment = link.partition("#")
            if not url.startswith(server.base):
                # Sources that are cited, and programs that a reader has just started.
                assert url.startswith(("https://", "http://127.0.0.1:")), f"{path}: {link}"
                continue
            target = urllib.parse.unquote(url.removeprefix(server.base))
            if target not in pages:
                assert (site / target).is_file(), f"{path}: {link} leads to no page"
                continue
            fragment = urllib.parse.unquote(fragment)
            assert not fragment or fragment in pages[target]["ids"], f"{path}: {link} has no such anchor"
            followed += 1
    assert followed > 500


def test_no_page_loads_anything_from_another_host(pages, server, site, tab):
    for path, page in pages.items():
        foreign = [url for url in page["loads"] if not url.startswith((server.base, "data:"))]
        assert not foreign, f"{path}: {foreign}"
    for file in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", file.read_text()), file
    for path in SHOWN:
        tab.goto(server.base + path, wait_until="load")
        assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth"), f"{path} is too wide for a phone"
    assert not {url for url in tab.asked if not url.startswith((server.base, "data:", "blob:"))}
    assert any(url.endswith(".css") for url in tab.asked) and any(url.endswith(".js") for url in tab.asked)


def test_every_list_and_table_is_shown_as_one(pages):
    assert {path: page["markup"] for path, page in pages.items() if page["markup"]} == {}


def test_the_search_finds_the_page_about_a_word(server, tab):
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.goto(server.base)
    tab.get_by_role("button", name="Search").first.click()
    tab.get_by_role("combobox", name="Search").fill("cordon")
    results = tab.get_by_role("listbox", name="Search results")
    results.get_by_role("option").filter(has_text="Operating a cluster").first.click()
    tab.wait_for_url(re.compile("/operating-a-cluster/"))
    assert not {url for url in tab.asked if not url.startswith((server.base, "data:", "blob:"))}


def test_the_reference_has_every_call_and_every_object_of_the_description(pages):
    page = pages["rest-reference/"]
    description = json.loads((ROOT / "src/api/openapi.json").read_text())
    calls = [
        (f"{method.upper()} {path}", operation["summary"])
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(calls) > 15
    for call, summary in calls:
        assert summary in page["text"] and f"\n{call}\n" in page["text"], call
    schemas = description["components"]["schemas"]
    assert {name.lower() for name in schemas} <= set(page["ids"])
    for name, schema in schemas.items():
        for field in schema.get("properties", {}):
            assert field in page["text"], f"{name}.{field}"


def test_the_page_of_settings_has_every_line_of_the_defaults(pages):
    shown = " ".join(pages["settings/"]["text"].split())
    for line in (ROOT / "src/config/default.toml").read_text().splitlines():
        assert " ".join(line.split()) in shown, line


FAULTS = {
    "a page that is not in the navigation": ("new.md", "# New\n", "new.md is not in `nav`"),
    "a link to no file": ("glossary.md", "[away](nothing.md)\n", "nothing.md leads to no file"),
    "a link to no heading": ("glossary.md", "[away](sending.md#nothing)\n", "anchor does not exist"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_page_ends_the_build_and_leaves_the_site_as_it_was(fault, tmp_path):
    copy = tmp_path / "copy"
    skipped = shutil.ignore_patterns("target", ".git", "tests", "fuzz", "*.rs", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=skipped)
    page, text, complaint = FAULTS[fault]
    with open(copy / "docs" / page, "a") as file:
        file.write(f"\n{text}")
    out = tmp_path / "site"
    out.mkdir()
    (out / "kept").touch()
    built = build(copy, out)
    assert built.returncode == 1
    assert complaint in built.stderr, built.stderr
    assert (out / "kept").exists()
