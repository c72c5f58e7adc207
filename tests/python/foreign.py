"""Push clients of other projects, each with the same `send`, for comparison with the simulator's ledger."""

import asyncio
import base64
import dataclasses
import hashlib
import json
import pathlib
import re
import ssl
import subprocess
import time
import uuid

import aioapns
import jwt
from aioapns.connection import APNsProductionClientProtocol
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

PATIENCE_SECONDS = 15


@dataclasses.dataclass
class Push:
    """One notification. `None` leaves a header out."""

    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex * 2)
    apns_id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    topic: str = "com.example.app"
    push_type: str = "alert"
    priority: str = None
    expiration: str = None
    collapse_id: str = None
    payload: str = '{"aps": {"alert": "Grüße"}}'
    path: str = None
    method: str = "POST"
    more_headers: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.path = self.path or f"/3/device/{self.token}"

    def headers(self):
        named = {
            "apns-id": self.apns_id,
            "apns-topic": self.topic,
            "apns-push-type": self.push_type,
            "apns-priority": self.priority,
            "apns-expiration": self.expiration,
            "apns-collapse-id": self.collapse_id,
        }
        return [(name, value) for name, value in named.items() if value is not None] + self.more_headers


@dataclasses.dataclass
class Answer:
    """An answer as the client reported it."""

    status: int
    reason: str = None
    timestamp: int = None
    apns_id: str = None

    @classmethod
    def read(cls, status, headers, body):
        said = json.loads(body) if body else {}
        return cls(int(status), said.get("reason"), said.get("timestamp"), headers.get("apns-id"))


class Certificate:
    def __init__(self, simulator):
        self.file = simulator["certificate_file"]
        pem = pathlib.Path(self.file).read_text()
        leaf = pem[: pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")]
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()
        self.identity = {"kind": "certificate", "uid": simulator["topic"], "fingerprint": fingerprint}


class Token:
    """A signing key, and provider tokens made with it by PyJWT."""

    def __init__(self, simulator):
        self.key = pathlib.Path(simulator["key_file"]).read_text()
        self.key_id, self.team_id = simulator["key_id"], simulator["team_id"]
        self.identity = {"kind": "token", "team_id": self.team_id, "key_id": self.key_id}

    @classmethod
    def foreign(cls, simulator):
        """Names the simulator's key and team, and signs with another key."""
        token = cls(simulator)
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        token.key = pem.decode()
        return token

    def authorization(self):
        claims = {"iss": self.team_id, "iat": int(time.time())}
        return "bearer " + jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": self.key_id})


class ShellToken(Token):
    """A signing key, and provider tokens made by the shell recipe of Apple's documentation: `openssl` signs in DER."""

    def __init__(self, simulator):
        super().__init__(simulator)
        self.file = simulator["key_file"]

    def authorization(self):
        parts = {"alg": "ES256", "kid": self.key_id}, {"iss": self.team_id, "iat": int(time.time())}
        message = ".".join(self._base64(json.dumps(part).encode()) for part in parts)
        command = ["openssl", "dgst", "-sha256", "-sign", self.file]
        signature = subprocess.run(command, input=message.encode(), capture_output=True, check=True).stdout
        return f"bearer {message}.{self._base64(signature)}"

    @staticmethod
    def _base64(data):
        return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Aioapns:
    """aioapns, directed to the simulator by its constants. Accepts the fields of its `NotificationRequest`."""

    def __init__(self, simulator, credential, directory):
        self.simulator, self.credential = simulator, credential

    def send(self, push):
        async def once(session):
            return await session.send(push)

        return self.run(once)

    def run(self, work):
        """Runs `await work(session)`; the session's connections are closed afterwards."""

        async def all_of_it():
            session = AioapnsSession(self.simulator, self.credential)
            try:
                return await asyncio.wait_for(work(session), PATIENCE_SECONDS)
            finally:
                await session.close()

        return asyncio.run(all_of_it())


class AioapnsSession:
    """One `APNs` object on the running loop, and the GOAWAY frames its connections received."""

    def __init__(self, simulator, credential):
        host, port = simulator["listen"].rsplit(":", 1)
        self.goaways = goaways = []

        class Protocol(APNsProductionClientProtocol):
            APNS_SERVER, APNS_PORT = host, int(port)

            def on_connection_terminated(self, event):
                goaways.append((event.last_stream_id, int(event.error_code), event.additional_data))
                super().on_connection_terminated(event)

        trust = ssl.create_default_context(cafile=simulator["ca_file"])
        self.by_certificate = isinstance(credential, Certificate)
        if self.by_certificate:
            self.client = aioapns.APNs(client_cert=credential.file, ssl_context=trust)
        else:
            token = {"key": credential.key, "key_id": credential.key_id, "team_id": credential.team_id}
            self.client = aioapns.APNs(**token, topic=simulator["topic"], ssl_context=trust)
        self.client.pool.protocol_class = Protocol

    async def send(self, push):
        request = aioapns.NotificationRequest(
            device_token=push.token,
            message=json.loads(push.payload),
            notification_id=push.apns_id,
            time_to_live=None if push.expiration is None else int(push.expiration) - int(time.time()),
            priority=push.priority,
            collapse_key=push.collapse_id,
            push_type=aioapns.PushType(push.push_type),
            apns_topic=push.topic,
        )
        result = await self.client.send_notification(request)
        return Answer(int(result.status), result.description, result.timestamp, result.notification_id)

    async def send_all(self, pushes):
        """With a certificate all together, with a token one after the other: when a token connection is allowed more than its
        first stream, aioapns goes on to count one, opens nine more connections, and waits ten seconds for the answer of
        each stream that those refuse."""
        if self.by_certificate:
            return await asyncio.gather(*(self.send(push) for push in pushes))
        return [await self.send(push) for push in pushes]

    async def disconnected(self):
        """Waits until every connection is closed."""
        while self.client.pool.connections:
            await asyncio.sleep(0.005)

    async def close(self):
        self.client.pool.close()
        await asyncio.wait_for(self.disconnected(), PATIENCE_SECONDS)


class Program:
    """A client of `tests/foreign`, whose README describes its arguments."""

    def __init__(self, command, simulator, credential):
        self.command = [*command, simulator["listen"], simulator["ca_file"]]
        if isinstance(credential, Certificate):
            self.command += ["certificate", credential.file]
        else:
            self.command += ["token", simulator["key_file"], credential.key_id, credential.team_id]

    def send_all(self, pushes):
        """Sends all pushes together. Returns the answers in their order, without the fields that the library omits."""
        fields = [
            (push.token, push.apns_id, push.topic, push.push_type, push.priority, push.expiration, push.payload)
            for push in pushes
        ]
        lines = "".join("\t".join(push) + "\n" for push in fields)
        run = subprocess.run(self.command, input=lines, capture_output=True, timeout=120, text=True)
        assert run.returncode == 0, run.stderr
        return [self._read(line) for line in run.stdout.splitlines()]

    @staticmethod
    def _read(line):
        status, reason, timestamp, apns_id = line.split("\t")
        return Answer(int(status), reason or None, int(timestamp) if timestamp else None, apns_id or None)


class Curl:
    """`curl --http2`."""

    def __init__(self, simulator, credential, directory):
        self.simulator, self.credential = simulator, credential

    def send(self, push):
        return self.send_all([push])[0][0]

    def send_all(self, pushes, credentials=None):
        """Sends one push after the other in one call. Returns an answer and the number of new connections for each."""
        command = ["curl"]
        for push, credential in zip(pushes, credentials or [self.credential] * len(pushes)):
            if len(command) > 1:
                command.append("--next")
            command += self._options(push, credential)
        out = subprocess.run(command, capture_output=True, timeout=2 * PATIENCE_SECONDS, check=True).stdout.decode()
        return [self._read(part) for part in out.split("\x1e")[:-1]]

    def _options(self, push, credential):
        options = ["--silent", "--show-error", "--include", "--http2", "--max-time", str(PATIENCE_SECONDS)]
        options += ["--cacert", self.simulator["ca_file"], "--write-out", "\x1f%{num_connects}\x1e"]
        options += ["--request", push.method, "--data-binary", push.payload]
        headers = push.headers()
        if isinstance(credential, Certificate):
            options += ["--cert", credential.file]
        elif credential:
            headers.append(("authorization", credential.authorization()))
        for name, value in headers:
            options += ["--header", f"{name}: {value}"]
        return [*options, f"https://{self.simulator['listen']}{push.path}"]

    @staticmethod
    def _read(part):
        answer, connects = part.split("\x1f")
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        status, *headers = head.split("\n")
        version, status = status.split()[:2]
        assert version == "HTTP/2"
        return Answer.read(status, dict(header.split(": ", 1) for header in headers), body), int(connects)


class Nghttp:
    """`nghttp --verbose`, which shows every frame."""

    def __init__(self, simulator, credential, directory):
        self.simulator, self.credential, self.body = simulator, credential, directory / "body"

    def send(self, push):
        return self.read(self.frames(push))

    def frames(self, push):
        """The output of nghttp."""
        self.body.write_text(push.payload)
        command = ["nghttp", "--verbose", "--no-verify-peer", f"--timeout={PATIENCE_SECONDS}"]
        headers = push.headers()
        if isinstance(self.credential, Certificate):
            command += [f"--cert={self.credential.file}", f"--key={self.credential.file}"]
        elif self.credential:
            headers.append(("authorization", self.credential.authorization()))
        command += [f"--data={self.body}", f"--header=:method: {push.method}"]
        command += [f"--header={name}: {value}" for name, value in headers]
        command.append(f"https://{self.simulator['listen']}{push.path}")
        return subprocess.run(command, capture_output=True, timeout=2 * PATIENCE_SECONDS, check=True).stdout.decode()

    @staticmethod
    def read(frames):
        headers = dict(re.findall(r"recv \(stream_id=\d+\) (:?[\w-]+): (.*)", frames))
        body = re.search(r"^(\{.*\})\[", frames, re.MULTILINE)
        return Answer.read(headers[":status"], headers, body and body[1])

    @staticmethod
    def goaways(frames):
        """Last stream id, error code and debug data of each GOAWAY received."""
        fields = r"\(last_stream_id=(\d+), error_code=\w+\(0x(\w+)\), opaque_data\(\d+\)=\[(.*)\]\)"
        shown = r"recv GOAWAY frame .*\n\s*" + fields
        return [(int(last), int(code, 16), debug) for last, code, debug in re.findall(shown, frames)]

    @staticmethod
    def stream_limits(frames):
        """MAX_CONCURRENT_STREAMS as received, in order."""
        received = re.findall(r"recv SETTINGS frame.*\n((?:\s+[(\[].*\n)*)", frames)
        limits = re.findall(r"MAX_CONCURRENT_STREAMS\(0x03\):(\d+)", "".join(received))
        return [int(limit) for limit in limits]
