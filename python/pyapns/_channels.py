"""The calls of Apple's broadcast channels as values. Both clients perform them.

`seconds` is the time limit of the node for a call to Apple.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional
from urllib.parse import quote

from ._calls import Call, Reply, app_path, page_of, response, to_bytes, with_query
from ._words import Identifier, Payload
from .model import Channel, Page

# Channels of a page. Apple allows as many in an app, and the node asks it for all of them for each page.
PAGE = 10_000


def _target(app_id: str, environment: str, seconds: float, channel: Optional[str] = None, **parameters: Any) -> str:
    # The id is base64, which may contain a slash.
    rest = "" if channel is None else f"/{quote(channel, safe='')}"
    path = app_path(app_id, environment, f"/channels{rest}")
    return with_query(path, timeout=f"{seconds:g}", **parameters)


def _channel(reply: Reply) -> Channel:
    return Channel.from_simple(response(reply))


def create(app_id: str, environment: str, message_storage_policy: int, seconds: float) -> Call[Channel]:
    """Return the call that creates a channel."""
    body = to_bytes({"message_storage_policy": message_storage_policy})
    return Call("POST", _target(app_id, environment, seconds), _channel, body, waits=seconds)


def page(app_id: str, environment: str, cursor: Optional[str], seconds: float) -> Call[Page[Channel]]:
    """Return the call that reads a page of the channels."""
    target = _target(app_id, environment, seconds, cursor=cursor, limit=PAGE)
    return Call("GET", target, page_of(Channel.from_simple), repeatable=True, waits=seconds)


def show(app_id: str, environment: str, channel: str, seconds: float) -> Call[Channel]:
    """Return the call that shows a channel."""
    return Call("GET", _target(app_id, environment, seconds, channel), _channel, repeatable=True, waits=seconds)


def delete(app_id: str, environment: str, channel: str, seconds: float) -> Call[None]:
    """Return the call that deletes a channel."""
    return Call("DELETE", _target(app_id, environment, seconds, channel), lambda reply: None, waits=seconds)


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
