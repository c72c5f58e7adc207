"""The calls of the old daemon's Python client, v0.5: its requests, the status codes and shapes it reads."""

import http.client
import json
import pathlib
import uuid

import pytest

TOKEN = "0f" * 32


class OldClient:
    """Speaks as the v0.5 client did: JSON bodies without a content type, one connection for each call."""

    def __init__(self, address):
        self.address = address

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text)
        answer = connection.getresponse()
        parsed = json.loads(answer.read())
        connection.close()
        assert parsed["code"] == answer.status
        return answer.status, parsed


@pytest.fixture
def client(node):
    return OldClient(node)


@pytest.fixture
def app(client, simulator):
    """A freshly provisioned app, as `/apps/<name>/<environment>`."""
    path = f"/apps/old.{uuid.uuid4().hex[:8]}/sandbox"
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    status, answer = client.call("POST", path, {"certificate": certificate, "timeout": 15})
    assert status == 201, answer
    return path


def notification(token=TOKEN, identifier="one"):
    return {"token": token, "payload": {"aps": {"alert": "Hello"}}, "identifier": identifier, "expiry": 0}


def test_provisioning_answers_201_with_the_app(client, simulator):
    certificate = pathlib.Path(simulator["certificate_file"]).read_text()
    status, answer = client.call("POST", "/apps/my_app/sandbox", {"certificate": certificate, "timeout": 15})
    assert status == 201
    app = answer["response"]
    assert (app["type"], app["name"], app["environment"], app["timeout"]) == ("app", "my_app", "sandbox", 15)
    assert "PRIVATE KEY" not in json.dumps(answer)


def test_provisioned_apps_are_listed_and_read_one_by_one(client, app):
    status, answer = client.call("GET", "/apps")
    assert status == 200
    assert app.split("/")[2] in [one["name"] for one in answer["response"]]
    status, answer = client.call("GET", app)
    assert status == 200 and answer["response"]["type"] == "app"


def test_a_list_of_notifications_answers_201(client, app):
    status, answer = client.call("POST", app + "/notifications", [notification(), notification(identifier="two")])
    assert status == 201
    assert [one["outcome"] for one in answer["response"]] == ["accepted", "accepted"]
    assert [one["identifier"] for one in answer["response"]] == ["one", "two"]


def test_feedback_and_disconnections_answer_200_with_lists(client, app):
    for what in ("feedback", "disconnections"):
        status, answer = client.call("GET", f"{app}/{what}")
        assert (status, answer["response"]) == (200, []), what


def test_a_dead_token_is_in_the_feedback(client, app, control):
    dead = uuid.uuid4().hex * 2
    control.post("/tokens", [{"token": dead, "state": "dead", "reason": "Unregistered", "timestamp": 1508249865488}])
    status, answer = client.call("POST", app + "/notifications", [notification(token=dead)])
    assert status == 201 and answer["response"][0]["outcome"] == "rejected"
    status, answer = client.call("GET", app + "/feedback")
    entry = answer["response"][0]
    assert (entry["type"], entry["token"], entry["timestamp"]) == ("feedback", dead, 1508249865.488)


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
