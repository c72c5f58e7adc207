"""The simulator's control port, for tests."""

import http.client
import json


class Control:
    def __init__(self, address):
        self.address = address

    def get(self, path):
        return self._call("GET", path)

    def post(self, path, body=None):
        return self._call("POST", path, json.dumps(body))

    def ledger(self, token=None):
        """Every entry since the last reset, or the entries of one device token."""
        entries, cursor = [], 0
        while page := self.get(f"/ledger?cursor={cursor}")["entries"]:
            entries += page
            cursor = page[-1]["sequence"] + 1
        return [entry for entry in entries if token in (None, entry["token"])]

    def _call(self, method, path, text=None):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        connection.request(method, path, text)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body
        return json.loads(body)
