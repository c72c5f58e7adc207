"""The stream of the asynchronous client: a task writes, and the caller's task reads."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, AsyncIterable, AsyncIterator, Deque, Iterable, List, Optional, Union, cast

from ._aio_transport import AsyncPool
from ._http import MalformedResponse, chunk
from ._lines import FIELDS, GROUP_SECONDS, SILENT_SECONDS, UNANSWERED_MAX, Lines, why_ended
from ._words import Sent
from .errors import ConnectionFailed
from .model import Outcome

Items = Union[Iterable[Any], AsyncIterable[Any]]

# Bytes of the answer that may wait for the caller; then the connection is not read.
UNREAD_MAX = 1 << 20


class LineConnection(asyncio.Protocol):
    """A connection that is read and written at the same time."""

    def __init__(self) -> None:
        self._transport: Optional[asyncio.Transport] = None
        self._data: Deque[bytes] = deque()
        self._unread = 0
        self._is_paused = False
        self._is_lost = False
        self._error: Optional[BaseException] = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Keep a part of the answer until the caller asks for it."""
        self._data.append(data)
        self._unread += len(data)
        self._readable.set()
        if self._unread > UNREAD_MAX and self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, error: Optional[Exception]) -> None:
        """Wake who waits."""
        self._is_lost = True
        self._error = error
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Make the writer wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._writable.set()

    @property
    def is_writable(self) -> bool:
        """True if no bytes wait in this process."""
        return self._writable.is_set() and not self._is_lost

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        if self._transport is not None and not self._is_lost:
            self._transport.write(data)

    async def drain(self) -> bool:
        """Wait until all bytes are written. Return false if the connection has ended."""
        await self._writable.wait()
        return not self._is_lost

    async def receive(self, seconds: float) -> Optional[bytes]:
        """Return bytes, none at the end of the connection, or `None` after the time limit.

        Raises:
            OSError: the connection ended with an error.
        """
        if not self._data and not self._is_lost:
            try:
                await asyncio.wait_for(self._readable.wait(), seconds)
            except asyncio.TimeoutError:
                return None
        if self._data:
            data = b"".join(self._data)
            self._data.clear()
            self._unread = 0
            if self._is_paused and self._transport is not None:
                self._is_paused = False
                self._transport.resume_reading()
        elif self._error is not None:
            raise self._error
        else:
            data = b""
        if not self._is_lost:
            self._readable.clear()
        return data

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()


class AsyncStream:
    """A stream of notifications: `run` yields an outcome for each item that it took, and takes no more than needed."""

    def __init__(self, pool: AsyncPool, target: str, items: Items, patience: float) -> None:
        self._pool = pool
        self._target = target
        self._items = _as_async(items)
        # The longest time without a byte while something is due.
        self._patience = patience
        self._is_exhausted = False
        # The error of the iterable. It is raised after the outcomes of the items before it.
        self._fault: Optional[BaseException] = None
        # An item that belongs on the next connection.
        self._held: List[Any] = []

    async def run(self) -> AsyncIterator[Outcome]:
        """Yield the outcomes in the order of the items."""
        while self._held or not self._is_exhausted:
            async for outcome in self._on_one_connection():
                yield outcome
        if self._fault is not None:
            raise self._fault

    async def _on_one_connection(self) -> AsyncIterator[Outcome]:
        """Yield the outcomes of one connection. It ends with the items, or when they paused for long."""
        self._connection, address = await self._pool.connect(LineConnection)
        self._lines = lines = Lines()
        self._is_last_chunk_out = self._flush_is_due = False
        self._room = asyncio.Event()
        self._room.set()
        self._last_sent = time.monotonic()
        self._connection.write(self._pool.session.head(address, "POST", self._target, FIELDS))
        writer = asyncio.ensure_future(self._write())
        try:
            async for outcome in self._read():
                yield outcome
        except (OSError, MalformedResponse) as why:
            await _end(writer)
            self._take_held()
            ended = lines.lost(0, why_ended(why))
            for outcome in ended:
                yield outcome
            sent: Sent = "maybe" if any(one.outcome == "unknown" for one in ended) else "no"
            raise ConnectionFailed(f"the stream to {address} broke: {why_ended(why)}", sent) from why
        finally:
            self._connection.close()
            await _end(writer)
        if not lines.is_accepted:
            self._take_held()
            refusal = lines.refusal()
            for outcome in lines.refused(refusal):
                yield outcome
            raise refusal

    def _take_held(self) -> None:
        if self._held:
            self._lines.add(self._held.pop())

    async def _read(self) -> AsyncIterator[Outcome]:
        """Yield outcomes until the answer is complete."""
        lines, reader = self._lines, self._lines.reader
        while not reader.is_complete:
            data = await self._connection.receive(self._patience)
            if data:
                for outcome in lines.feed(data):
                    yield outcome
                if lines.unanswered < UNANSWERED_MAX:
                    self._room.set()
            elif data is not None:
                is_refused = reader.has_head and not lines.is_accepted
                is_over = is_refused or self._is_last_chunk_out and not lines.unanswered
                if not reader.end() and not is_over:
                    raise ConnectionError("it closed the connection")
                return
            elif lines.unanswered or self._is_last_chunk_out or not self._connection.is_writable:
                raise TimeoutError(f"nothing arrived for {self._patience:g} seconds")
        if lines.is_accepted and (lines.unanswered or not self._is_last_chunk_out):
            raise ConnectionError("it ended the stream")

    async def _write(self) -> None:
        """Take items and write them, as fast as the node reads them."""
        lines, loop = self._lines, asyncio.get_running_loop()
        while await self._connection.drain():
            if self._flush_is_due:
                self._flush()
            if lines.unanswered >= UNANSWERED_MAX:
                self._flush()
                self._room.clear()
                await self._room.wait()
            try:
                item = self._held.pop() if self._held else await self._items.__anext__()
                if time.monotonic() - self._last_sent > SILENT_SECONDS:
                    self._held.append(item)
                    break
                lines.add(item)
            except StopAsyncIteration:
                self._is_exhausted = True
                break
            except Exception as fault:
                self._is_exhausted = True
                self._fault = fault
                break
            if lines.is_full:
                self._flush()
                await asyncio.sleep(0)
            elif lines.is_first_of_group:
                # It runs once the iterable waits for something.
                loop.call_soon(self._flush)
        if await self._connection.drain():
            self._flush()
        if await self._connection.drain():
            self._connection.write(chunk(b""))
            self._is_last_chunk_out = True

    def _flush(self) -> None:
        """Write the group, unless bytes wait: then the writer does it."""
        self._flush_is_due = not self._connection.is_writable
        if self._lines.has_group and not self._flush_is_due:
            self._connection.write(self._lines.take_group())
            self._last_sent = time.monotonic()


async def _end(task: "asyncio.Future[None]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


def _as_async(items: Items) -> AsyncIterator[Any]:
    return items.__aiter__() if isinstance(items, AsyncIterable) else _of_iterable(items)


async def _of_iterable(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield the items, and let other tasks run every millisecond."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > GROUP_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
