"""Chromium on the operator's machine: a page of another origin gets neither a read nor a write."""

import http.server
import json
import pathlib
import shutil
import threading
import time
import urllib.request
import uuid

import pytest
from playwright.sync_api import sync_playwright

from conftest import start_node
from rest import Rest

# Names that an attacker's DNS server resolves to this machine.
CROSS_SITE, REBOUND = "evil.example", "rebound.example"
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # This browser may ask its user before a page calls this machine. Others do not, and users say yes.
    "--disable-features=LocalNetworkAccessChecks",
    f"--host-resolver-rules=MAP {CROSS_SITE} 127.0.0.1, MAP {REBOUND} 127.0.0.1",
]
PAGE = "<!doctype html><title>cats</title><iframe name=frame></iframe>"

# Sends everything that a page can send to `base`; answers with what the page could read.
ATTACK = """
async ({ base, app, bodies }) => {
  const read = [];
  const send = `${base}${app}/notifications`;
  const get = `${base}${app}`;
  const fetched = async (url, options) => {
    try { read.push(await (await fetch(url, options)).text()); } catch {}
  };
  const element = (name, url) => new Promise((resolve) => {
    const made = document.createElement(name);
    made.onload = () => { read.push(`${name} loaded`); resolve(); };
    made.onerror = resolve;
    made.src = url;
    document.body.append(made);
  });
  const posted = (url, body) => new Promise((resolve) => {
    const [before, after] = body.split("=");
    const form = document.createElement("form");
    Object.assign(form, { action: url, method: "post", enctype: "text/plain", target: "frame" });
    const field = document.createElement("textarea");
    [field.name, field.value] = [before, after];
    form.append(field);
    document.body.append(form);
    document.querySelector("iframe").addEventListener("load", resolve, { once: true });
    form.submit();
  });
  for (const mode of ["cors", "no-cors"]) {
    for (const url of [`${base}/apps`, get, `${get}/feedback`]) await fetched(url, { mode });
  }
  for (const name of ["img", "script"]) await element(name, `${base}/apps`);
  await fetched(send, { method: "POST", mode: "cors", body: bodies.cors });
  await fetched(send, { method: "POST", mode: "no-cors", body: bodies.nocors });
  await fetched(send, { method: "POST", body: bodies.json, headers: { "content-type": "application/json" } });
  await fetched(get, { method: "DELETE" });
  await fetched(`${base}/apps/made.by.a.page/sandbox`, { method: "POST", mode: "no-cors", body: bodies.provision });
  await posted(send, bodies.form);
  navigator.sendBeacon(send, bodies.beacon);
  return read.filter((text) => text !== "");
}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = shutil.which("chromium")
    assert program, "tests/run installs it"
    with sync_playwright() as playwright:
        profile = tmp_path_factory.mktemp("chromium")
        context = playwright.chromium.launch_persistent_context(profile, executable_path=program, args=FLAGS)
        yield context
        context.close()


@pytest.fixture(scope="module")
def pages():
    """The port of a server with another origin's pages."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def trusting(simulator, tmp_path_factory):
    """A node whose operator trusts these pages: `hosts` accepts what a node without the check would accept."""
    settings = f'hosts = ["127.0.0.1", "localhost", "{CROSS_SITE}", "{REBOUND}"]'
    process, address = start_node(simulator, tmp_path_factory.mktemp("trusting"), settings)
    yield address
    process.stop()


def open_page(browser, pages, origin, node):
    """A page of `origin`, and the base of the URLs that it attacks, with a name of the node."""
    port = node.rsplit(":", 1)[1]
    page = browser.new_page()
    if origin == REBOUND:
        # The page was loaded while its name resolved elsewhere; now it resolves to the node.
        page.route("**/page", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        page.goto(f"http://{REBOUND}:{port}/page")
        page.unroute("**/page")
        return page, f"http://{REBOUND}:{port}"
    page.goto(f"http://{origin}:{pages}/")
    return page, f"http://{'localhost' if origin == 'localhost' else '127.0.0.1'}:{port}"


def attack(browser, pages, origin, node, app, simulator):
    """Attacks `app` from a page of `origin`. Returns what the page read, and the token of each kind of send."""
    tokens = {way: uuid.uuid4().hex * 2 for way in ["cors", "nocors", "json", "form", "beacon"]}
    notification = '{"token":"%s","payload":{"aps":{"alert":"="}},"identifier":"page"}'
    bodies = {way: notification % token for way, token in tokens.items()}
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    bodies["provision"] = json.dumps({"certificate": certificate})
    page, base = open_page(browser, pages, origin, node)
    before = sends_answered(node)
    read = page.evaluate(ATTACK, {"base": base, "app": app, "bodies": bodies})
    # A page does not learn the result of a beacon. JSON from another origin causes a preflight instead.
    end = time.monotonic() + 20
    while sends_answered(node) < before + len(tokens):
        assert time.monotonic() < end, "a send did not arrive"
        time.sleep(0.02)
    page.close()
    return read, tokens


def sends_answered(node):
    text = urllib.request.urlopen(f"http://{node}/metrics", timeout=20).read().decode()
    lines = [line for line in text.splitlines() if line.startswith("pyapns_api_requests_total{")]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if '/notifications"' in line)


def provision(node, simulator):
    path = f"/apps/page.{uuid.uuid4().hex[:8]}/sandbox"
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    assert Rest(node).call("POST", path, {"certificate": certificate})[0] == 201
    return path


@pytest.mark.parametrize("origin", ["127.0.0.1", "localhost", CROSS_SITE, REBOUND])
def test_a_page_of_another_origin_gets_neither_a_read_nor_a_write(
    browser, pages, origin, node, simulator, control
):
    app = provision(node, simulator)
    before = Rest(node).call("GET", "/apps")
    read, tokens = attack(browser, pages, origin, node, app, simulator)
    # A page under a rebound name reads its refusals.
    assert all('"reason":"host_not_allowed"' in text for text in read) if origin == REBOUND else read == []
    assert control.ledger() == []
    assert Rest(node).call("GET", "/apps") == before


@pytest.mark.parametrize("origin", [CROSS_SITE, REBOUND])
def test_the_same_page_writes_where_its_host_is_listed_so_that_the_attack_is_one(
    browser, pages, origin, trusting, simulator, control
):
    app = provision(trusting, simulator)
    read, tokens = attack(browser, pages, origin, trusting, app, simulator)
    sent = {entry["token"] for entry in control.ledger()}
    names = {one["name"] for one in Rest(trusting).call("GET", "/apps")[1]["response"]}
    assert "made.by.a.page" in names
    if origin == REBOUND:
        # The same origin: it also deletes the app, before the last two kinds of send.
        assert any('"response":[' in text for text in read) and app.split("/")[2] not in names
        assert sent == {tokens["cors"], tokens["nocors"], tokens["json"]}
    else:
        # Without CORS headers it reads nothing and sends only what needs no preflight.
        assert read == []
        assert sent == {tokens["cors"], tokens["nocors"], tokens["form"], tokens["beacon"]}


def test_an_operator_who_types_the_address_sees_the_answer(browser, node):
    page = browser.new_page()
    answer = page.goto(f"http://{node}/apps")
    assert (answer.status, answer.json()["code"]) == (200, 200)
    page.close()
