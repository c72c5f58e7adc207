"""The calls of Apple's broadcast channels as values. Both clients perform them."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, TypeVar
from urllib.parse import quote

from ._calls import PAGE, Call, Reply, app_path, page_of, response, to_bytes, with_query
from ._words import Identifier, Payload
from .model import Channel, Page

Result = TypeVar("Result")


def _path(app_id: str, environment: str, channel: str) -> str:
    # The id is base64, which may contain a slash.
    return app_path(app_id, environment, f"/channels/{quote(channel, safe='')}")


def _channel(reply: Reply) -> Channel:
    return Channel.from_simple(response(reply))


def create(app_id: str, environment: str, message_storage_policy: int) -> Call[Channel]:
    """Return the call that creates a channel."""
    body = to_bytes({"message_storage_policy": message_storage_policy})
    return Call("POST", app_path(app_id, environment, "/channels"), _channel, body)


def page(app_id: str, environment: str, cursor: Optional[str]) -> Call[Page[Channel]]:
    """Return the call that reads a page of the channels."""
    target = with_query(app_path(app_id, environment, "/channels"), cursor=cursor, limit=PAGE)
    return Call("GET", target, page_of(Channel.from_simple), repeatable=True)


def show(app_id: str, environment: str, channel: str) -> Call[Channel]:
    """Return the call that shows a channel."""
    return Call("GET", _path(app_id, environment, channel), _channel, repeatable=True)


def delete(app_id: str, environment: str, channel: str) -> Call[None]:
    """Return the call that deletes a channel."""
    return Call("DELETE", _path(app_id, environment, channel), lambda reply: None)


def broadcast(
    channel: str, payload: Payload, expiry: Optional[int], priority: Optional[int], identifier: Identifier
) -> Dict[str, Any]:
    """Return the JSON object of a broadcast; what is `None` is absent."""
    fields = {
        "channel": channel,
        "payload": payload,
        "expiry": expiry,
        "priority": priority,
        "identifier": identifier,
    }
    return {name: value for name, value in fields.items() if value is not None}


def broadcasts(items: Iterable[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Return the JSON objects of broadcasts.

    Raises:
        ValueError: an item is no mapping.
    """
    found = []
    for item in items:
        if not isinstance(item, Mapping):
            raise ValueError(f"Unknown broadcast: {item!r}")
        found.append(dict(item))
    return found


def send(app_id: str, environment: str, body: Any, read: Callable[[Reply], Result], *, limit: float) -> Call[Result]:
    """Return the call that sends a broadcast or a list of them."""
    target = with_query(app_path(app_id, environment, "/broadcasts"), timeout=f"{limit:g}")
    return Call("POST", target, read, to_bytes(body), waits=limit)
