"""The errors of the package.

Every failed call raises a `ClientError`; a wrong argument raises `ValueError` or `TypeError`. `sent` says what became
of the request: `"no"` if nothing was sent or changed, and `"maybe"` if the node may have acted on it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type

from ._words import Sent

__all__ = [
    "APNSNotConfigured",
    "ApiError",
    "ClientError",
    "ConnectionFailed",
    "NotProvisioned",
    "Overloaded",
    "Unauthorized",
    "UnknownAppID",
]


class UnknownAppID(Exception):
    """The app id is not provisioned. The functions of pyapns 0.4 raise it."""


class APNSNotConfigured(Exception):
    """A function of pyapns 0.4 was called before `configure`."""


class ClientError(Exception):
    """A call that failed, with the node's error object if it answered with one."""

    sent: Sent = "maybe"

    def __init__(self, message: str, response: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message)
        self.message = message
        self.response = response

    def __reduce__(self) -> Tuple[Callable[..., ClientError], Tuple[Type[ClientError], str, Dict[str, Any]]]:
        # Processes pass exceptions on by pickling them.
        return _restore, (type(self), self.message, self.__dict__)


def _restore(kind: Type[ClientError], message: str, attributes: Dict[str, Any]) -> ClientError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(attributes)
    return error


class ConnectionFailed(ClientError):
    """No complete answer arrived: no connection, a connection that ended, or a time limit that passed.

    With `sent == "no"` no node has a complete request, and calling again cannot send anything twice.
    """

    def __init__(self, message: str, sent: Sent) -> None:
        super().__init__(message)
        self.sent = sent


class ApiError(ClientError):
    """An answer that is an error.

    `reason` is the node's stable word, such as `unknown_app`; it is `None` if the answer is not the node's, for example
    a proxy's. `details` is the error's `args`. `retry_after` is in seconds. `request_id` finds the request in the log.
    """

    def __init__(
        self,
        message: str,
        response: Optional[Mapping[str, Any]] = None,
        *,
        status: int = 0,
        request_id: Optional[str] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(message, response)
        said: Mapping[str, Any] = response or {}
        reason, details = said.get("reason"), said.get("args")
        self.status = status
        self.reason: Optional[str] = reason if isinstance(reason, str) else None
        self.details: Mapping[str, Any] = details if isinstance(details, dict) else {}
        self.request_id = request_id
        self.retry_after = retry_after
        # A node answers an error before it acts, unless the error is its own bug, or its shared store gave no answer.
        is_certain = self.reason not in (None, "store_away") and status != 500
        self.sent = "no" if is_certain else "maybe"


class NotProvisioned(ApiError, UnknownAppID):
    """The node has no such app in this environment."""


class Unauthorized(ApiError):
    """The API key is missing, unknown or expired, or it lacks the scope or the app."""


class Overloaded(ApiError):
    """The app or the node has no room now, or the node stops. `retry_after` says when to call again."""


def of_answer(
    status: int, parsed: Any, message: str, request_id: Optional[str], retry_after: Optional[float]
) -> ApiError:
    """Return the error of an answer: `parsed` is its JSON, if it is an object."""
    response = parsed if isinstance(parsed, dict) else None
    sentence = (response or {}).get("error")
    if isinstance(sentence, str):
        message = f"{message}: {sentence}" if message else sentence
    else:
        message = f"{message or 'the call failed'}: the answer is {status}, and not in the form of a node's"
    kind: Type[ApiError] = ApiError
    reason = (response or {}).get("reason")
    if status == 404 and reason == "unknown_app":
        kind = NotProvisioned
    elif status in (401, 403):
        kind = Unauthorized
    elif status in (429, 503):
        kind = Overloaded
    return kind(message, response, status=status, request_id=request_id, retry_after=retry_after)
