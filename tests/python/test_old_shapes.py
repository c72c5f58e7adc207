"""The behaviour of v0.5 beyond its calls: the requests to Apple, and the contents of feedback and disconnections."""

import json
import pathlib
import re
import time
import uuid

import pytest

from rest import TOKEN, notification

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def fresh_token():
    return uuid.uuid4().hex * 2


def send(client, app, *notifications):
    status, answer = client.call("POST", app + "/notifications", list(notifications))
    assert status == 201, answer
    return answer["response"]


def disconnections(client, app):
    status, answer = client.call("GET", app + "/disconnections")
    assert status == 200
    return answer["response"]


def feedback(client, app):
    status, answer = client.call("GET", app + "/feedback")
    assert status == 200
    return answer["response"]


def only_entry(control, token):
    [entry] = control.ledger(token)
    return entry


def test_provisioned_apps_are_listed_and_read_one_by_one(client, app):
    status, answer = client.call("GET", "/apps")
    assert status == 200
    assert app.split("/")[2] in [one["name"] for one in answer["response"]]
    status, answer = client.call("GET", app)
    assert status == 200 and answer["response"]["type"] == "app"


def test_an_unknown_app_answers_404(client):
    for path in ("/apps/nobody/sandbox", "/apps/nobody/sandbox/feedback"):
        status, answer = client.call("GET", path)
        assert status == 404
        assert answer["type"] == "error" and answer["message"] and "args" in answer


def test_a_bad_list_answers_400(client, app):
    for bad in ("text", 7, [{"token": TOKEN}], [notification(token="xyz")]):
        status, answer = client.call("POST", app + "/notifications", bad)
        assert status == 400, bad
        assert answer["type"] == "error" and answer["message"] == answer["error"]


def test_provisioning_again_changes_the_app_and_the_timeout_is_15_unless_given(client, app, simulator):
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    for body, timeout in [({"certificate": certificate, "timeout": 40}, 40), ({"certificate": certificate}, 15)]:
        status, answer = client.call("POST", app, body)
        assert (status, answer["response"]["timeout"]) == (201, timeout)
    name = app.split("/")[2]
    status, answer = client.call("GET", "/apps")
    assert [one["timeout"] for one in answer["response"] if one["name"] == name] == [15]


def test_one_name_may_have_both_environments(client, app, simulator):
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    production = app.replace("/sandbox", "/production")
    status, answer = client.call("POST", production, {"certificate": certificate})
    assert (status, answer["response"]["environment"]) == (201, "production")
    assert client.call("GET", app)[1]["response"]["environment"] == "sandbox"


def test_a_token_may_be_written_as_xcode_showed_it(client, app, control):
    token = fresh_token()
    shown = "<" + " ".join(re.findall(".{8}", token.upper())) + ">"
    send(client, app, notification(token=shown))
    assert only_entry(control, token)["accepted"]


@pytest.mark.parametrize("expiry", [0, 4_000_000_000])
def test_the_expiry_goes_to_apple_as_it_is(client, app, control, expiry):
    token = fresh_token()
    [outcome] = send(client, app, {**notification(token=token), "expiry": expiry})
    assert (outcome["outcome"], only_entry(control, token)["expiration"]) == ("accepted", str(expiry))


def test_an_identifier_that_is_a_uuid_is_the_apns_id_and_another_gets_one(client, app, control):
    chosen, token, other = str(uuid.uuid4()), fresh_token(), fresh_token()
    first, second = send(
        client, app, notification(token=token, identifier=chosen), notification(token=other, identifier="mine/1")
    )
    assert only_entry(control, token)["apns_id"] == first["identifier"] == chosen
    assert second["identifier"] == "mine/1"
    assert UUID.fullmatch(only_entry(control, other)["apns_id"])


@pytest.mark.parametrize(
    "payload, push_type, priority",
    [
        ({"aps": {"alert": "Hello"}}, "alert", "10"),
        ({"aps": {"badge": 0}}, "alert", "10"),
        ({"aps": {"sound": "default", "content-available": 1}}, "alert", "10"),
        ({"aps": {}, "mine": 1}, "alert", "10"),
        ({"aps": {"content-available": 1}, "mine": 1}, "background", "5"),
        ({"mdm": "magic"}, "mdm", "10"),
    ],
)
def test_the_push_type_follows_from_the_payload_and_the_topic_from_the_certificate(
    client, app, control, simulator, payload, push_type, priority
):
    token = fresh_token()
    send(client, app, {**notification(token=token), "payload": payload})
    entry = only_entry(control, token)
    assert entry["topic"] == simulator["topic"]
    assert entry["push_type"] == push_type
    # Without the header Apple uses 10.
    assert (entry["priority"] or "10") == priority
    assert json.loads(entry["body"]) == payload


@pytest.mark.parametrize(
    "status, reason, code, text",
    [
        (400, "BadDeviceToken", 8, "Invalid token"),
        (400, "DeviceTokenNotForTopic", 8, "Invalid token"),
        (400, "MissingDeviceToken", 2, "Missing device token"),
        (400, "MissingTopic", 3, "Missing topic"),
        (400, "PayloadEmpty", 4, "Missing payload"),
        (400, "BadTopic", 6, "Invalid topic size"),
        (400, "TopicDisallowed", 6, "Invalid topic size"),
        (413, "PayloadTooLarge", 7, "Invalid payload size"),
        (400, "BadMessageId", 255, "None (unknown)"),
        (400, "BadPriority", 255, "None (unknown)"),
        (404, "BadPath", 255, "None (unknown)"),
        (400, "SomethingNew", 255, "None (unknown)"),
    ],
)
def test_a_refused_notification_is_in_the_disconnections(client, app, control, status, reason, code, text):
    sent = notification(token=fresh_token(), identifier="Käse")
    refusal = {"answer": {"status": status, "reason": reason}}
    control.post("/script", {"faults": [{"token": sent["token"], "act": refusal}]})
    before = time.time()
    [outcome] = send(client, app, sent)
    [event] = disconnections(client, app)
    assert (event["type"], event["code"], event["verbose_message"]) == ("disconnection", code, text)
    assert event["offending_notification"] == sent
    assert before - 1 <= event["timestamp"] <= time.time() + 1 and isinstance(event["timestamp"], float)
    assert isinstance(event["internal_identifier"], int)
    assert (event["status"], event["reason"], event["apns_id"]) == (status, reason, outcome["apns_id"])


@pytest.mark.parametrize("status, reason", [(500, "InternalServerError"), (503, "ServiceUnavailable")])
def test_what_apple_did_not_manage_is_a_processing_error(client, app, control, status, reason):
    sent = notification(token=fresh_token())
    failure = {"answer": {"status": status, "reason": reason}}
    control.post("/script", {"faults": [{"token": sent["token"], "act": failure}]})
    answer_status, answer = client.call("POST", app + "/notifications?timeout=1", [sent])
    assert (answer_status, answer["response"][0]["outcome"]) == (201, "not_sent")
    [event] = disconnections(client, app)
    assert (event["code"], event["verbose_message"]) == (1, "Processing error")
    assert event["offending_notification"] == sent


def test_a_refused_certificate_is_one_event_that_blames_nobody(client, app, control):
    sent = [notification(token=fresh_token()) for _ in range(5)]
    refusal = {"answer": {"status": 403, "reason": "BadCertificate"}}
    control.post("/script", {"faults": [{"act": refusal}]})
    status, answer = client.call("POST", app + "/notifications?timeout=1", sent)
    assert {one["outcome"] for one in answer["response"]} == {"not_sent"}
    events = [event for event in disconnections(client, app) if event["reason"] == "BadCertificate"]
    assert [(event["code"], event["offending_notification"]) for event in events] == [(255, None)]


def test_internal_identifiers_count_up(client, app, control):
    tokens = [fresh_token() for _ in range(3)]
    control.post("/tokens", [{"token": token, "state": "bad"} for token in tokens])
    for token in tokens:
        send(client, app, notification(token=token))
    identifiers = [event["internal_identifier"] for event in disconnections(client, app)]
    assert len(identifiers) == 3 and identifiers == sorted(set(identifiers))


def test_a_dead_token_is_feedback_and_no_disconnection(client, app, control):
    token = fresh_token()
    control.post("/tokens", [{"token": token, "state": "dead", "timestamp": 1_508_249_865_488}])
    send(client, app, notification(token=token.upper()))
    [entry] = feedback(client, app)
    assert (entry["type"], entry["token"], entry["timestamp"]) == ("feedback", token, 1_508_249_865.488)
    assert disconnections(client, app) == []


def test_the_feedback_has_one_entry_a_token_and_the_newest_time(client, app, control):
    token = fresh_token()
    for timestamp in (1_508_249_865_488, 1_600_000_000_000, 1_550_000_000_000):
        control.post("/tokens", [{"token": token, "state": "dead", "timestamp": timestamp}])
        send(client, app, notification(token=token))
    assert [(entry["token"], entry["timestamp"]) for entry in feedback(client, app)] == [(token, 1_600_000_000.0)]


def test_feedback_without_a_time_of_apples_has_the_time_of_the_answer(client, app, control):
    token = fresh_token()
    control.post("/tokens", [{"token": token, "state": "dead", "timestamp": None}])
    before = time.time()
    send(client, app, notification(token=token))
    [entry] = feedback(client, app)
    assert before - 1 <= entry["timestamp"] <= time.time() + 1


def test_a_connection_that_ends_in_good_order_is_no_disconnection(client, app, control):
    first, second = fresh_token(), fresh_token()
    control.post("/script", {"goaway": {"when": {"connection_requests": 1}, "kind": "graceful"}})
    send(client, app, notification(token=first))
    send(client, app, notification(token=second))
    earlier, later = only_entry(control, first), only_entry(control, second)
    assert earlier["accepted"] and later["accepted"] and earlier["connection"] != later["connection"]
    assert disconnections(client, app) == []
