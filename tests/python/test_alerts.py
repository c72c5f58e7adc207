"""The rules for Prometheus, checked by promtool, and their runbooks."""

import re

import yaml
from rules import PROMETHEUS, ROOT, RULES, RUNBOOKS, alerts, recorded, run

TESTS = sorted(PROMETHEUS.glob("tests/*.yml"))


def test_promtool_accepts_the_configuration_with_its_rules():
    checked = run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert all(file.name in checked for file in RULES), checked


def test_amtool_accepts_the_routes_and_gives_pages_to_the_pager():
    config = PROMETHEUS / "alertmanager.yml"
    run("amtool", "check-config", config)
    for severity, receiver in (("page", "pager"), ("ticket", "tickets")):
        routed = run("amtool", "config", "routes", "test", f"--config.file={config}", f"severity={severity}")
        assert receiver in routed.split(), routed
    named = re.findall(r'alertname=~?"([\w|]+)"', config.read_text())
    assert {name for names in named for name in names.split("|")} <= {alert["alert"] for alert in alerts()}


def test_each_alert_fires_and_resolves_as_its_test_expects():
    run("promtool", "test", "rules", *TESTS)
    evaluations = {}
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for each in test["alert_rule_test"]:
                evaluations.setdefault(each["alertname"], []).append(each["exp_alerts"])
    for alert in alerts():
        expected = evaluations.get(alert["alert"], [])
        fired = [at for at, alerts in enumerate(expected) if any(labels_fit(alert, each) for each in alerts)]
        assert fired, f"no test expects {alert['alert']} {alert['labels']}"
        assert [] in expected[fired[0] :], f"no test expects the end of {alert['alert']} {alert['labels']}"


def labels_fit(alert, expected):
    return alert["labels"].items() <= expected["exp_labels"].items()


def test_each_alert_says_how_urgent_it_is_and_where_its_runbook_is():
    for alert in alerts():
        name, annotations = alert["alert"], alert["annotations"]
        assert alert["labels"]["severity"] in ("page", "ticket"), name
        assert annotations["summary"] and annotations["description"].endswith("."), name
        # HEAD is the default branch, whatever its name.
        assert annotations["runbook_url"].endswith(f"/blob/HEAD/docs/alerts.md#{name.lower()}"), name
    bases = {alert["annotations"]["runbook_url"].partition("#")[0] for alert in alerts()}
    assert len(bases) == 1, "the base is replaced by one command"


def test_each_alert_has_a_runbook_and_each_runbook_an_alert():
    text = RUNBOOKS.read_text()
    names = list(dict.fromkeys(alert["alert"] for alert in alerts()))
    sections = re.findall(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == names
    for name, section in sections:
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == ["Meaning", "Look", "Do"], name
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (.+?) \| .+ \|$", text, re.MULTILINE)
    severities = [
        ", ".join(dict.fromkeys(alert["labels"]["severity"] for alert in alerts() if alert["alert"] == name))
        for name in names
    ]
    assert rows == [(name, name.lower(), severity) for name, severity in zip(names, severities)]


def test_the_alert_on_readiness_names_the_parts_for_which_readyz_answers_503():
    table = re.findall(r"^\| `(\w+)` \| .* \| (200|503) \|$", (ROOT / "docs/running.md").read_text(), re.MULTILINE)
    parts = {code: {part for part, answer in table if answer == code} for code in ("200", "503")}
    expressions = {alert["alert"]: alert["expr"] for alert in alerts()}

    def named(alert):
        return set(re.search(r'what=~"([\w|]+)"', expressions[alert])[1].split("|"))

    assert named("PyapnsNotReady") == parts["503"] != set()
    # PyapnsClockOff and PyapnsRedisAway have the others. While the latter fires, PyapnsDegraded does not.
    assert named("PyapnsDegraded") == parts["200"] - {"clock", "shared_store"} != set()
    away = [rule["expr"] for rule in recorded() if rule["record"] == "job:pyapns_redis_away:count"]
    assert len(away) == 1 and 'what="shared_store"' in away[0]
    assert "job:pyapns_redis_away:count" in expressions["PyapnsRedisAway"]
    rows = re.search(r"^### PyapnsDegraded$(.*?)^###", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)[1]
    assert set(re.findall(r"^\| `(\w+)` \| [^`]", rows, re.MULTILINE)) == named("PyapnsDegraded") | {"what"}
