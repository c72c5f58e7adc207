"""The requests that the client of pyapns 0.5 sends, byte for byte as recorded, and its rules for the answers."""

import datetime
import http.client
import json
import pathlib
import re
import socket

import pytest

RECORDED = (pathlib.Path(__file__).resolve().parents[1] / "fixtures/v05_client_requests.txt").read_bytes()

# A code that is not among them raises KeyError when the client prints the event.
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 255}


def recorded():
    """Head and body of each request, in order."""
    for part in re.split(rb"^=== request \d+\n", RECORDED, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        yield head + b"\r\n\r\n", rest[: int(length[1])] if length else b""


REQUESTS = list(recorded())
PROVISION = [(head, body) for head, body in REQUESTS if head.startswith(b"POST /apps/com.example.app/sandbox HTTP")]
NOTIFY = [(head, body) for head, body in REQUESTS if b"/notifications HTTP" in head]
[FEEDBACK] = [(head, body) for head, body in REQUESTS if b"/feedback HTTP" in head]
[DISCONNECTIONS] = [(head, body) for head, body in REQUESTS if b"/disconnections HTTP" in head]
TOKEN = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"


class Replay:
    """The connection that the client keeps alive."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)

    def send(self, head, body):
        """Status and answer, parsed as the client does: only under this type, which must be there."""
        self.socket.sendall(head + body)
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        text = answer.read()
        assert answer.headers["content-type"].startswith("application/json")
        return answer.status, json.loads(text)


@pytest.fixture
def replay(old_node):
    replay = Replay(old_node)
    yield replay
    replay.socket.close()


def read_notification(data):
    assert data["payload"] is not None and data["identifier"] is not None
    return data["token"], data["payload"], int(data["expiry"]), data["identifier"]


def read_event(data):
    assert data["code"] in CODES and isinstance(data["internal_identifier"], int)
    datetime.datetime.fromtimestamp(data["timestamp"], datetime.timezone.utc)
    if "offending_notification" in data:
        return data["code"], read_notification(data["offending_notification"])
    return data["code"], None


def read_events(replay):
    status, answer = replay.send(*DISCONNECTIONS)
    assert status == 200
    return [read_event(event) for event in answer["response"]]


def read_feedback(replay):
    status, answer = replay.send(*FEEDBACK)
    assert status == 200
    for entry in answer["response"]:
        datetime.datetime.fromtimestamp(entry["timestamp"], datetime.timezone.utc)
    return [(entry["type"], entry["token"]) for entry in answer["response"]]


def test_the_recording_is_whole():
    assert (len(PROVISION), len(NOTIFY), len(REQUESTS)) == (2, 5, 9)
    items = [item for _, body in NOTIFY for item in json.loads(body)]
    assert all(item.keys() == {"type", "token", "payload", "identifier", "expiry"} for item in items)


def test_every_recorded_notification_reaches_apple_as_it_was_sent(replay, control):
    for head, body in NOTIFY:
        status, answer = replay.send(head, body)
        assert status == 201, answer
        assert [one["outcome"] for one in answer["response"]] == ["accepted"] * len(json.loads(body))
    items = [item for _, body in NOTIFY for item in json.loads(body)]
    entries = control.ledger(TOKEN)
    assert [json.loads(entry["body"]) for entry in entries] == [item["payload"] for item in items]
    # The help of 0.5 has "expiry": 30, which means "try once".
    meant = ["0" if item["expiry"] == 30 else str(item["expiry"]) for item in items]
    assert [entry["expiration"] for entry in entries] == meant
    assert (read_feedback(replay), read_events(replay)) == ([], [])


def test_recorded_provisioning_answers_201_with_the_app_and_else_says_why_not(replay, simulator):
    pem = pathlib.Path(simulator["certificate_file"]).read_text()
    for head, body in PROVISION:
        # As recorded: an invalid certificate, and a path that does not exist.
        status, answer = replay.send(head, body)
        assert status == answer["code"] == 400 and answer["type"] == "error"
        assert answer["message"] == answer["error"] and isinstance(answer["args"], dict)
        real = json.dumps({**json.loads(body), "certificate": pem}).encode()
        longer = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(real), head)
        status, answer = replay.send(longer, real)
        assert status == 201, answer
        app = answer["response"]
        assert (app["type"], app["name"], app["environment"]) == ("app", "com.example.app", "sandbox")
        assert app["timeout"] == json.loads(body)["timeout"]
        assert "PRIVATE KEY" not in json.dumps(answer)


def test_what_apple_refuses_is_read_once_by_the_clients_rules(replay, control):
    control.post("/tokens", [{"token": TOKEN, "state": "bad"}])
    sent = []
    for head, body in NOTIFY:
        status, answer = replay.send(head, body)
        assert (status, {one["outcome"] for one in answer["response"]}) == (201, {"rejected"})
        sent += json.loads(body)
    events = read_events(replay)
    assert [code for code, _ in events] == [8] * len(sent)
    assert [(token, payload, identifier) for _, (token, payload, _, identifier) in events] == [
        (TOKEN, item["payload"], item["identifier"]) for item in sent
    ]
    assert read_feedback(replay) == [("feedback", TOKEN)]
    assert (read_feedback(replay), read_events(replay)) == ([], [])


def test_an_event_that_blames_no_notification_is_read_by_the_clients_rules(replay, control):
    control.post("/script", {"faults": [{"act": {"answer": {"status": 403, "reason": "BadCertificate"}}}]})
    head, body = NOTIFY[0]
    status, answer = replay.send(head.replace(b"/notifications ", b"/notifications?timeout=1 "), body)
    assert (status, answer["response"][0]["outcome"]) == (201, "not_sent")
    events = read_events(replay)
    assert events and all(event == (255, None) for event in events)


def test_a_notification_without_identifier_and_expiry_is_read_by_the_clients_rules(replay, control):
    control.post("/tokens", [{"token": TOKEN, "state": "bad"}])
    # The request of that client's `Notification` with the defaults of all fields.
    head, body = NOTIFY[2]
    bare = json.dumps([{**item, "identifier": None, "expiry": None} for item in json.loads(body)]).encode()
    status, _ = replay.send(re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(bare), head), bare)
    assert status == 201
    assert read_events(replay) == [(8, (TOKEN, {"aps": {"alert": "x"}}, 0, ""))]
