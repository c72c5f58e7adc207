"""The objects of the API.

`Notification` and `DisconnectionEvent` are those of pyapns 0.5. The others are frozen, and have the answer's JSON in
`raw`: a field that this version does not know is only there.
"""

from __future__ import annotations

import binascii
import datetime
import json
import struct
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Generic, List, Mapping, Optional, Tuple, Type, TypeVar

from ._words import Environment, HeldAction, Identifier, OutcomeWord, Payload, StoragePolicy

__all__ = [
    "APNS_STATUS_CODES",
    "App",
    "Channel",
    "Credential",
    "Disconnection",
    "DisconnectionEvent",
    "Environment",
    "Feedback",
    "HeldAction",
    "HeldFeedback",
    "Identifier",
    "Notification",
    "Outcome",
    "OutcomeWord",
    "Page",
    "Payload",
    "Readiness",
    "StoragePolicy",
]

# The statuses of Apple's binary protocol, with the texts of pyapns 0.5.
APNS_STATUS_CODES: Dict[int, str] = {
    0: "No errors encountered",
    1: "Processing error",
    2: "Missing device token",
    3: "Missing topic",
    4: "Missing payload",
    5: "Invalid token size",
    6: "Invalid topic size",
    7: "Invalid payload size",
    8: "Invalid token",
    10: "Shutdown",
    255: "None (unknown)",
}

Raw = Mapping[str, Any]
Entry = TypeVar("Entry")


class Notification:
    """A notification of pyapns 0.5. `identifier` and `expiry` may stay `None`."""

    __slots__ = ("token", "payload", "expiry", "identifier", "internal_identifier")

    def __init__(
        self,
        token: Optional[str] = None,
        payload: Optional[Payload] = None,
        expiry: Optional[int] = None,
        identifier: Identifier = None,
        internal_identifier: Optional[int] = None,
    ) -> None:
        self.token = token
        self.payload = payload
        self.expiry = expiry
        self.identifier = identifier
        self.internal_identifier = internal_identifier

    @classmethod
    def from_simple(cls, data: Raw, instance: Optional[Notification] = None) -> Notification:
        """Return the notification of a JSON object."""
        note = cls() if instance is None else instance
        expiry = data.get("expiry")
        note.token = data["token"]
        note.payload = data["payload"]
        note.expiry = None if expiry is None else int(expiry)
        note.identifier = data.get("identifier")
        return note

    def to_simple(self) -> Dict[str, Any]:
        """Return the JSON object that the API takes."""
        return {
            "type": "notification",
            "token": self.token,
            "payload": self.payload,
            "expiry": self.expiry,
            "identifier": self.identifier,
        }

    def to_apn_wire_format(self) -> bytes:
        """Return the frame of Apple's binary protocol, which Apple switched off in 2021."""
        token = binascii.unhexlify((self.token or "").replace(" ", ""))
        payload = json.dumps(self.payload, separators=(",", ":"), ensure_ascii=False).encode()
        head = struct.pack("!BIIH", 1, self.internal_identifier or 0, self.expiry or 0, len(token))
        return head + token + struct.pack("!H", len(payload)) + payload

    def __repr__(self) -> str:
        return "<Notification token=%s identifier=%r expiry=%r payload=%r>" % (
            self.token,
            self.identifier,
            self.expiry,
            self.payload,
        )


class DisconnectionEvent:
    """An entry of the disconnection log, as pyapns 0.5 gave it. `timestamp` is in UTC, without a time zone."""

    __slots__ = ("code", "offending_notification", "timestamp", "identifier")

    def __init__(self) -> None:
        self.code: int = 255
        self.offending_notification: Optional[Notification] = None
        self.timestamp: Optional[datetime.datetime] = None
        self.identifier: Optional[int] = None

    @classmethod
    def from_simple(cls, data: Raw, instance: Optional[DisconnectionEvent] = None) -> DisconnectionEvent:
        """Return the event of a JSON object."""
        event = cls() if instance is None else instance
        offending = data.get("offending_notification")
        event.code = data["code"]
        event.identifier = data.get("internal_identifier")
        event.timestamp = naive_utc(data["timestamp"])
        event.offending_notification = None if offending is None else Notification.from_simple(offending)
        return event

    def to_simple(self) -> Dict[str, Any]:
        """Return the JSON object, as the API of pyapns 0.5 wrote it."""
        simple: Dict[str, Any] = {
            "type": "disconnection",
            "code": self.code,
            "internal_identifier": self.identifier,
            "verbose_message": APNS_STATUS_CODES.get(self.code, APNS_STATUS_CODES[255]),
        }
        if self.timestamp is not None:
            simple["timestamp"] = self.timestamp.replace(tzinfo=datetime.timezone.utc).timestamp()
        if self.offending_notification is not None:
            simple["offending_notification"] = self.offending_notification.to_simple()
        return simple

    def __repr__(self) -> str:
        return "<DisconnectionEvent code=%r message=%r notification=%r timestamp=%r>" % (
            self.code,
            APNS_STATUS_CODES.get(self.code, APNS_STATUS_CODES[255]),
            self.offending_notification,
            self.timestamp,
        )


def naive_utc(timestamp: float) -> datetime.datetime:
    """Return a time in UTC without a time zone, as pyapns 0.4 and 0.5 did."""
    return datetime.datetime.fromtimestamp(timestamp, datetime.timezone.utc).replace(tzinfo=None)


def _raw() -> Any:
    return field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Outcome:
    """The end of a notification, or of a broadcast, which has `channel` in place of `token`.

    `outcome` is `accepted`, `rejected`, `expired`, `not_sent` (safe to send again) or `unknown` (Apple may have it).
    `status` is Apple's, `reason` is Apple's or the node's, and `error` is the sentence of a line that the node refused.
    `attempts` counts the requests to Apple. `timestamp` is in UNIX seconds.
    """

    outcome: OutcomeWord
    token: str
    identifier: Identifier = None
    apns_id: Optional[str] = None
    status: Optional[int] = None
    reason: Optional[str] = None
    timestamp: float = 0.0
    attempts: int = 0
    error: Optional[str] = None
    channel: Optional[str] = None
    raw: Raw = _raw()

    @property
    def is_accepted(self) -> bool:
        """True if Apple accepted the notification."""
        return self.outcome == "accepted"

    @classmethod
    def from_simple(cls, data: Raw) -> Outcome:
        """Return the outcome of a JSON object."""
        # A stream makes millions of these, and the constructor of a frozen dataclass is slow.
        outcome = cls.__new__(cls)
        get = data.get
        outcome.__dict__.update(
            outcome=data["outcome"],
            token=get("token") or "",
            identifier=get("identifier"),
            apns_id=get("apns_id"),
            status=get("status"),
            reason=get("reason"),
            timestamp=get("timestamp") or 0.0,
            attempts=get("attempts") or 0,
            error=get("error"),
            channel=get("channel"),
            raw=data,
        )
        return outcome


@dataclass(frozen=True)
class Credential:
    """The credential of an app: `kind` is `certificate` or `token`. Times are in UNIX seconds."""

    kind: str
    fingerprint: Optional[str] = None
    topics: Tuple[str, ...] = ()
    team_id: Optional[str] = None
    key_id: Optional[str] = None
    expires_at: Optional[float] = None
    days_left: Optional[int] = None
    raw: Raw = _raw()


@dataclass(frozen=True)
class App:
    """A provisioned app and its state. Times are in UNIX seconds, `timeout` is in seconds."""

    app_id: str
    environment: str
    credential: Optional[Credential] = None
    topic: Optional[str] = None
    timeout: Optional[float] = None
    lanes: Optional[int] = None
    revision: Optional[str] = None
    state: Optional[str] = None
    last_error: Optional[str] = None
    last_error_at: Optional[float] = None
    last_success_at: Optional[float] = None
    connections: int = 0
    streams: int = 0
    in_flight: int = 0
    queued: int = 0
    bound_by: Optional[str] = None
    raw: Raw = _raw()

    @classmethod
    def from_simple(cls, data: Raw) -> App:
        """Return the app of a JSON object."""
        said = data.get("credential")
        credential = None
        if isinstance(said, dict):
            credential = _known(Credential, {**said, "topics": tuple(said.get("topics") or ())})
        return _known(cls, {**data, "credential": credential}, data)


@dataclass(frozen=True)
class Channel:
    """A broadcast channel of an app.

    With the `message_storage_policy` 1, Apple stores the most recent broadcast for devices that are offline; with 0, it
    stores none.
    """

    id: str
    message_storage_policy: Optional[StoragePolicy] = None
    push_type: Optional[str] = None
    raw: Raw = _raw()

    @classmethod
    def from_simple(cls, data: Raw) -> Channel:
        """Return the channel of a JSON object."""
        return _known(cls, data)


@dataclass(frozen=True)
class Feedback:
    """A dead token. `timestamp` is in UNIX seconds: a device that registered later is alive."""

    token: str
    timestamp: float
    reason: Optional[str] = None
    app_id: Optional[str] = None
    environment: Optional[str] = None
    raw: Raw = _raw()

    @classmethod
    def from_simple(cls, data: Raw) -> Feedback:
        """Return the entry of a JSON object."""
        return _known(cls, data)


@dataclass(frozen=True)
class Disconnection:
    """An entry of the disconnection log: a notification that failed permanently, or a connection that ended."""

    code: int
    timestamp: float
    verbose_message: Optional[str] = None
    reason: Optional[str] = None
    status: Optional[int] = None
    offending_notification: Optional[Mapping[str, Any]] = None
    internal_identifier: Optional[int] = None
    apns_id: Optional[str] = None
    node: Optional[str] = None
    affected: int = 0
    raw: Raw = _raw()

    @classmethod
    def from_simple(cls, data: Raw) -> Disconnection:
        """Return the entry of a JSON object."""
        return _known(cls, data)


@dataclass(frozen=True)
class HeldFeedback:
    """The feedback that the mass-removal guard holds back: how much, since when (UNIX seconds), and why."""

    count: int
    since: Optional[float] = None
    why: Optional[str] = None
    raw: Raw = _raw()

    @classmethod
    def from_simple(cls, data: Raw) -> HeldFeedback:
        """Return the object of its JSON."""
        return _known(cls, data)


@dataclass(frozen=True)
class Readiness:
    """The readiness of a node: `status` is `ready`, `degraded` or `not_ready`."""

    status: str
    degraded: Tuple[Mapping[str, Any], ...] = ()
    raw: Raw = _raw()

    @property
    def is_ready(self) -> bool:
        """True if the node should get traffic."""
        return self.status != "not_ready"


@dataclass(frozen=True)
class Page(Generic[Entry]):
    """A page of a list. Acknowledge `cursor` to delete the entries, or ask with it for the next page."""

    entries: List[Entry]
    cursor: str
    raw: Raw = _raw()


Known = TypeVar("Known")


def _known(kind: Type[Known], data: Raw, raw: Optional[Raw] = None) -> Known:
    """Return a dataclass with the fields that it has, and everything in `raw`."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    fields = {name: value for name, value in data.items() if name in names and name != "raw"}
    make: Callable[..., Known] = kind
    return make(**fields, raw=data if raw is None else raw)
