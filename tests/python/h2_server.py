"""A server on Python's h2, in clear text, for our HTTP/2 client: prints its port, serves one connection."""

import json
import socket
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings


class Server:
    """Answers each request once its body is complete. Subclasses add other behaviour."""

    def __init__(self, client):
        self.socket = client
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.bodies = {}
        self.requests = 0

    def run(self):
        self.http.initiate_connection()
        self.begin()
        self.flush()
        while data := self.socket.recv(65_536):
            for event in self.http.receive_data(data):
                self.on_event(event)
            self.flush()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def begin(self):
        pass

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.bodies[event.stream_id] = b""
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.requests += 1
            self.on_request(event.stream_id, self.bodies.pop(event.stream_id))

    def on_request(self, stream, body):
        self.answer(stream, body)

    def answer(self, stream, body):
        self.http.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
        self.http.send_data(stream, body, end_stream=True, pad_length=7)


class Reset(Server):
    """Refuses one of three requests, resets one, and answers one."""

    def on_request(self, stream, body):
        codes = {0: h2.errors.ErrorCodes.REFUSED_STREAM, 1: h2.errors.ErrorCodes.CANCEL}
        code = codes.get(self.requests % 3)
        if code is None:
            self.answer(stream, b"")
        else:
            self.http.reset_stream(stream, code)


class GoAway(Server):
    """Accepts ten streams, sends GOAWAY after the twentieth, then answers the ten."""

    def on_request(self, stream, body):
        if self.requests < 20:
            return
        # h2 closes its own state machine with a GOAWAY: the frame is written directly.
        debug = json.dumps({"reason": "Shutdown"}, separators=(",", ":")).encode()
        payload = (19).to_bytes(4, "big") + (0).to_bytes(4, "big") + debug
        frame = len(payload).to_bytes(3, "big") + b"\x07\x00" + (0).to_bytes(4, "big") + payload
        self.socket.sendall(self.http.data_to_send() + frame)
        for taken in range(1, 20, 2):
            self.answer(taken, b"")


class Settings(Server):
    """Changes every limit while requests are in flight, also to below the number of open streams."""

    CHANGES = [
        {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1},
        {h2.settings.SettingCodes.HEADER_TABLE_SIZE: 0},
        {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000},
        {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100, h2.settings.SettingCodes.HEADER_TABLE_SIZE: 4096},
        {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65_535},
    ]

    def on_request(self, stream, body):
        assert len(body) == 3000
        self.answer(stream, body)
        if self.requests % 20 == 0:
            self.http.update_settings(self.CHANGES[self.requests // 20 % len(self.CHANGES)])


def main():
    behaviours = {"echo": Server, "reset": Reset, "goaway": GoAway, "settings": Settings}
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    behaviours[sys.argv[1]](client).run()


if __name__ == "__main__":
    main()
