"""pyapns: push notifications to Apple's devices, through a pyapns node.

`Client` is synchronous, `pyapns.aio.AsyncClient` has the same methods for asyncio, and `pyapns.testing` starts a node
with a simulator of Apple for your own tests. `configure`, `provision`, `notify` and `feedback` are those of pyapns 0.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._functions import configure, feedback, notify, provision
from .client import Client
from .errors import (
    ApiError,
    APNSNotConfigured,
    ClientError,
    ConnectionFailed,
    NotProvisioned,
    Overloaded,
    Unauthorized,
    UnknownAppID,
)
from .model import DisconnectionEvent, Feedback, Notification, Outcome

if TYPE_CHECKING:
    from .aio import AsyncClient

__author__ = "the pyapns authors"
__license__ = "MIT"
__copyright__ = "the pyapns authors"
__version__: str

__all__ = [
    "APNSNotConfigured",
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DisconnectionEvent",
    "Feedback",
    "NotProvisioned",
    "Notification",
    "Outcome",
    "Overloaded",
    "Unauthorized",
    "UnknownAppID",
    "configure",
    "feedback",
    "notify",
    "provision",
]


def __getattr__(name: str) -> Any:
    """Load what costs time to import only when it is used: asyncio, and the version of the distribution."""
    if name == "AsyncClient":
        from .aio import AsyncClient

        return AsyncClient
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("pyapns")
        except PackageNotFoundError:
            return "0+not.installed"
    raise AttributeError(f"module 'pyapns' has no attribute {name!r}")
