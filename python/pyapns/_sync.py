"""The synchronous client.

`Client` has the methods of pyapns 0.5 with the same arguments and results, and everything else that the API offers.
Threads may share a client, and a process may fork with one.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, Union
from urllib.parse import urlencode

from . import _calls, _channels
from ._base import ClientSettings
from ._calls import NotificationLike
from ._session import Host, Session, parse_addresses
from ._stream import Stream
from ._transport import Pool
from ._words import HeldAction, Identifier, Payload, StoragePolicy
from .model import App, Channel, Disconnection, DisconnectionEvent, Feedback, HeldFeedback, Outcome, Page, Readiness


class Client(ClientSettings):
    """A client of one node, or of several nodes of a cluster.

    Args:
        host: the URL of the node, or a list of URLs: if one cannot be reached, the next one is used.
            `unix:PATH` is a Unix socket.
        port: the port of a URL that has none.
        timeout: seconds for a call: to connect, to wait for the answer, and to repeat it.
        key: an API key, `ID.SECRET`.
        unix_socket: the path of the node's Unix socket, in place of `host`.
        ca: a PEM file with the only authorities to trust for https.
        retries: how often a call is repeated after it certainly had no effect.
        request_timeout: the node's limit for a send, 1 to 300 seconds. The default is 2 seconds less than `timeout`.
            If it is longer than `timeout`, the client waits for the answer to a send as long.
        connections: the most calls at the same time. Further calls wait. Streams are not counted.
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
        self._pool: Pool = Pool(addresses, Session(key, ca), timeout=timeout, retries=retries, most=connections)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. The client can be used further."""
        self._pool.close()

    # Apps

    def provision(
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
        return self._pool.perform(_calls.provision(app_id, environment, fields, revision))

    def apps(self) -> List[App]:
        """Return all apps that the API key may see."""
        found: List[App] = []
        page = self._pool.perform(_calls.apps_page(None))
        while page.entries:
            found += page.entries
            page = self._pool.perform(_calls.apps_page(page.cursor))
        return found

    def app(self, app_id: str, environment: str) -> App:
        """Return an app and its state."""
        return self._pool.perform(_calls.app(app_id, environment))

    def remove(self, app_id: str, environment: str, *, revision: Optional[str] = None) -> None:
        """Remove an app; with `revision` only if it still has this revision."""
        self._pool.perform(_calls.remove(app_id, environment, revision))

    # Sending

    def notify(self, app_id: str, environment: str, notifications: Iterable[NotificationLike]) -> List[Dict[str, Any]]:
        """Send a list of dicts or `Notification`s, and return their outcomes as the API writes them."""
        items = _calls.chosen(notifications)
        failure = "Could not send notifications"
        call = _calls.send(app_id, environment, items, _calls.response, limit=self._limit, failure=failure)
        found: List[Dict[str, Any]] = self._pool.perform(call)
        return found

    def send(
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
        return self._pool.perform(call)

    def send_to_tokens(
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
        return self._pool.perform(call)

    def send_list(
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
        return self._pool.perform(call)

    def stream(
        self,
        app_id: str,
        environment: str,
        notifications: Iterable[NotificationLike],
        *,
        retry_unknown: bool = False,
    ) -> Iterator[Outcome]:
        """Send any number of notifications in constant memory, and yield their outcomes in their order.

        The iterable runs in this thread, while outcomes are asked for. Each item that was taken gets exactly one
        outcome. If the connection breaks, the items without an answer end as `unknown`, those that were not written
        as `not_sent`, no further item is taken, and `ConnectionFailed` is raised. An error of the iterable is raised
        after the outcomes of the items before it.
        """
        target = _calls.send_target(app_id, environment, self._limit, retry_unknown)
        patience = max(self.timeout, self._limit + _calls.MARGIN)
        return Stream(self._pool, target, notifications, patience).run()

    # Broadcast channels

    def create_channel(self, app_id: str, environment: str, message_storage_policy: StoragePolicy) -> Channel:
        """Create a channel and return it; with 1, Apple stores its most recent broadcast, with 0 none."""
        return self._pool.perform(_channels.create(app_id, environment, message_storage_policy))

    def channels(self, app_id: str, environment: str) -> List[Channel]:
        """Return all channels of an app."""
        found: List[Channel] = []
        page = self._pool.perform(_channels.page(app_id, environment, None))
        while page.entries:
            found += page.entries
            page = self._pool.perform(_channels.page(app_id, environment, page.cursor))
        return found

    def channel(self, app_id: str, environment: str, channel: str) -> Channel:
        """Return a channel by its id."""
        return self._pool.perform(_channels.show(app_id, environment, channel))

    def delete_channel(self, app_id: str, environment: str, channel: str) -> None:
        """Delete a channel by its id."""
        self._pool.perform(_channels.delete(app_id, environment, channel))

    def broadcast(
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
        return self._pool.perform(call)

    def broadcast_list(self, app_id: str, environment: str, broadcasts: Iterable[Mapping[str, Any]]) -> List[Outcome]:
        """Send broadcasts in one request, and return their outcomes in their order.

        Each is a dict with the arguments of `broadcast`, for example `{"channel": …, "payload": …}`.
        """
        items = _channels.broadcasts(broadcasts)
        call = _channels.send(app_id, environment, items, _calls.outcomes, limit=self._limit)
        return self._pool.perform(call)

    # Feedback and disconnections

    def feedback(self, app_id: str, environment: str) -> List[Dict[str, Any]]:
        """Return all dead tokens as dicts, and delete them from the node, as pyapns 0.5 did.

        They are deleted after all were read, but before this method returns them: `iter_feedback` is safer.
        """
        return self._take_all(app_id, environment, "feedback")

    def feedback_page(
        self, app_id: str, environment: str, cursor: Optional[str] = None, limit: Optional[int] = None
    ) -> Page[Feedback]:
        """Return up to `limit` dead tokens (1 to 10,000, default 1,000) after `cursor`. Nothing is deleted."""
        return self._pool.perform(_calls.feedback_page(app_id, environment, cursor, limit))

    def acknowledge_feedback(self, app_id: str, environment: str, cursor: str) -> int:
        """Delete the dead tokens up to the cursor of a page, and return how many they were."""
        return self._pool.perform(_calls.acknowledge(app_id, environment, "feedback", cursor))

    def iter_feedback(
        self, app_id: str, environment: str, *, ack: bool = True, limit: Optional[int] = None
    ) -> Iterator[Feedback]:
        """Yield all dead tokens. With `ack`, a page is deleted from the node after its last token was processed."""
        page = self.feedback_page(app_id, environment, None, limit)
        while page.entries:
            yield from page.entries
            if ack:
                self.acknowledge_feedback(app_id, environment, page.cursor)
            page = self.feedback_page(app_id, environment, page.cursor, limit)

    def held_feedback(self, app_id: str, environment: str) -> HeldFeedback:
        """Return the feedback that the mass-removal guard holds back."""
        return self._pool.perform(_calls.held_feedback(app_id, environment))

    def settle_held(self, app_id: str, environment: str, action: HeldAction) -> int:
        """Move the held feedback into the feedback (`release`) or delete it (`drop`). Return how much it was."""
        return self._pool.perform(_calls.settle_held(app_id, environment, action))

    def disconnections(self, app_id: str, environment: str) -> List[DisconnectionEvent]:
        """Return the disconnection log, and delete it from the node, as pyapns 0.5 did."""
        found = self._take_all(app_id, environment, "disconnections")
        return [DisconnectionEvent.from_simple(one) for one in found]

    def disconnections_page(
        self, app_id: str, environment: str, cursor: Optional[str] = None, limit: Optional[int] = None
    ) -> Page[Disconnection]:
        """Return up to `limit` entries of the disconnection log after `cursor`. Nothing is deleted."""
        return self._pool.perform(_calls.disconnections_page(app_id, environment, cursor, limit))

    def acknowledge_disconnections(self, app_id: str, environment: str, cursor: str) -> int:
        """Delete the entries of the disconnection log up to the cursor of a page, and return how many they were."""
        return self._pool.perform(_calls.acknowledge(app_id, environment, "disconnections", cursor))

    def iter_disconnections(
        self, app_id: str, environment: str, *, ack: bool = True, limit: Optional[int] = None
    ) -> Iterator[Disconnection]:
        """Yield the disconnection log. With `ack`, a page is deleted after its last entry was processed."""
        page = self.disconnections_page(app_id, environment, None, limit)
        while page.entries:
            yield from page.entries
            if ack:
                self.acknowledge_disconnections(app_id, environment, page.cursor)
            page = self.disconnections_page(app_id, environment, page.cursor, limit)

    def _take_all(self, app_id: str, environment: str, kind: str) -> List[Dict[str, Any]]:
        found: List[Dict[str, Any]] = []
        page = self._pool.perform(_calls.records(app_id, environment, kind, _calls.plain, None, None))
        while page.entries:
            found += page.entries
            last = page.cursor
            page = self._pool.perform(_calls.records(app_id, environment, kind, _calls.plain, last, None))
        if found:
            self._pool.perform(_calls.acknowledge(app_id, environment, kind, last))
        return found

    # The node

    def is_healthy(self) -> bool:
        """Return true if the node's process answers."""
        return self._pool.perform(_calls.is_healthy())

    def readiness(self) -> Readiness:
        """Return whether the node should get traffic, and what is degraded."""
        return self._pool.perform(_calls.ReadinessCall())

    def metrics(self) -> str:
        """Return the node's metrics in Prometheus's text format."""
        return self._pool.perform(_calls.metrics())

    def _request(
        self, method: str, path: str, args: Optional[Mapping[str, Any]] = None, data: Any = None
    ) -> Tuple[int, Any]:
        """Return status and parsed JSON of any call, as pyapns 0.5 did."""
        target = "/" + path.lstrip("/") + (f"?{urlencode(args)}" if args else "")
        body = data.encode() if isinstance(data, str) else data
        return self._pool.perform(_calls.AnyCall(method, target, body))
