"""A client of a node's REST API."""

import http.client
import json

TOKEN = "0f" * 32


class Rest:
    def __init__(self, address):
        self.address = address

    def call(self, method, path, body=None):
        """Returns the status and the parsed response."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        parsed = json.loads(answer.read())
        connection.close()
        assert parsed["code"] == answer.status
        return answer.status, parsed


def notification(token=TOKEN, identifier="one"):
    """Returns a notification with all fields of 0.5."""
    payload = {"aps": {"alert": "Hello"}}
    return {"type": "notification", "token": token, "payload": payload, "identifier": identifier, "expiry": 0}
