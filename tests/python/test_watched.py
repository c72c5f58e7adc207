"""The boards and rules with a live Prometheus, which scrapes a node and a cluster under load with faults."""

import math
import re

import pytest
from prometheus import fast_rules
from rules import RUNBOOKS, boards, panels
from watched import FAULTS, Site

SHARES = {"percentunit"}
# Series of rules and boards, to ask for each alone.
SELECTOR = re.compile(r"\b(pyapns_\w+|process_\w+|up|(?:job|instance):\w+:\w+)(\{[^}]*\})?(?!\w*\()")


@pytest.fixture(scope="module")
def site(simulator, tmp_path_factory):
    site = Site(simulator, tmp_path_factory.mktemp("watched"))
    try:
        site.run()
        yield site
    finally:
        site.stop()


def test_each_fault_fires_its_alert_and_the_alert_ends_with_it(site):
    assert site.fired.keys() == site.resolved == FAULTS.keys()


def test_alertmanager_sends_each_alert_to_its_receiver_once_it_fires_and_once_it_ends(site):
    for name, labels in site.fired.items():
        receiver = "pager" if labels["severity"] == "page" else "tickets"
        received = [alert for alert in site.receiver.alerts[receiver] if labels.items() <= alert.items()]
        assert {alert["status"] for alert in received} == {"firing", "resolved"}, name
    assert {name for name, labels in site.fired.items() if labels["severity"] == "ticket"} == {"PyapnsFeedbackHeld"}


def test_alertmanager_sends_only_the_most_urgent_stage_of_an_expiring_certificate(site):
    every = [alert for received in site.receiver.alerts.values() for alert in received]
    assert {alert["within"] for alert in every if alert["alertname"] == "PyapnsCertificateExpiring"} == {"3d"}


def test_prometheus_evaluates_each_rule_without_an_error(site):
    rules = site.prometheus.rules()
    assert len(rules) == sum(len(group["rules"]) for group in fast_rules()) > 40
    assert {(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"} == set()


def test_each_query_of_each_panel_returns_plausible_values(site):
    for name, board in boards().items():
        for panel in panels(board):
            unit = panel["fieldConfig"]["defaults"]["unit"]
            for target in panel["targets"]:
                where = f"{name}: {panel['title']} {target['refId']}"
                expression = target["expr"].replace("$__rate_interval", "10s")
                values = site.prometheus.values(re.sub(r"\$\w+", ".*", expression))
                least = -10 if panel["title"] == "Clocks" else 0
                check(where, values, least, 1 if unit in SHARES else math.inf)


def test_each_recording_rule_returns_plausible_values(site):
    for rule in (rule for group in fast_rules() for rule in group["rules"] if "record" in rule):
        most = 1 if ":ratio" in rule["record"] else math.inf
        check(rule["record"], site.prometheus.values(rule["record"]), 0, most)
        check(rule["record"], site.prometheus.values(rule["expr"]), 0, most)


def test_each_series_of_each_alert_exists(site):
    for rule in (rule for group in fast_rules() for rule in group["rules"] if "alert" in rule):
        selectors = ["".join(found) for found in SELECTOR.findall(re.sub(r"\(job.*?\)", "", rule["expr"]))]
        assert selectors, rule["alert"]
        for selector in selectors:
            assert site.prometheus.values(selector), f"{rule['alert']}: no series {selector}"
        if rule["alert"] in FAULTS:
            assert site.prometheus.values(rule["expr"]), rule["alert"]


def test_each_query_of_a_runbook_returns_something(site):
    text = " ".join(re.sub(r"^```.*?^```", "", RUNBOOKS.read_text(), flags=re.MULTILINE | re.DOTALL).split())
    queries = [code for code in re.findall(r"`([^`]+)`", text) if "pyapns_" in code and "(" in code]
    assert len(queries) > 5
    for query in queries:
        query = re.sub(r"\[.*?\]", "[10s]", query).replace("…", "busy")
        assert site.prometheus.values(query), query


def check(where, values, least, most):
    assert values, f"{where}: no value"
    wrong = [value for value in values if not least - 1e-6 <= value <= most + 1e-6 or math.isinf(value)]
    assert not wrong, f"{where}: {wrong[:5]} is not between {least} and {most}"
