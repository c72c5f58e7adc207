"""The new methods of `Client`: everything that the API offers, as objects."""

import dataclasses

import pytest

import pyapns
from pyapns.model import App, Disconnection, Feedback, Outcome, Page


def test_send_returns_the_outcome_and_every_option_reaches_apple(client, app, pyapns_service):
    outcome = client.send(
        *app,
        "00fc13ad",
        {"aps": {"alert": "Schöne Grüße 👋"}},
        identifier="order 7",
        expiry=1_900_000_000,
        priority=10,
        push_type="voip",
        collapse_id="orders",
        topic="com.example.app.voip",
    )
    assert (outcome.outcome, outcome.is_accepted, outcome.identifier) == ("accepted", True, "order 7")
    assert (outcome.token, outcome.status, outcome.attempts, outcome.reason) == ("00fc13ad", 200, 1, None)
    [entry] = pyapns_service.ledger.entries()
    assert entry.apns_id == outcome.apns_id and entry.payload == {"aps": {"alert": "Schöne Grüße 👋"}}
    assert (entry.expiration, entry.priority, entry.push_type) == ("1900000000", "10", "voip")
    assert (entry.collapse_id, entry.topic) == ("orders", "com.example.app.voip")


def test_outcomes_are_frozen_and_keep_what_they_do_not_know():
    outcome = Outcome.from_simple({"outcome": "accepted", "token": "0a", "new_field": 1})
    assert outcome.raw["new_field"] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.token = "0b"
    app = App.from_simple(
        {"app_id": "x", "environment": "sandbox", "new": 1, "credential": {"kind": "token", "new": 2}}
    )
    assert (app.raw["new"], app.credential.kind, app.credential.raw["new"]) == (1, "token", 2)


def test_one_payload_goes_to_many_tokens_and_a_list_keeps_its_order(client, app):
    outcomes = client.send_to_tokens(*app, ["0a", "0b", "0c"], {"aps": {"badge": 1}}, identifier="all")
    assert [(one.token, one.identifier, one.outcome) for one in outcomes] == [
        (token, "all", "accepted") for token in ("0a", "0b", "0c")
    ]
    items = [{"token": f"{number:04x}", "payload": {}, "identifier": number} for number in range(300)]
    assert [one.identifier for one in client.send_list(*app, items)] == list(range(300))


def test_a_rejection_is_an_outcome_and_no_exception(client, app, pyapns_service):
    pyapns_service.simulator.make_dead("0a")
    outcome = client.send(*app, "0a", {"aps": {}})
    assert (outcome.outcome, outcome.status, outcome.reason) == ("rejected", 410, "Unregistered")


def test_apps_are_listed_over_all_pages_shown_and_removed(client, pyapns_service, monkeypatch):
    monkeypatch.setattr("pyapns._calls.PAGE", 2)
    names = [f"com.example.page{number}" for number in range(5)]
    for name in names:
        client.provision(name, "sandbox", pyapns_service.simulator.certificate)
    assert [one.app_id for one in client.apps() if one.app_id in names] == names
    shown = client.app(names[0], "sandbox")
    assert isinstance(shown, App) and shown.credential.kind == "certificate" and shown.state == "ok"
    client.provision(names[0], "sandbox", pyapns_service.simulator.certificate, revision=shown.revision)
    with pytest.raises(pyapns.ApiError) as failed:
        client.remove(names[0], "sandbox", revision=shown.revision)
    assert (failed.value.status, failed.value.reason) == (412, "changed_meanwhile")
    for name in names:
        client.remove(name, "sandbox")
    with pytest.raises(pyapns.NotProvisioned):
        client.app(names[0], "sandbox")


def test_an_app_is_provisioned_with_a_signing_key(client, pyapns_service):
    identity = pyapns_service.simulator.identity
    with open(identity["key_file"]) as file:
        key = file.read()
    name = "com.example.key"
    client.provision(
        name,
        "production",
        key=key,
        key_id=identity["key_id"],
        team_id=identity["team_id"],
        topic=identity["topic"],
        lanes=2,
    )
    shown = client.app(name, "production")
    assert (shown.credential.kind, shown.credential.key_id, shown.lanes) == ("token", identity["key_id"], 2)
    assert client.send(name, "production", "0a", {"aps": {}}).is_accepted
    client.remove(name, "production")


def test_feedback_is_read_in_pages_and_stays_until_it_is_acknowledged(client, app, pyapns_service):
    tokens = [f"{number:04x}" for number in range(7)]
    pyapns_service.simulator.make_dead(*tokens)
    client.send_to_tokens(*app, tokens, {})
    page = client.feedback_page(*app, limit=3)
    assert isinstance(page, Page) and all(isinstance(one, Feedback) for one in page.entries)
    assert [(one.token, one.reason) for one in page.entries] == [(token, "Unregistered") for token in tokens[:3]]
    following = client.feedback_page(*app, page.cursor, 10)
    assert [one.token for one in following.entries] == tokens[3:]
    assert client.acknowledge_feedback(*app, page.cursor) == 3
    assert [one.token for one in client.iter_feedback(*app, ack=False, limit=2)] == tokens[3:]
    assert [one.token for one in client.iter_feedback(*app, limit=2)] == tokens[3:]
    assert client.feedback_page(*app).entries == []


def test_a_page_whose_processing_fails_is_not_acknowledged(client, app, pyapns_service):
    pyapns_service.simulator.make_dead("0a", "0b", "0c")
    client.send_to_tokens(*app, ["0a", "0b", "0c"], {})
    with pytest.raises(ZeroDivisionError):
        for entry in client.iter_feedback(*app, limit=2):
            if entry.token == "0b":
                raise ZeroDivisionError
    assert [one.token for one in client.feedback_page(*app).entries] == ["0a", "0b", "0c"]


def test_the_disconnection_log_is_read_in_pages_and_acknowledged(client, app, pyapns_service):
    pyapns_service.simulator.make_bad("0a", "0b")
    client.send_to_tokens(*app, ["0a", "0b"], {"aps": {"alert": "x"}}, identifier="i")
    page = client.disconnections_page(*app, limit=1)
    [event] = page.entries
    assert isinstance(event, Disconnection)
    assert (event.code, event.reason, event.offending_notification["identifier"]) == (8, "BadDeviceToken", "i")
    assert client.acknowledge_disconnections(*app, page.cursor) == 1
    assert len(list(client.iter_disconnections(*app))) == 1
    assert client.disconnections_page(*app).entries == []


def test_held_feedback_is_shown_and_settled(client, pyapns_service):
    name = ("com.example.held", "sandbox")
    client.provision(*name, pyapns_service.simulator.certificate)
    tokens = [f"{number:04x}" for number in range(60)]
    pyapns_service.simulator.make_bad(*tokens)
    client.send_to_tokens(*name, tokens, {})
    held = client.held_feedback(*name)
    assert held.count > 0 and held.since and held.why
    assert client.settle_held(*name, "drop") == held.count
    assert client.held_feedback(*name).count == 0
    client.remove(*name)


def test_the_next_test_finds_no_held_feedback(client, app, pyapns_service):
    tokens = [f"{number:04x}" for number in range(60)]
    pyapns_service.simulator.make_bad(*tokens)
    client.send_to_tokens(*app, tokens, {})
    assert client.held_feedback(*app).count > 0
    pyapns_service.reset()
    assert client.held_feedback(*app).count == 0 and client.feedback_page(*app).entries == []


def test_the_node_tells_its_health_readiness_and_metrics(client):
    assert client.is_healthy() is True
    readiness = client.readiness()
    assert (readiness.status, readiness.is_ready, readiness.degraded) == ("ready", True, ())
    assert "pyapns_notifications_total" in client.metrics()


def test_a_node_that_is_not_ready_is_an_answer_and_no_exception(scripted):
    def not_ready(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        body = (
            b'{"error": "the node is not ready: it is stopping", "code": 503, "type": "error", "reason": '
            b'"shutting_down", "response": {"type": "readiness", "status": "not_ready", "degraded": []}}'
        )
        connection.sendall(b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    readiness = pyapns.Client(scripted(not_ready).url).readiness()
    assert (readiness.status, readiness.is_ready) == ("not_ready", False)


def test_a_payload_that_is_no_json_is_an_error_before_anything_is_sent(client, app, pyapns_service):
    with pytest.raises(TypeError):
        client.send(*app, "0a", {"aps": object()})
    with pytest.raises(ValueError):
        client.send(*app, "0a", {"aps": float("nan")})
    assert pyapns_service.ledger.entries() == []
