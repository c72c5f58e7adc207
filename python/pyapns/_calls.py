"""The calls of the API as values: what goes out, and how the answer is read. Both clients perform them."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any, Callable, Dict, Generic, Iterable, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union
from urllib.parse import quote, urlencode

from . import _http, errors
from ._words import Identifier, Payload
from .model import App, Disconnection, Feedback, HeldFeedback, Notification, Outcome, Page, Readiness

Result = TypeVar("Result")
Entry = TypeVar("Entry")
NotificationLike = Union[Notification, Mapping[str, Any]]

NODE_TIMEOUT_RANGE = (1.0, 300.0)
# The time by which a client waits longer than the node, for the answer to arrive.
MARGIN = 2.0
# Entries of a page, where the client reads a whole list.
PAGE = 1_000

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Reply:
    """An answer: status, headers in lower case, and the body."""

    __slots__ = ("status", "headers", "body")

    def __init__(self, status: int, headers: Dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        """Return the parsed body, or `None` if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def error(self, message: str = "") -> errors.ApiError:
        """Return this answer as an error."""
        headers = self.headers
        retry_after = headers.get("retry-after", "")
        seconds = float(retry_after) if retry_after.isdecimal() else None
        return errors.of_answer(self.status, self.json(), message, headers.get("x-request-id"), seconds)


class Call(Generic[Result]):
    """A request, and the reader of its answer.

    A `repeatable` call does no harm if the node performs it twice. `waits` is the node's limit in seconds for a send.
    `failure` begins the error.
    """

    __slots__ = ("method", "target", "read", "body", "fields", "repeatable", "waits", "failure")

    def __init__(
        self,
        method: str,
        target: str,
        read: Callable[[Reply], Result],
        body: Optional[bytes] = None,
        *,
        fields: Sequence[Tuple[str, str]] = (),
        repeatable: bool = False,
        waits: Optional[float] = None,
        failure: str = "",
    ) -> None:
        self.fields = fields
        self.method = method
        self.target = target
        self.read = read
        self.body = body
        self.repeatable = repeatable
        self.waits = waits
        self.failure = failure

    def result(self, reply: Reply) -> Result:
        """Return the result of an answer, or raise it as an error."""
        if not 200 <= reply.status < 300:
            raise reply.error(self.failure)
        try:
            return self.read(reply)
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            message = f"the answer {reply.status} has another form than a node's ({why!r}): check the address"
            raise errors.ApiError(message, None, status=reply.status) from why


def app_path(app_id: str, environment: str, rest: str = "") -> str:
    """Return the path of an app."""
    return f"/apps/{quote(app_id, safe='')}/{quote(environment, safe='')}{rest}"


def with_query(path: str, **parameters: Any) -> str:
    """Return a path with the parameters that are not `None`."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def response(reply: Reply) -> Any:
    """Return the `response` of an answer."""
    return json.loads(reply.body)["response"]


def page_of(entry: Callable[[Mapping[str, Any]], Entry]) -> Callable[[Reply], Page[Entry]]:
    """Return the reader of a page with such entries."""

    def read(reply: Reply) -> Page[Entry]:
        parsed = json.loads(reply.body)
        return Page([entry(one) for one in parsed["response"]], parsed["cursor"], parsed)

    return read


def outcomes(reply: Reply) -> List[Outcome]:
    """Return the outcomes of an answer, in the order of the request."""
    return [Outcome.from_simple(one) for one in response(reply)]


def first_outcome(reply: Reply) -> Outcome:
    """Return the outcome of a single notification."""
    return Outcome.from_simple(response(reply))


def plain(data: Mapping[str, Any]) -> Dict[str, Any]:
    """Return an entry as pyapns 0.5 gave it."""
    return dict(data)


def simple(item: Any) -> Dict[str, Any]:
    """Return the JSON object of a notification.

    Raises:
        ValueError: the item is neither a mapping nor a `Notification`.
    """
    if isinstance(item, Notification):
        return item.to_simple()
    if isinstance(item, Mapping):
        expiry = item.get("expiry")
        if expiry is None or isinstance(expiry, int):
            return item if isinstance(item, dict) else dict(item)
        return {**item, "expiry": int(expiry)}
    raise ValueError(f"Unknown notification: {item!r}")


def notification(
    payload: Payload,
    *,
    token: Optional[str] = None,
    tokens: Optional[Sequence[str]] = None,
    identifier: Identifier = None,
    expiry: Optional[int] = None,
    priority: Optional[int] = None,
    push_type: Optional[str] = None,
    collapse_id: Optional[str] = None,
    topic: Optional[str] = None,
) -> Dict[str, Any]:
    """Return the JSON object of a notification; what is `None` is absent."""
    fields: Dict[str, Any] = {
        "token": token,
        "tokens": None if tokens is None else list(tokens),
        "payload": payload,
        "identifier": identifier,
        "expiry": expiry,
        "priority": priority,
        "push_type": push_type,
        "collapse_id": collapse_id,
        "topic": topic,
    }
    return {name: value for name, value in fields.items() if value is not None}


def to_bytes(value: Any) -> bytes:
    """Return JSON in UTF-8. A lone surrogate, which UTF-8 does not have, is escaped."""
    text = encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def node_timeout(timeout: float, request_timeout: Optional[float]) -> float:
    """Return the node's limit for a send: the caller's, or so much less than the client's that the answer arrives."""
    low, high = NODE_TIMEOUT_RANGE
    if request_timeout is None:
        return min(max(timeout - MARGIN, low), high)
    if not low <= request_timeout <= high:
        raise ValueError(f"the time limit of a send is {low:g} to {high:g} seconds, not {request_timeout!r}")
    return request_timeout


def send(
    app_id: str,
    environment: str,
    body: Any,
    read: Callable[[Reply], Result],
    *,
    limit: float,
    retry_unknown: bool = False,
    failure: str = "",
) -> Call[Result]:
    """Return the call that sends a notification or a list of them."""
    target = send_target(app_id, environment, limit, retry_unknown)
    items = body if isinstance(body, list) else [body]
    named = retry_unknown and all(item.get("identifier") is not None for item in items)
    return Call("POST", target, read, to_bytes(body), repeatable=named, waits=limit, failure=failure)


def send_target(app_id: str, environment: str, limit: float, retry_unknown: bool) -> str:
    """Return the path and query of a send."""
    return _send_target(app_id, environment, limit, retry_unknown)


@functools.lru_cache(maxsize=1024)
def _send_target(app_id: str, environment: str, limit: float, retry_unknown: bool) -> str:
    path = app_path(app_id, environment, "/notifications")
    return with_query(path, timeout=f"{limit:g}", retry_unknown="true" if retry_unknown else None)


def if_revision(revision: Optional[str]) -> Sequence[Tuple[str, str]]:
    """Return the header that makes a change depend on the app's revision."""
    if revision is None:
        return ()
    fields = (("If-Match", f'"{revision}"'),)
    _http.checked_fields(fields)
    return fields


def provision(
    app_id: str, environment: str, fields: Mapping[str, Any], revision: Optional[str] = None
) -> Call[Dict[str, Any]]:
    """Return the call that provisions an app. Bytes are a PKCS#12 file, or PEM."""
    body: Dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, bytes):
            if name == "pkcs12":
                value = base64.b64encode(value).decode("ascii")
            else:
                value = value.decode("latin-1")
        if value is not None:
            body[name] = value
    target = app_path(app_id, environment)
    headers = if_revision(revision)
    failure = "Unable to provision app id"
    # With a revision, the second request would find what the first one changed.
    repeatable = revision is None
    return Call("POST", target, response, to_bytes(body), fields=headers, repeatable=repeatable, failure=failure)


def records(
    app_id: str,
    environment: str,
    kind: str,
    entry: Callable[[Mapping[str, Any]], Entry],
    cursor: Optional[str],
    limit: Optional[int],
) -> Call[Page[Entry]]:
    """Return the call that reads a page of the feedback or of the disconnection log."""
    target = with_query(app_path(app_id, environment, f"/{kind}"), cursor=cursor, limit=limit)
    return Call("GET", target, page_of(entry), repeatable=True, failure=f"Could not fetch {kind}")


def acknowledge(app_id: str, environment: str, kind: str, cursor: str) -> Call[int]:
    """Return the call that deletes entries up to a cursor. Repeating it changes nothing."""
    target = with_query(app_path(app_id, environment, f"/{kind}"), through=cursor)
    return Call("DELETE", target, lambda reply: int(response(reply)["removed"]), repeatable=True)


def feedback_page(app_id: str, environment: str, cursor: Optional[str], limit: Optional[int]) -> Call[Page[Feedback]]:
    """Return the call that reads a page of dead tokens."""
    return records(app_id, environment, "feedback", Feedback.from_simple, cursor, limit)


def disconnections_page(
    app_id: str, environment: str, cursor: Optional[str], limit: Optional[int]
) -> Call[Page[Disconnection]]:
    """Return the call that reads a page of the disconnection log."""
    return records(app_id, environment, "disconnections", Disconnection.from_simple, cursor, limit)


def apps_page(cursor: Optional[str]) -> Call[Page[App]]:
    """Return the call that reads a page of the apps."""
    target = with_query("/apps", cursor=cursor, limit=PAGE)
    return Call("GET", target, page_of(App.from_simple), repeatable=True)


def app(app_id: str, environment: str) -> Call[App]:
    """Return the call that shows an app."""
    return Call("GET", app_path(app_id, environment), lambda reply: App.from_simple(response(reply)), repeatable=True)


def remove(app_id: str, environment: str, revision: Optional[str]) -> Call[None]:
    """Return the call that removes an app."""
    return Call("DELETE", app_path(app_id, environment), lambda reply: None, fields=if_revision(revision))


def held_feedback(app_id: str, environment: str) -> Call[HeldFeedback]:
    """Return the call that shows the held feedback."""
    target = app_path(app_id, environment, "/feedback/held")
    return Call("GET", target, lambda reply: HeldFeedback.from_simple(response(reply)), repeatable=True)


def settle_held(app_id: str, environment: str, action: str) -> Call[int]:
    """Return the call that releases or drops the held feedback."""
    target = app_path(app_id, environment, "/feedback/held")
    return Call("POST", target, lambda reply: int(response(reply)["count"]), to_bytes({"action": action}))


def is_healthy() -> Call[bool]:
    """Return the call that checks that the process answers."""
    return Call("GET", "/healthz", lambda reply: response(reply)["status"] == "ok", repeatable=True)


class ReadinessCall(Call[Readiness]):
    """The call that asks if the node should get traffic. A 503 is an answer to it."""

    def __init__(self) -> None:
        super().__init__("GET", "/readyz", readiness, repeatable=True)

    def result(self, reply: Reply) -> Readiness:
        """Return the readiness, or raise the answer as an error."""
        if reply.status == 503 and isinstance(reply.json(), dict) and "response" in reply.json():
            return readiness(reply)
        return super().result(reply)


def readiness(reply: Reply) -> Readiness:
    """Return the readiness of an answer."""
    found = response(reply)
    return Readiness(found["status"], tuple(found.get("degraded") or ()), found)


def metrics() -> Call[str]:
    """Return the call that reads the metrics, in Prometheus's text format."""
    return Call("GET", "/metrics", lambda reply: reply.body.decode(), repeatable=True)


def chosen(items: Iterable[Any]) -> List[Dict[str, Any]]:
    """Return the JSON objects of notifications."""
    return [simple(item) for item in items]


class AnyCall(Call["Tuple[int, Any]"]):
    """Any request. Its result is the status with the parsed JSON, whatever they are."""

    def __init__(self, method: str, target: str, body: Optional[bytes]) -> None:
        if not _http.is_target(f"{method}{target}"):
            raise ValueError(f"{target!r} has a character that a URL does not allow: write it as %XX")
        super().__init__(method, target, lambda reply: (reply.status, reply.json()), body, repeatable=method == "GET")

    def result(self, reply: Reply) -> Tuple[int, Any]:
        """Return status and JSON."""
        return self.read(reply)
