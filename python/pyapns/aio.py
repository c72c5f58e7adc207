"""The asynchronous client: the methods of `pyapns.Client`, for asyncio, with nothing else to install."""

from __future__ import annotations

from types import TracebackType
from typing import (
    Any,
    AsyncIterable,
    AsyncIterator,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)
from urllib.parse import urlencode

from . import _calls, _channels
from ._aio_stream import AsyncStream
from ._aio_transport import AsyncPool
from ._base import ClientSettings
from ._calls import NotificationLike
from ._session import Host, Session, parse_addresses
from ._words import HeldAction, Identifier, Payload, StoragePolicy
from .model import App, Channel, Disconnection, DisconnectionEvent, Feedback, HeldFeedback, Outcome, Page, Readiness

__all__ = ["AsyncClient"]


class AsyncClient(ClientSettings):
    """A client of one node, or of several nodes of a cluster. The arguments are those of `pyapns.Client`.

    A client may be used in one event loop after another, and after `fork`; each loop has its own connections.
    """

    def __init__(
        self,
        host: Host = "http://localhost",
        port: int = 8088,
        timeout: float = 20,
        *,
        key: Optional[str] = None,
        unix_socket: Optional[str] = None,
        ca: Optional[str] = None,
        retries: int = 2,
        request_timeout: Optional[float] = None,
        connections: int = 64,
    ) -> None:
        addresses = parse_addresses(host, port, unix_socket)
        super().__init__(host, port, request_timeout)
        # Checked here, so that a wrong value fails here.
        _calls.node_timeout(timeout, request_timeout)
        self._pool: AsyncPool = AsyncPool(
            addresses, Session(key, ca), timeout=timeout, retries=retries, most=connections
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the idle connections. The client can be used further."""
        self._pool.close()

    # Apps

    async def provision(
        self,
        app_id: str,
        environment: str,
        certificate: Union[str, bytes, None] = None,
        timeout: int = 15,
        *,
        pkcs12: Optional[bytes] = None,
        key: Union[str, bytes, None] = None,
        key_id: Optional[str] = None,
        team_id: Optional[str] = None,
        passphrase: Optional[str] = None,
        topic: Optional[str] = None,
        lanes: Optional[int] = None,
        revision: Optional[str] = None,
    ) -> Dict[str, Any]:
        """Provision an app, or replace its credential, and return it as the API writes it.

        Args:
            certificate: PEM of certificate and key, or a path on the server.
            timeout: the node's limit for connecting to Apple, in seconds.
            pkcs12: the bytes of a .p12 file.
            key: PEM of a signing key (.p8) or a path on the server, with `key_id`, `team_id` and `topic`.
            passphrase: that of an encrypted key or a .p12 file.
            lanes: 1 to 64.
            revision: change the app only if it still has this revision.
        """
        fields = {
            "certificate": certificate,
            "timeout": timeout,
            "pkcs12": pkcs12,
            "key": key,
            "key_id": key_id,
            "team_id": team_id,
            "passphrase": passphrase,
            "topic": topic,
            "lanes": lanes,
        }
        return await self._pool.perform(_calls.provision(app_id, environment, fields, revision))

    async def apps(self) -> List[App]:
        """Return all apps that the API key may see."""
        found: List[App] = []
        page = await self._pool.perform(_calls.apps_page(None))
        while page.entries:
            found += page.entries
            page = await self._pool.perform(_calls.apps_page(page.cursor))
        return found

    async def app(self, app_id: str, environment: str) -> App:
        """Return an app and its state."""
        return await self._pool.perform(_calls.app(app_id, environment))

    async def remove(self, app_id: str, environment: str, *, revision: Optional[str] = None) -> None:
        """Remove an app; with `revision` only if it still has this revision."""
        await self._pool.perform(_calls.remove(app_id, environment, revision))

    # Sending

    async def notify(
        self, app_id: str, environment: str, notifications: Iterable[NotificationLike]
    ) -> List[Dict[str, Any]]:
        """Send a list of dicts or `Notification`s, and return their outcomes as the API writes them."""
        items = _calls.chosen(notifications)
        failure = "Could not send notifications"
        call = _calls.send(app_id, environment, items, _calls.response, limit=self._limit, failure=failure)
        found: List[Dict[str, Any]] = await self._pool.perform(call)
        return found

    async def send(
        self,
        app_id: str,
        environment: str,
        token: str,
        payload: Payload,
        *,
        identifier: Identifier = None,
        expiry: Optional[int] = None,
        priority: Optional[int] = None,
        push_type: Optional[str] = None,
        collapse_id: Optional[str] = None,
        topic: Optional[str] = None,
        retry_unknown: bool = False,
    ) -> Outcome:
        """Send one notification and return its outcome.

        Args:
            retry_unknown: send again if Apple may have the notification already: rather twice than never. The client
                itself repeats the call then, too, if the notification has an identifier.
        """
        item = _calls.notification(
            payload,
            token=token,
            identifier=identifier,
            expiry=expiry,
            priority=priority,
            push_type=push_type,
            collapse_id=collapse_id,
            topic=topic,
        )
        read = _calls.first_outcome
        call = _calls.send(app_id, environment, item, read, limit=self._limit, retry_unknown=retry_unknown)
        return await self._pool.perform(call)

    async def send_to_tokens(
        self,
        app_id: str,
        environment: str,
        tokens: Sequence[str],
        payload: Payload,
        *,
        identifier: Identifier = None,
        expiry: Optional[int] = None,
        priority: Optional[int] = None,
        push_type: Optional[str] = None,
        collapse_id: Optional[str] = None,
        topic: Optional[str] = None,
        retry_unknown: bool = False,
    ) -> List[Outcome]:
        """Send one payload to many device tokens, and return an outcome per token, in their order."""
        item = _calls.notification(
            payload,
            tokens=tokens,
            identifier=identifier,
            expiry=expiry,
            priority=priority,
            push_type=push_type,
            collapse_id=collapse_id,
            topic=topic,
        )
        read = _calls.outcomes
        call = _calls.send(app_id, environment, [item], read, limit=self._limit, retry_unknown=retry_unknown)
        return await self._pool.perform(call)

    async def send_list(
        self,
        app_id: str,
        environment: str,
        notifications: Iterable[NotificationLike],
        *,
        retry_unknown: bool = False,
    ) -> List[Outcome]:
        """Send up to 10,000 notifications in one request, and return their outcomes in their order."""
        items, read = _calls.chosen(notifications), _calls.outcomes
        call = _calls.send(app_id, environment, items, read, limit=self._limit, retry_unknown=retry_unknown)
        return await self._pool.perform(call)

    def stream(
        self,
        app_id: str,
        environment: str,
        notifications: Union[Iterable[NotificationLike], AsyncIterable[NotificationLike]],
        *,
        retry_unknown: bool = False,
    ) -> AsyncIterator[Outcome]:
        """Send any number of notifications in constant memory, and yield their outcomes in their order.

        The iterable may be asynchronous. It runs in a task of its own. Each item that was taken gets exactly one
        outcome. If the connection breaks, the items without an answer end as `unknown`, those that were not written
        as `not_sent`, no further item is taken, and `ConnectionFailed` is raised. An error of the iterable is raised
        after the outcomes of the items before it.
        """
        target = _calls.send_target(app_id, environment, self._limit, retry_unknown)
        patience = max(self.timeout, self._limit + _calls.MARGIN)
        return AsyncStream(self._pool, target, notifications, patience).run()

    # Broadcast channels

    async def create_channel(self, app_id: str, environment: str, message_storage_policy: StoragePolicy) -> Channel:
        """Create a channel and return it; with 1, Apple stores its most recent broadcast, with 0 none."""
        return await self._pool.perform(_channels.create(app_id, environment, message_storage_policy))

    async def channels(self, app_id: str, environment: str) -> List[Channel]:
        """Return all channels of an app."""
        found: List[Channel] = []
        page = await self._pool.perform(_channels.page(app_id, environment, None))
        while page.entries:
            found += page.entries
            page = await self._pool.perform(_channels.page(app_id, environment, page.cursor))
        return found

    async def channel(self, app_id: str, environment: str, channel: str) -> Channel:
        """Return a channel by its id."""
        return await self._pool.perform(_channels.show(app_id, environment, channel))

    async def delete_channel(self, app_id: str, environment: str, channel: str) -> None:
        """Delete a channel by its id."""
        await self._pool.perform(_channels.delete(app_id, environment, channel))

    async def broadcast(
        self,
        app_id: str,
        environment: str,
        channel: str,
        payload: Payload,
        *,
        expiry: Optional[int] = None,
        priority: Optional[int] = None,
        identifier: Identifier = None,
    ) -> Outcome:
        """Send a payload to all devices that subscribe to a channel, and return its outcome.

        Args:
            channel: the channel's id.
            expiry: UNIX seconds. The default is 0, the only one that a channel with the policy 0 takes.
            priority: 1, 5 or 10, which is the default.
        """
        item = _channels.broadcast(channel, payload, expiry, priority, identifier)
        call = _channels.send(app_id, environment, item, _calls.first_outcome, limit=self._limit)
        return await self._pool.perform(call)

    async def broadcast_list(
        self, app_id: str, environment: str, broadcasts: Iterable[Mapping[str, Any]]
    ) -> List[Outcome]:
        """Send broadcasts in one request, and return their outcomes in their order.

        Each is a dict with the arguments of `broadcast`, for example `{"channel": …, "payload": …}`.
        """
        items = _channels.broadcasts(broadcasts)
        call = _channels.send(app_id, environment, items, _calls.outcomes, limit=self._limit)
        return await self._pool.perform(call)

    # Feedback and disconnections

    async def feedback(self, app_id: str, environment: str) -> List[Dict[str, Any]]:
        """Return all dead tokens as dicts, and delete them from the node, as pyapns 0.5 did.

        They are deleted after all were read, but before this method returns them: `iter_feedback` is safer.
        """
        return await self._take_all(app_id, environment, "feedback")

    async def feedback_page(
        self, app_id: str, environment: str, cursor: Optional[str] = None, limit: Optional[int] = None
    ) -> Page[Feedback]:
        """Return up to `limit` dead tokens (1 to 10,000, default 1,000) after `cursor`. Nothing is deleted."""
        return await self._pool.perform(_calls.feedback_page(app_id, environment, cursor, limit))

    async def acknowledge_feedback(self, app_id: str, environment: str, cursor: str) -> int:
        """Delete the dead tokens up to the cursor of a page, and return how many they were."""
        return await self._pool.perform(_calls.acknowledge(app_id, environment, "feedback", cursor))

    async def iter_feedback(
        self, app_id: str, environment: str, *, ack: bool = True, limit: Optional[int] = None
    ) -> AsyncIterator[Feedback]:
        """Yield all dead tokens. With `ack`, a page is deleted from the node after its last token was processed."""
        page = await self.feedback_page(app_id, environment, None, limit)
        while page.entries:
            for entry in page.entries:
                yield entry
            if ack:
                await self.acknowledge_feedback(app_id, environment, page.cursor)
            page = await self.feedback_page(app_id, environment, page.cursor, limit)

    async def held_feedback(self, app_id: str, environment: str) -> HeldFeedback:
        """Return the feedback that the mass-removal guard holds back."""
        return await self._pool.perform(_calls.held_feedback(app_id, environment))

    async def settle_held(self, app_id: str, environment: str, action: HeldAction) -> int:
        """Move the held feedback into the feedback (`release`) or delete it (`drop`). Return how much it was."""
        return await self._pool.perform(_calls.settle_held(app_id, environment, action))

    async def disconnections(self, app_id: str, environment: str) -> List[DisconnectionEvent]:
        """Return the disconnection log, and delete it from the node, as pyapns 0.5 did."""
        found = await self._take_all(app_id, environment, "disconnections")
        return [DisconnectionEvent.from_simple(one) for one in found]

    async def disconnections_page(
        self, app_id: str, environment: str, cursor: Optional[str] = None, limit: Optional[int] = None
    ) -> Page[Disconnection]:
        """Return up to `limit` entries of the disconnection log after `cursor`. Nothing is deleted."""
        return await self._pool.perform(_calls.disconnections_page(app_id, environment, cursor, limit))

    async def acknowledge_disconnections(self, app_id: str, environment: str, cursor: str) -> int:
        """Delete the entries of the disconnection log up to the cursor of a page, and return how many they were."""
        return await self._pool.perform(_calls.acknowledge(app_id, environment, "disconnections", cursor))

    async def iter_disconnections(
        self, app_id: str, environment: str, *, ack: bool = True, limit: Optional[int] = None
    ) -> AsyncIterator[Disconnection]:
        """Yield the disconnection log. With `ack`, a page is deleted after its last entry was processed."""
        page = await self.disconnections_page(app_id, environment, None, limit)
        while page.entries:
            for entry in page.entries:
                yield entry
            if ack:
                await self.acknowledge_disconnections(app_id, environment, page.cursor)
            page = await self.disconnections_page(app_id, environment, page.cursor, limit)

    async def _take_all(self, app_id: str, environment: str, kind: str) -> List[Dict[str, Any]]:
        found: List[Dict[str, Any]] = []
        page = await self._pool.perform(_calls.records(app_id, environment, kind, _calls.plain, None, None))
        while page.entries:
            found += page.entries
            last = page.cursor
            page = await self._pool.perform(_calls.records(app_id, environment, kind, _calls.plain, last, None))
        if found:
            await self._pool.perform(_calls.acknowledge(app_id, environment, kind, last))
        return found

    # The node

    async def is_healthy(self) -> bool:
        """Return true if the node's process answers."""
        return await self._pool.perform(_calls.is_healthy())

    async def readiness(self) -> Readiness:
        """Return whether the node should get traffic, and what is degraded."""
        return await self._pool.perform(_calls.ReadinessCall())

    async def metrics(self) -> str:
        """Return the node's metrics in Prometheus's text format."""
        return await self._pool.perform(_calls.metrics())

    async def _request(
        self, method: str, path: str, args: Optional[Mapping[str, Any]] = None, data: Any = None
    ) -> Tuple[int, Any]:
        """Return status and parsed JSON of any call, as pyapns 0.5 did."""
        target = "/" + path.lstrip("/") + (f"?{urlencode(args)}" if args else "")
        body = data.encode() if isinstance(data, str) else data
        return await self._pool.perform(_calls.AnyCall(method, target, body))
