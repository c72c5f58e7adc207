"""The closed lists of words that the API uses, as types."""

from __future__ import annotations

from typing import Any, Literal, Mapping, Union

OutcomeWord = Literal["accepted", "rejected", "expired", "not_sent", "unknown"]
Environment = Literal["sandbox", "production"]
Sent = Literal["no", "maybe"]
StoragePolicy = Literal[0, 1]
HeldAction = Literal["release", "drop"]
Identifier = Union[str, int, None]
Payload = Mapping[str, Any]
