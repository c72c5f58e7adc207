"""The `Client` of pyapns 0.5: the same calls, the same requests, the same results."""

import datetime
import json
import pathlib
import re

import pytest

from pyapns.client import Client, ClientError
from pyapns.model import APNS_STATUS_CODES, DisconnectionEvent, Notification

# What the client of 0.5 sent, byte for byte.
RECORDED = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/v05_client_requests.txt"
TOKEN = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"


def recorded():
    """Method, path and parsed body of each recorded request."""
    for part in re.split(rb"^=== request \d+\n", RECORDED.read_bytes(), flags=re.MULTILINE)[1:]:
        head, _, body = part.partition(b"\r\n\r\n")
        method, path, _ = head.split(b" ", 2)
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        yield method.decode(), path.decode(), json.loads(body[: int(length[1])]) if length else None


def answer(server, number, connection):
    """Answer one request as a node does."""
    head = server.read(number, connection, b"\r\n\r\n").partition(b"\r\n\r\n")[0]
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    if length:
        while len(server.received[number].partition(b"\r\n\r\n")[2]) < int(length[1]):
            server.received[number] += connection.recv(65536)
    body = b'{"response": [], "cursor": "0", "code": 200}'
    status = b"200" if head.startswith(b"GET") else b"201"
    connection.sendall(
        b"HTTP/1.1 %b X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
    )


def test_the_calls_of_0_5_make_the_requests_of_0_5(scripted):
    server = scripted(answer)
    client = Client("http://127.0.0.1/", server.port, 20)
    app = ("com.example.app", "sandbox")
    requests = list(recorded())
    assert len(requests) == 9
    for method, path, body in requests:
        if path.endswith("/notifications"):
            client.notify(*app, [Notification.from_simple(item) for item in body])
        elif path.endswith("/feedback"):
            assert client.feedback(*app) == []
        elif path.endswith("/disconnections"):
            assert client.disconnections(*app) == []
        else:
            client.provision(*app, body["certificate"], body["timeout"])
        head, _, sent = server.received[-1].partition(b"\r\n\r\n")
        new_method, new_path, _ = head.decode().split(" ", 2)
        new_path, _, query = new_path.partition("?")
        assert (new_method, new_path) == (method, path)
        assert query in ("", "timeout=18"), "the node answers before the client gives up"
        assert (json.loads(sent) if sent else None) == body


def test_notify_takes_dicts_and_notifications_and_returns_outcomes(client, app, pyapns_service):
    as_dict = {"token": TOKEN, "payload": {"aps": {"alert": "Käse"}}, "identifier": "a", "expiry": "0"}
    found = client.notify(*app, [as_dict, Notification(TOKEN, {"aps": {"badge": 2}}, 1_900_000_000, 7)])
    assert [(one["outcome"], one["identifier"]) for one in found] == [("accepted", "a"), ("accepted", 7)]
    first, second = pyapns_service.ledger.accepted(TOKEN)
    assert (first.payload, first.expiration) == (as_dict["payload"], "0")
    assert (second.payload, second.expiration) == ({"aps": {"badge": 2}}, "1900000000")


@pytest.mark.parametrize("item", [7, "text", None, ["token"]])
def test_what_is_no_notification_is_a_value_error_and_nothing_is_sent(client, app, pyapns_service, item):
    with pytest.raises(ValueError, match="Unknown notification"):
        client.notify(*app, [{"token": TOKEN, "payload": {}}, item])
    assert pyapns_service.ledger.entries() == []


def test_provision_returns_the_app_and_a_failure_has_message_and_response(client, pyapns_service):
    provisioned = client.provision("com.example.other", "sandbox", pyapns_service.simulator.certificate, 40)
    assert (provisioned["type"], provisioned["name"], provisioned["timeout"]) == ("app", "com.example.other", 40)
    with pytest.raises(ClientError) as failed:
        client.provision("com.example.other", "sandbox", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----")
    assert failed.value.message.startswith("Unable to provision app id")
    assert failed.value.response["type"] == "error" and failed.value.response["code"] == 400
    client.remove("com.example.other", "sandbox")


def test_feedback_is_a_list_of_dicts_that_reading_empties(client, app, pyapns_service):
    pyapns_service.simulator.make_dead("0a", "0b")
    client.notify(*app, [{"token": token, "payload": {}} for token in ("0a", "0b")])
    found = client.feedback(*app)
    assert [(one["type"], one["token"]) for one in found] == [("feedback", "0a"), ("feedback", "0b")]
    assert all(isinstance(one["timestamp"], float) for one in found)
    assert client.feedback(*app) == []


def test_disconnections_are_events_that_reading_empties(client, app, pyapns_service):
    pyapns_service.simulator.make_bad("0b")
    before = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    client.notify(*app, [{"token": "0b", "payload": {"aps": {"alert": "x"}}, "identifier": "i", "expiry": 0}])
    [event] = client.disconnections(*app)
    assert isinstance(event, DisconnectionEvent) and event.code == 8 and event.identifier >= 1
    assert abs((event.timestamp - before).total_seconds()) < 60 and event.timestamp.tzinfo is None
    offending = event.offending_notification
    assert (offending.token, offending.payload, offending.identifier, offending.expiry) == (
        "0b",
        {"aps": {"alert": "x"}},
        "i",
        0,
    )
    assert "Invalid token" in repr(event) and "0b" in repr(event)
    assert client.disconnections(*app) == []


def test_an_event_that_blames_no_notification_is_an_event(client, pyapns_service):
    app = ("com.example.refused", "sandbox")
    client.provision(*app, pyapns_service.simulator.certificate)
    pyapns_service.simulator.answer(403, "BadCertificate")
    with pyapns_service.client(request_timeout=1) as hasty:
        [outcome] = hasty.notify(*app, [{"token": "0c", "payload": {}}])
    assert outcome["outcome"] == "not_sent"
    events = client.disconnections(*app)
    assert events and all(event.code == 255 and event.offending_notification is None for event in events)
    assert "None (unknown)" in repr(events[0])
    client.remove(*app)


def test_an_unknown_app_is_a_client_error_with_the_nodes_object(client):
    with pytest.raises(ClientError) as failed:
        client.notify("nobody", "sandbox", [{"token": "0a", "payload": {}}])
    assert failed.value.message.startswith("Could not send notifications")
    assert failed.value.response["reason"] == "unknown_app"


def test_objects_survive_the_way_to_json_and_back():
    simple = {"type": "notification", "token": "0a", "payload": {"aps": {}}, "expiry": 5, "identifier": "x"}
    assert Notification.from_simple(simple).to_simple() == simple
    event = {
        "type": "disconnection",
        "code": 8,
        "internal_identifier": 3,
        "timestamp": 1795945292.5,
        "offending_notification": simple,
    }
    assert DisconnectionEvent.from_simple(event).to_simple() == {**event, "verbose_message": "Invalid token"}
    assert set(APNS_STATUS_CODES) == {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 255}


def test_the_frame_of_the_binary_protocol_is_apples_enhanced_format():
    frame = Notification("00ff", {"a": 1}, 1_900_000_000, "x", 9).to_apn_wire_format()
    assert frame == bytes([1, 0, 0, 0, 9]) + (1_900_000_000).to_bytes(4, "big") + b'\x00\x02\x00\xff\x00\x07{"a":1}'


def test_the_settings_of_the_connection_can_be_changed_as_with_requests(scripted):
    server = scripted(answer)
    client = Client(server.url)
    client.connection.headers["X-Team"] = "push"
    client.connection.auth = ("shop", "secret")
    assert client._request("GET", "apps/x/sandbox", {"limit": 3}) == (200, {"response": [], "cursor": "0", "code": 200})
    head = server.received[-1].decode()
    assert head.startswith("GET /apps/x/sandbox?limit=3 HTTP/1.1\r\n")
    assert "X-Team: push\r\n" in head and "Authorization: Basic c2hvcDpzZWNyZXQ=\r\n" in head
    assert "secret" not in repr(client) + repr(client.connection)
