"""The connections of the synchronous client: a pool of blocking sockets, for threads and after `fork`."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import Deque, Dict, List, Optional, Tuple, TypeVar

from ._attempts import Attempts
from ._calls import Call, Reply
from ._http import MalformedResponse, ResponseReader
from ._nodes import Nodes
from ._session import Address, Session
from .errors import ClientError, ConnectionFailed

Result = TypeVar("Result")

# A node closes a connection after 75 idle seconds, so a connection that was idle for less is open.
IDLE_SECONDS = 60.0
READ_BYTES = 65536


def open_socket(address: Address, session: Session, timeout: float) -> socket.socket:
    """Return a connection to a node.

    Raises:
        ConnectionFailed: it cannot be opened; nothing was sent.
    """
    try:
        if address.path is not None:
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(timeout)
            try:
                plain.connect(address.path)
            except BaseException:
                plain.close()
                raise
            return plain
        plain = socket.create_connection((address.host, address.port), timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return session.tls().wrap_socket(plain, server_hostname=address.host) if address.tls else plain
        except BaseException:
            plain.close()
            raise
    except (OSError, ValueError) as why:
        raise ConnectionFailed(f"cannot connect to {address}: {why}", "no") from why


class Connection:
    """A connection that is kept alive, used by one call at a time."""

    __slots__ = ("address", "_socket", "_used")

    def __init__(self, address: Address, session: Session, timeout: float) -> None:
        self.address = address
        self._socket = open_socket(address, session, timeout)
        self._used = time.monotonic()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def is_usable(self) -> bool:
        """Return true unless the node has closed the connection, or will soon."""
        return time.monotonic() - self._used < IDLE_SECONDS and not is_readable(self._socket)

    def exchange(self, request: bytes, seconds: float) -> Tuple[Reply, bool]:
        """Send a request. Return the answer, and whether the connection can be used again.

        Raises:
            ConnectionFailed: no complete answer came. A request that could not be written whole was not acted on.
        """
        until = time.monotonic() + seconds
        written: Optional[OSError] = None
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(request)
        except OSError as why:
            # The node may have refused the request before its end.
            written = why
            until = min(until, time.monotonic() + 1.0)
        try:
            reader = self._read(until)
        except (OSError, MalformedResponse) as why:
            if written is not None:
                raise ConnectionFailed(f"{self.address} did not take the request: {written}", "no") from written
            raise ConnectionFailed(f"{self.address} did not answer: {why}", "maybe") from why
        self._used = time.monotonic()
        return Reply(reader.status, reader.headers, reader.take()), reader.keeps_alive and written is None

    def _read(self, until: float) -> ResponseReader:
        reader = ResponseReader()
        while not reader.is_complete:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time limit passed")
            self._socket.settimeout(left)
            data = self._socket.recv(READ_BYTES)
            if data:
                reader.feed(data)
            elif not reader.end():
                raise ConnectionError("it closed the connection")
        return reader


def is_readable(sock: socket.socket) -> bool:
    """Return true if there are bytes to read, or the connection has ended."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


class Pool(Nodes):
    """The connections of a client. Threads share it; a process that was forked begins with an empty one."""

    def __init__(self, addresses: List[Address], session: Session, *, timeout: float, retries: int, most: int) -> None:
        super().__init__(addresses, session, timeout=timeout, retries=retries)
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._idle: Dict[int, Deque[Connection]] = {at: deque() for at in range(len(self.addresses))}
        self._places = threading.BoundedSemaphore(self._most)

    def close(self) -> None:
        """Close the idle connections. The pool can be used further."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def perform(self, call: Call[Result]) -> Result:
        """Perform a call, again if that cannot send anything twice."""
        if self._process != os.getpid():
            # The parent goes on to use its connections; this closes copies of them.
            self.close()
            self._begin()
        attempts = self.attempts(call)
        while True:
            try:
                with self._places:
                    result = self._attempt(call, attempts)
                self._first = attempts.node
                return result
            except ClientError as error:
                pause = self.after(attempts, error)
                if pause is None:
                    raise
            if pause:
                time.sleep(pause)

    def _attempt(self, call: Call[Result], attempts: Attempts) -> Result:
        attempts.begin()
        node = attempts.node
        request = self.request(call, node)
        connection = self._connection(node, attempts)
        keep = False
        try:
            reply, keep = connection.exchange(request, attempts.left())
        finally:
            if keep:
                self._idle[node].append(connection)
            else:
                connection.close()
        return call.result(reply)

    def _connection(self, node: int, attempts: Attempts) -> Connection:
        idle = self._idle[node]
        while True:
            try:
                connection = idle.pop()
            except IndexError:
                timeout = attempts.connect_limit(self.connect_timeout)
                return Connection(self.addresses[node], self.session, timeout)
            if connection.is_usable():
                return connection
            connection.close()

    def connect(self) -> Tuple[socket.socket, Address]:
        """Return a connection that the pool does not keep, to the first node that can be reached."""
        attempts = self.attempts()
        while True:
            attempts.begin()
            address = self.addresses[attempts.node]
            try:
                found = open_socket(address, self.session, attempts.connect_limit(self.connect_timeout))
                self._first = attempts.node
                return found, address
            except ConnectionFailed as error:
                pause = self.after(attempts, error)
                if pause is None:
                    raise
            if pause:
                time.sleep(pause)
