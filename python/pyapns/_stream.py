"""The stream of the synchronous client. One thread does everything: the caller's, in which the iterable runs, too."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Any, Iterable, Iterator, List, Optional, Union

from ._http import MalformedResponse, chunk
from ._lines import FIELDS, SILENT_SECONDS, SLICE_SECONDS, Lines, why_ended
from ._transport import READ_BYTES, Pool
from ._words import Sent
from .errors import ConnectionFailed
from .model import Outcome

# The time in which the answer of a node is read that closed the connection for writing.
AFTER_WRITE_ERROR_SECONDS = 1.0


class Channel:
    """A socket that never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        # Linux joins what is sent with MSG_MORE into full segments, and sends an incomplete one after 200 ms.
        self._more = 0 if isinstance(sock, ssl.SSLSocket) else getattr(socket, "MSG_MORE", 0)
        self._wants_write = False

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, data: Union[bytes, memoryview], more: bool) -> int:
        """Return the number of bytes that were written. With `more`, the system may wait shortly for more of them."""
        try:
            return self._socket.send(data, self._more if more else 0)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def push(self) -> None:
        """Send what the system keeps back."""
        if self._more and self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self) -> Optional[bytes]:
        """Return bytes, none at the end of the connection, or `None` if there are none yet."""
        try:
            return self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return None

    def wait(self, *, write: bool, seconds: float) -> bool:
        """Wait until something can be read or, if asked, written. Return false if the time limit passed."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        write = write or self._wants_write
        self._wants_write = False
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if write else 0))
            return bool(poll.poll(seconds * 1000))
        ready = select.select([self._socket], [self._socket] if write else [], [], seconds)
        return bool(ready[0] or ready[1])


class Outgoing:
    """Bytes on their way to the socket: the head, the chunk of an item, or the end of the body."""

    def __init__(self, data: bytes, items: int = 0) -> None:
        self._data = data
        self._items = items
        self._written = 0

    def write(self, channel: Channel) -> bool:
        """Write what the socket takes. Return true if nothing is left."""
        data = memoryview(self._data)[self._written :] if self._written else self._data
        self._written += channel.send(data, self._items > 0)
        return self._written == len(self._data)

    @property
    def unwritten_items(self) -> int:
        """The number of items of which no byte was written."""
        return 0 if self._written else self._items


class Stream:
    """A stream of notifications: `run` yields an outcome for each item that it took, and takes no more than needed."""

    def __init__(self, pool: Pool, target: str, items: Iterable[Any], patience: float) -> None:
        self._pool = pool
        self._target = target
        self._items = iter(items)
        # The longest time without a byte while something is due.
        self._patience = patience
        self._is_exhausted = False
        # The error of the iterable. It is raised after the outcomes of the items before it.
        self._fault: Optional[BaseException] = None
        # An item that belongs on the next connection.
        self._held: List[Any] = []

    def run(self) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the items."""
        while self._held or not self._is_exhausted:
            yield from self._on_one_connection()
        if self._fault is not None:
            raise self._fault

    def _on_one_connection(self) -> Iterator[Outcome]:
        """Yield the outcomes of one connection. It ends with the items, or when they paused for long."""
        self._lines = lines = Lines()
        try:
            sock, address = self._pool.connect()
        except ConnectionFailed as failed:
            self._tell_held()
            yield from lines.lost(0, failed.message)
            raise
        self._channel = Channel(sock)
        self._is_last_chunk_out = False
        self._last_sent = time.monotonic()
        self._write_error: Optional[OSError] = None
        try:
            self._out: Optional[Outgoing] = Outgoing(self._pool.session.head(address, "POST", self._target, FIELDS))
            yield from self._exchange()
        except (OSError, MalformedResponse) as why:
            if self._is_over():
                return
            cause = self._write_error or why
            self._pool.avoid(address)
            self._tell_held()
            unwritten = self._out.unwritten_items if self._out is not None else 0
            ended = lines.lost(unwritten, why_ended(cause))
            yield from ended
            sent: Sent = "maybe" if any(one.outcome == "unknown" for one in ended) else "no"
            raise ConnectionFailed(f"the stream to {address} broke: {why_ended(cause)}", sent) from cause
        finally:
            self._channel.close()
        if self._is_refused():
            self._tell_held()
            refusal = lines.refusal()
            yield from lines.refused(refusal)
            raise refusal

    def _tell_held(self) -> None:
        """Count an item that no connection took, so that it gets an outcome."""
        if self._held:
            with contextlib.suppress(ValueError, TypeError):
                self._lines.add(self._held.pop())

    def _exchange(self) -> Iterator[Outcome]:
        """Write and read until the answer is complete."""
        reader = self._lines.reader
        while not reader.is_complete:
            if self._may_take():
                self._take()
            else:
                self._write()
            data = self._channel.receive()
            if data:
                yield from self._lines.feed(data)
            elif data is not None:
                if not reader.end() and not self._is_over() and not self._is_refused():
                    raise ConnectionError("it closed the connection")
                return
            elif not self._may_take():
                self._wait()
        if self._lines.is_accepted and (self._lines.unanswered or not self._is_last_chunk_out):
            raise ConnectionError("it ended the stream")

    def _is_over(self) -> bool:
        """Return true if every item that was taken has its outcome, and no further item goes to this connection."""
        return self._lines.is_accepted and self._is_last_chunk_out and not self._lines.unanswered

    def _is_refused(self) -> bool:
        return self._lines.reader.has_head and not self._lines.is_accepted

    def _may_take(self) -> bool:
        is_open = self._write_error is None and self._out is None and not self._is_last_chunk_out
        return is_open and not self._lines.is_full and (self._lines.is_accepted or not self._lines.reader.has_head)

    def _write(self) -> None:
        """Write what the socket takes."""
        if self._out is None or self._write_error is not None:
            return
        try:
            if self._out.write(self._channel):
                self._out = None
                self._last_sent = time.monotonic()
        except OSError as why:
            # The node may have answered before it closed the connection.
            self._write_error = why

    def _take(self) -> None:
        """Take items for a moment. Each goes out at once: the iterable may block before the next one."""
        lines, now = self._lines, time.monotonic()
        until = now + SLICE_SECONDS
        while self._may_take() and now < until:
            try:
                item = self._held.pop() if self._held else next(self._items)
                now = time.monotonic()
                if now - self._last_sent > SILENT_SECONDS:
                    self._held.append(item)
                    self._end_body()
                else:
                    lines.add(item)
                    self._out = Outgoing(lines.take_group(), 1)
            except StopIteration:
                self._is_exhausted = True
                self._end_body()
            except Exception as fault:
                self._is_exhausted = True
                self._fault = fault
                self._end_body()
            self._write()
        self._push()

    def _push(self) -> None:
        try:
            self._channel.push()
        except OSError as why:
            self._write_error = self._write_error or why

    def _end_body(self) -> None:
        self._out = Outgoing(chunk(b""))
        self._is_last_chunk_out = True

    def _wait(self) -> None:
        is_writing = self._out is not None and self._write_error is None
        patience = self._patience if self._write_error is None else AFTER_WRITE_ERROR_SECONDS
        if not self._channel.wait(write=is_writing, seconds=patience):
            raise TimeoutError(f"nothing arrived for {patience:g} seconds")
