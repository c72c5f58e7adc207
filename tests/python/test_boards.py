"""The boards for Grafana: they are what their generator writes, well-formed, and complete."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from rules import ROOT, all_rules, boards, families, panels, queries, recorded

NAMES = ["app", "apple", "cluster", "overview"]
UNITS = {"none", "cps", "reqps", "s", "bytes", "percentunit"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {"timeseries", "stat", "table", "state-timeline"}
# Families that no board and no alert needs, with the reason.
UNUSED = {}


def test_the_boards_are_what_the_generator_writes(tmp_path):
    subprocess.run([sys.executable, ROOT / "grafana/generate", tmp_path], check=True, timeout=60)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    committed = {file.name: file.read_text() for file in ROOT.glob("grafana/boards/*")}
    assert sorted(written) == [f"{name}.json" for name in NAMES]
    assert written == committed, "run grafana/generate"


@pytest.mark.parametrize("name", NAMES)
def test_a_board_has_what_an_import_needs(name):
    board = boards()[name]
    assert "id" not in board and "version" not in board, "an import would overwrite another board"
    assert board["uid"] == f"pyapns-{name}" and board["title"] and board["description"].endswith(".")
    declared = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert declared.pop("datasource")["type"] == "datasource"
    assert all(each["datasource"] == DATASOURCE for each in [*declared.values(), *board["annotations"]["list"]])
    texts = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    texts += [variable["definition"] for variable in declared.values()]
    used = set(re.findall(r"\$(\w+)", " ".join(texts))) - {"__rate_interval"}
    assert used == set(declared), "the variables that are declared, and those that are used"


@pytest.mark.parametrize("name", NAMES)
def test_the_types_of_grafana_have_each_field_of_a_board(name):
    board = boards()[name]
    plugins.register_default_plugins()
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    lost = {re.sub(r"\d+", "N", path) for path in differences(board, known)}
    templates = {"/templating/list/N/definition"}
    assert lost - templates == {"/annotations/list/N/titleFormat", "/annotations/list/N/textFormat"}, (
        "fields that Grafana has, and its types lack"
    )


def differences(one, other, path=""):
    """The paths of `one` that `other` lacks or has with another value."""
    if isinstance(one, dict):
        for key, value in one.items():
            here = f"{path}/{key}"
            yield from differences(value, other[key], here) if key in other else [here]
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for at, value in enumerate(one):
            yield from differences(value, other[at], f"{path}/{at}")
    elif one != other:
        yield path


@pytest.mark.parametrize("name", NAMES)
def test_each_panel_of_a_board_explains_itself(name):
    board = boards()[name]
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len(set(titles)) > 10
    for panel in panels(board):
        title, targets = panel["title"], panel["targets"]
        assert panel["type"] in KINDS and "id" not in panel, title
        assert panel["description"].endswith("."), title
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, title
        assert panel["datasource"] == DATASOURCE, title
        refs = [target["refId"] for target in targets]
        assert refs and all(refs) and len(refs) == len(set(refs)), title
        for target in targets:
            assert target["datasource"] == DATASOURCE, title
            windows = re.findall(r"\[(.*?)\]", target["expr"])
            assert set(windows) <= {"$__rate_interval"}, f"{title}: a window that does not fit the scrape interval"
            assert 'job=~"$job' in target["expr"], f"{title}: the query ignores the chosen fleet"


@pytest.mark.parametrize("name", NAMES)
def test_no_panels_of_a_board_overlap(name):
    taken = {}
    for panel in boards()[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24 and place["h"] > 0, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other is panel["title"], f"{panel['title']} lies on {other}"


def test_each_metric_of_a_query_exists_and_each_metric_is_used():
    known = set(re.findall(r"^\| `(pyapns_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    used = {family: name for name, query in queries() for family in families(query)}
    assert not {family: name for family, name in used.items() if family not in known}, "docs/metrics.md lists all"
    assert known - set(used) == set(UNUSED), "add a panel, an alert, or a reason to UNUSED"


def test_each_recorded_series_of_a_query_is_recorded():
    names = {rule["record"] for rule in recorded()}
    for name, query in queries():
        assert set(re.findall(r"\b(?:job|instance):\w+:\w+", query)) <= names, name
    used = " ".join(rule["expr"] for rule in all_rules())
    assert [name for name in names if name not in used] == [], "recorded for nothing"


def test_the_provisioning_loads_the_boards_with_a_data_source():
    folder = ROOT / "grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/pyapns.yml").read_text())
    assert [source["type"] for source in sources["datasources"]] == ["prometheus"]
    providers = yaml.safe_load((folder / "dashboards/pyapns.yml").read_text())
    path = providers["providers"][0]["options"]["path"]
    assert path in (ROOT / "grafana/README.md").read_text()
