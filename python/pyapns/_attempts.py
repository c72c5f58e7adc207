"""The rules for calling again: when, at which node, and after which pause. Nothing here reads or writes.

A call is repeated only if that cannot send anything twice: no node got the complete request, or a node refused it
with `Retry-After`, or it only reads, or the caller prefers duplicates.
"""

from __future__ import annotations

import random
import time
from typing import Optional

from .errors import ClientError, ConnectionFailed, Overloaded

PAUSE_FIRST = 0.1
PAUSE_MAX = 2.0


class Attempts:
    """The attempts of one call: `node` is the position of the address to use now."""

    __slots__ = ("node", "_nodes", "_untried", "_retries", "_repeatable", "_until", "_pause")

    def __init__(self, first: int, nodes: int, retries: int, repeatable: bool, seconds: float) -> None:
        self.node = first
        self._nodes = nodes
        self._untried = nodes - 1
        self._retries = retries
        self._repeatable = repeatable
        self._until = time.monotonic() + seconds
        self._pause = PAUSE_FIRST

    def after(self, error: ClientError) -> Optional[float]:
        """Return the pause in seconds before the next attempt, or `None` if the error is final."""
        if isinstance(error, ConnectionFailed):
            return self._next(None) if error.sent == "no" or self._repeatable else None
        if isinstance(error, Overloaded) and error.retry_after is not None:
            return self._next(error.retry_after, same_node=error.status == 429)
        return None

    def _next(self, wait: Optional[float], same_node: bool = False) -> Optional[float]:
        if self._untried > 0 and not same_node:
            self._untried -= 1
            self.node = (self.node + 1) % self._nodes
            return 0.0
        if self._retries <= 0:
            return None
        self._retries -= 1
        pause = wait if wait is not None else self._pause * random.uniform(0.5, 1.0)
        self._pause = min(self._pause * 2, PAUSE_MAX)
        if time.monotonic() + pause >= self._until:
            return None
        if not same_node:
            self._untried = self._nodes - 1
            self.node = (self.node + 1) % self._nodes
        return pause
