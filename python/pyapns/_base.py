"""The settings and names that both clients share."""

from __future__ import annotations

from typing import Optional

from . import _calls
from ._nodes import Nodes
from ._session import Host, Session


class ClientSettings:
    """The settings of a client that can be read and changed."""

    _pool: Nodes

    def __init__(self, host: Host, port: int, request_timeout: Optional[float]) -> None:
        self.host: Host = host.strip("/") if isinstance(host, str) else host
        self.port = port
        self._request_timeout = request_timeout

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(map(str, self._pool.addresses))}>"

    @property
    def connection(self) -> Session:
        """The settings of the connections: `headers`, `auth`, `verify`, `cert`."""
        return self._pool.session

    @property
    def timeout(self) -> float:
        """The time limit of a call in seconds. It can be changed."""
        return self._pool.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._pool.timeout = seconds

    @property
    def _limit(self) -> float:
        """The node's limit for a send, in seconds."""
        return _calls.node_timeout(self._pool.timeout, self._request_timeout)
