"""The nodes of a client: their addresses, the one to use first, and the time limits. Nothing here reads or writes."""

from __future__ import annotations

from typing import Any, List, Optional

from ._attempts import Attempts
from ._calls import MARGIN, Call
from ._session import Address, Session
from .errors import ClientError, ConnectionFailed

# The time limit in seconds for connecting to one of several nodes.
CONNECT_SECONDS = 3.0


class Nodes:
    """The part of a pool of connections that both clients share. `timeout` is in seconds, and can be changed."""

    def __init__(self, addresses: List[Address], session: Session, *, timeout: float, retries: int) -> None:
        self.addresses = addresses
        self.session = session
        self.timeout = timeout
        self.retries = retries
        # The position of the address that worked last.
        self._first = 0

    @property
    def connect_timeout(self) -> float:
        """The time limit in seconds for connecting to one node."""
        return self.timeout if len(self.addresses) == 1 else min(self.timeout, CONNECT_SECONDS)

    def attempts(self, call: Optional[Call[Any]] = None) -> Attempts:
        """Return the attempts of a call, or of a connection for a stream."""
        seconds, repeatable = self.timeout, False
        if call is not None:
            repeatable = call.repeatable
            if call.waits is not None:
                seconds = max(seconds, call.waits + MARGIN)
        return Attempts(self._first, len(self.addresses), self.retries, repeatable, seconds)

    def after(self, attempts: Attempts, error: ClientError) -> Optional[float]:
        """Return the pause in seconds before the next attempt, or `None` if the error is final."""
        if isinstance(error, ConnectionFailed):
            self._avoid(attempts.node)
        return attempts.after(error)

    def avoid(self, address: Address) -> None:
        """Begin the next calls at another node than this one, which did not answer."""
        self._avoid(self.addresses.index(address))

    def _avoid(self, node: int) -> None:
        # Another call may have found a node that works.
        if self._first == node:
            self._first = (node + 1) % len(self.addresses)

    def request(self, call: Call[Any], node: int) -> bytes:
        """Return a request as it goes to a node."""
        fields = list(call.fields)
        if call.body is not None:
            fields.append(("Content-Type", "application/json"))
            fields.append(("Content-Length", str(len(call.body))))
        head = self.session.head(self.addresses[node], call.method, call.target, fields)
        return head if call.body is None else head + call.body
