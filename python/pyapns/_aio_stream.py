"""The stream of the asynchronous client: a task writes, and the caller's task reads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, AsyncIterable, AsyncIterator, Deque, Iterable, List, Optional, Union, cast

from ._aio_transport import AsyncPool
from ._http import MalformedResponse, chunk
from ._lines import FIELDS, SILENT_SECONDS, SLICE_SECONDS, UNANSWERED_MAX, Lines, why_ended
from ._words import Sent
from .errors import ConnectionFailed
from .model import Outcome

Items = Union[Iterable[Any], AsyncIterable[Any]]


class LineConnection(asyncio.Protocol):
    """A connection that is read and written at the same time."""

    def __init__(self) -> None:
        self._transport: Optional[asyncio.Transport] = None
        self._data: Deque[bytes] = deque()
        self._is_lost = False
        self._error: Optional[BaseException] = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        # Not 0: with it, TLS of Python 3.11 and later pauses when no bytes wait.
        self._transport.set_write_buffer_limits(high=1)

    def data_received(self, data: bytes) -> None:
        """Keep a part of the answer until the caller asks for it. `UNANSWERED_MAX` limits how much that can be."""
        self._data.append(data)
        self._readable.set()

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
        elif self._error is not None:
            raise self._error
        else:
            data = b""
        if not self._is_lost:
            self._readable.clear()
        return data

    def close(self) -> None:
        """Close the connection. What was not written yet is dropped."""
        self._is_lost = True
        self._writable.set()
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
        # True while the iterable is asked for its next item.
        self._is_idle = False
        # True once no further item may be taken.
        self._is_stopped = False
        self._is_exhausted = False
        # The error of the iterable. It is raised after the outcomes of the items before it.
        self._fault: Optional[BaseException] = None
        # An item that waits for a connection.
        self._held: List[Any] = []
        self._lines = Lines()

    async def run(self) -> AsyncIterator[Outcome]:
        """Yield the outcomes in the order of the items."""
        # There is an item for a connection, or there are no more items.
        self._wanted = asyncio.Event()
        # There is a connection that takes items.
        self._opened = asyncio.Event()
        self._room = asyncio.Event()
        self._connection = LineConnection()
        self._writer = asyncio.ensure_future(self._write())
        try:
            is_first = True
            while is_first or self._held or not self._is_exhausted:
                is_first = False
                async for outcome in self._on_one_connection():
                    yield outcome
                await self._wanted.wait()
        finally:
            await self._stop()
        if self._fault is not None:
            raise self._fault

    async def _on_one_connection(self) -> AsyncIterator[Outcome]:
        """Yield the outcomes of one connection. It ends with the items, or when they paused for long."""
        self._lines = lines = Lines()
        self._is_last_chunk_out = self._flush_is_due = False
        try:
            self._connection, address = await self._pool.connect(LineConnection)
        except ConnectionFailed as why:
            for outcome in await self._lost(why):
                yield outcome
            raise
        try:
            self._connection.write(self._pool.session.head(address, "POST", self._target, FIELDS))
            self._last_sent = time.monotonic()
            self._opened.set()
            async for outcome in self._read():
                yield outcome
        except (OSError, MalformedResponse) as why:
            self._pool.avoid(address)
            ended = await self._lost(why)
            for outcome in ended:
                yield outcome
            sent: Sent = "maybe" if any(one.outcome == "unknown" for one in ended) else "no"
            raise ConnectionFailed(f"the stream to {address} broke: {why_ended(why)}", sent) from why
        finally:
            self._opened.clear()
            self._connection.close()
        if lines.reader.has_head and not lines.is_accepted:
            await self._stop()
            refusal = lines.refusal()
            for outcome in lines.refused(refusal):
                yield outcome
            raise refusal

    async def _stop(self) -> None:
        """Take no further item and write nothing more. Each item that was taken then counts in the lines."""
        self._is_stopped = True
        self._opened.clear()
        self._connection.close()
        self._writer.cancel()
        await asyncio.wait([self._writer])
        if self._held:
            with contextlib.suppress(ValueError, TypeError):
                self._lines.add(self._held.pop())

    async def _lost(self, why: BaseException) -> List[Outcome]:
        """Return the outcomes of all items without one. No further item is taken."""
        await self._stop()
        return self._lines.lost(0, why_ended(why))

    async def _read(self) -> AsyncIterator[Outcome]:
        """Yield outcomes until the answer is complete."""
        lines, reader = self._lines, self._lines.reader
        heard = time.monotonic()
        while not reader.is_complete:
            data = await self._connection.receive(min(self._patience, SILENT_SECONDS))
            if data:
                heard = time.monotonic()
                for outcome in lines.feed(data):
                    yield outcome
                self._room.set()
            elif data is not None:
                # Without an item that waits for its outcome, nothing is lost.
                is_over = reader.has_head and (not lines.is_accepted or not lines.unanswered)
                if not reader.end() and not is_over:
                    raise ConnectionError("it closed the connection")
                return
            elif self._is_idle and not lines.unanswered and not self._is_last_chunk_out:
                self._close_if_silent()
            elif time.monotonic() - max(heard, self._last_sent) >= self._patience:
                raise TimeoutError(f"nothing arrived for {self._patience:g} seconds")
        if lines.is_accepted and lines.unanswered:
            raise ConnectionError("it ended the stream")

    def _close_if_silent(self) -> None:
        """End the body if no item came for long. The next item opens another connection."""
        if time.monotonic() - self._last_sent >= SILENT_SECONDS:
            self._opened.clear()
            self._end_body()

    async def _write(self) -> None:
        """Take items and write them, as fast as the node reads them."""
        try:
            while True:
                self._is_idle = True
                item = await self._items.__anext__()
                self._is_idle = False
                if self._is_stopped:
                    # The iterable was cancelled, and yielded an item nevertheless.
                    self._held.append(item)
                    return
                if not self._opened.is_set():
                    await self._hold(item)
                else:
                    self._lines.add(item)
                await self._make_room()
        except StopAsyncIteration:
            pass
        except Exception as fault:
            self._fault = fault
        finally:
            self._is_idle, self._is_exhausted = False, True
            self._wanted.set()
        if self._is_stopped:
            return
        await self._opened.wait()
        if await self._connection.drain():
            self._flush()
        if await self._connection.drain():
            self._end_body()

    async def _hold(self, item: Any) -> None:
        """Keep an item until there is a connection that takes it."""
        self._held.append(item)
        self._wanted.set()
        await self._opened.wait()
        self._wanted.clear()
        if self._held:
            self._lines.add(self._held.pop())

    async def _make_room(self) -> None:
        """Write the group when it is due, and wait until another item may be taken."""
        lines = self._lines
        if lines.is_full:
            self._flush()
            await asyncio.sleep(0)
        elif lines.is_first_of_group:
            # It runs once the iterable waits for something.
            asyncio.get_running_loop().call_soon(self._flush)
        while True:
            is_open = await self._connection.drain()
            if is_open and self._flush_is_due:
                self._flush()
            # If the connection is lost, the reader reports it and stops this task, or it finds all outcomes.
            if lines.unanswered < (UNANSWERED_MAX if is_open else 1):
                return
            self._room.clear()
            await self._room.wait()

    def _flush(self) -> None:
        """Write the group, unless bytes wait: then the writer does it."""
        self._flush_is_due = not self._connection.is_writable
        if self._lines.has_group and not self._flush_is_due:
            self._connection.write(self._lines.take_group())
            self._last_sent = time.monotonic()

    def _end_body(self) -> None:
        self._is_last_chunk_out = True
        self._connection.write(chunk(b""))


def _as_async(items: Items) -> AsyncIterator[Any]:
    return items.__aiter__() if isinstance(items, AsyncIterable) else _of_iterable(items)


async def _of_iterable(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield the items, and let other tasks run every millisecond."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
