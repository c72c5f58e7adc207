"""The rules for Prometheus, the runbooks and the boards of the repository, as data for tests."""

import functools
import json
import pathlib
import re
import shutil
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = sorted(PROMETHEUS.glob("rules/*.yml"))
RUNBOOKS = ROOT / "docs/alerts.md"


@functools.cache
def all_rules():
    """Each rule of the rule files."""
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in all_rules() if "alert" in rule]


def recorded():
    return [rule for rule in all_rules() if "record" in rule]


def boards():
    """Each board by the name of its file."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(ROOT.glob("grafana/boards/*.json"))}


def panels(board):
    """The panels of a board that show data."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries():
    """Each query as a name for messages and its PromQL, with the variables of Grafana."""
    of_rules = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in all_rules()]
    of_boards = [
        (f"{name}: {panel['title']} {target['refId']}", target["expr"])
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]
    return of_rules + of_boards


def families(text):
    """The families of pyapns that a query or a text of metrics names; the parts of a histogram are one family."""
    return {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"(?<![\w:])pyapns_\w+", text)}


def run(program, *arguments):
    """Runs a program of Prometheus, which must succeed, and returns its output."""
    found = shutil.which(program)
    assert found, f"{program} is missing: tests/run installs it"
    done = subprocess.run([found, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
