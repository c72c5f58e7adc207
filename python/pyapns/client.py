"""`Client`, and the functions of pyapns 0.4, in the module where 0.4 and 0.5 had them."""

from __future__ import annotations

from ._functions import OPTIONS, configure, default_callback, feedback, notify, provision, reprovision_and_retry
from ._sync import Client
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
from .model import DisconnectionEvent, Notification

__all__ = [
    "APNSNotConfigured",
    "ApiError",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DisconnectionEvent",
    "NotProvisioned",
    "Notification",
    "OPTIONS",
    "Overloaded",
    "Unauthorized",
    "UnknownAppID",
    "configure",
    "default_callback",
    "feedback",
    "notify",
    "provision",
    "reprovision_and_retry",
]
