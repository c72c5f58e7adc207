"""The rules for calling again: when, at which node, and after which pause. Nothing here reads or writes.

A call is repeated only if that cannot send anything twice: no node got the complete request, or a node refused it
with `Retry-After`, or it only reads, or the caller prefers duplicates. A proxy's refusal is not a node's.
"""

from __future__ import annotations

import random
import time
from typing import Optional

from .errors import ClientError, ConnectionFailed, Overloaded

PAUSE_FIRST = 0.1
PAUSE_MAX = 2.0
# An attempt with less than this share of the time limit would only turn "not sent" into "maybe sent".
LEAST_SHARE = 0.1


class Attempts:
    """The attempts of one call: `node` is the position of the address to use now.

    The time limit is for the attempts and the pauses between them. Waiting for a free connection does not count.
    """

    __slots__ = ("node", "_nodes", "_untried", "_retries", "_repeatable", "_left", "_least", "_began", "_pause")

    def __init__(self, first: int, nodes: int, retries: int, repeatable: bool, seconds: float) -> None:
        self.node = first
        self._nodes = nodes
        self._untried = nodes - 1
        self._retries = retries
        self._repeatable = repeatable
        self._left = seconds
        self._least = seconds * LEAST_SHARE
        self._began = 0.0
        self._pause = PAUSE_FIRST

    def begin(self) -> None:
        """Begin an attempt."""
        self._began = time.monotonic()

    def connect_limit(self, seconds: float) -> float:
        """Return the time limit for connecting, at most `seconds`. It leaves time for the request."""
        return min(seconds, self._left - self._least / 2)

    def left(self) -> float:
        """Return the rest of the time limit, in seconds."""
        return max(self._left - (time.monotonic() - self._began), 0.001)

    def after(self, error: ClientError) -> Optional[float]:
        """Return the pause in seconds before the next attempt, or `None` if the error is final."""
        self._left -= time.monotonic() - self._began
        if error.sent != "no" and not self._repeatable:
            return None
        if isinstance(error, ConnectionFailed):
            return self._next(None)
        if isinstance(error, Overloaded) and error.retry_after is not None:
            return self._next(error.retry_after, same_node=error.status == 429)
        return None

    def _next(self, wait: Optional[float], same_node: bool = False) -> Optional[float]:
        pause = 0.0
        if self._untried > 0 and not same_node:
            self._untried -= 1
        elif self._retries > 0:
            self._retries -= 1
            pause = wait if wait is not None else self._pause * random.uniform(0.5, 1.0)
            self._pause = min(self._pause * 2, PAUSE_MAX)
            self._untried = self._untried if same_node else self._nodes - 1
        else:
            return None
        self._left -= pause
        if self._left < self._least:
            return None
        if not same_node:
            self.node = (self.node + 1) % self._nodes
        return pause
