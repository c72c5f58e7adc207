"""The connections of the asynchronous client: protocols of asyncio, and a pool of them for each event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import Deque, Dict, List, Optional, Tuple, Type, TypeVar, cast

from ._attempts import Attempts
from ._calls import Call, Reply
from ._http import MalformedResponse, ResponseReader
from ._nodes import Nodes
from ._session import Address, Session
from ._transport import IDLE_SECONDS
from .errors import ClientError, ConnectionFailed

Result = TypeVar("Result")


class Connection(asyncio.Protocol):
    """A connection that is kept alive, used by one call at a time."""

    def __init__(self) -> None:
        self._transport: Optional[asyncio.Transport] = None
        self._reader = ResponseReader()
        self._answer: Optional["asyncio.Future[Reply]"] = None
        self._is_lost = False
        # False while bytes of the request wait in this process.
        self._is_written = True
        self._used = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        # So `pause_writing` and `resume_writing` say if bytes wait. With 0, TLS of Python 3.11 and later pauses when
        # none wait.
        self._transport.set_write_buffer_limits(high=1)

    def pause_writing(self) -> None:
        """Note that bytes wait."""
        self._is_written = False

    def resume_writing(self) -> None:
        """Note that all bytes were written."""
        self._is_written = True

    def data_received(self, data: bytes) -> None:
        """Read a part of the answer."""
        answer = self._answer
        if answer is None or answer.done():
            # Nobody asked: the connection is not used again.
            self.close()
            return
        reader = self._reader
        try:
            reader.feed(data)
        except MalformedResponse as why:
            answer.set_exception(why)
            return
        if reader.is_complete:
            answer.set_result(Reply(reader.status, reader.headers, reader.take()))

    def connection_lost(self, error: Optional[Exception]) -> None:
        """End the call that waits."""
        self._is_lost = True
        answer = self._answer
        if answer is None or answer.done():
            return
        if self._reader.end():
            answer.set_result(Reply(self._reader.status, self._reader.headers, self._reader.take()))
        else:
            answer.set_exception(error or ConnectionError("it closed the connection"))

    def close(self) -> None:
        """Close the connection."""
        self._is_lost = True
        if self._transport is not None:
            self._transport.abort()

    def is_usable(self) -> bool:
        """Return true unless the connection has ended, or will soon."""
        return not self._is_lost and time.monotonic() - self._used < IDLE_SECONDS

    @property
    def is_written(self) -> bool:
        """False if a part of the request certainly did not leave this process."""
        return self._is_written

    @property
    def keeps_alive(self) -> bool:
        """True if another request can follow the last answer."""
        return not self._is_lost and self._is_written and self._reader.is_complete and self._reader.keeps_alive

    async def exchange(self, request: bytes, seconds: float) -> Reply:
        """Send a request and return the answer.

        Raises:
            OSError, MalformedResponse, asyncio.TimeoutError: no complete answer came.
        """
        loop = asyncio.get_running_loop()
        assert self._transport is not None
        self._reader = ResponseReader()
        answer: asyncio.Future[Reply] = loop.create_future()
        self._answer = answer
        # A timer is cheaper than asyncio.wait_for.
        timer = loop.call_later(seconds, _give_up, answer)
        try:
            self._transport.write(request)
            return await answer
        finally:
            timer.cancel()
            self._answer = None
            self._used = time.monotonic()


def _give_up(answer: "asyncio.Future[Reply]") -> None:
    if not answer.done():
        answer.set_exception(asyncio.TimeoutError("the time limit passed"))


Protocol = TypeVar("Protocol", bound=asyncio.Protocol)


async def open_connection(protocol: Protocol, address: Address, session: Session, timeout: float) -> Protocol:
    """Connect a protocol to a node.

    Raises:
        ConnectionFailed: it cannot be connected; nothing was sent.
    """
    loop = asyncio.get_running_loop()
    try:
        if address.path is not None:
            await asyncio.wait_for(loop.create_unix_connection(lambda: protocol, address.path), timeout)
        else:
            tls = session.tls() if address.tls else None
            opening = loop.create_connection(lambda: protocol, address.host, address.port, ssl=tls)
            await asyncio.wait_for(opening, timeout)
    except (OSError, ValueError, asyncio.TimeoutError) as why:
        cause = str(why) or "the time limit passed"
        raise ConnectionFailed(f"cannot connect to {address}: {cause}", "no") from why
    return protocol


class LoopPool:
    """The connections of one event loop."""

    def __init__(self, nodes: int, most: int) -> None:
        self.process = os.getpid()
        self.idle: Dict[int, Deque[Connection]] = {at: deque() for at in range(nodes)}
        self._free = most
        self._waiting: Deque["asyncio.Future[None]"] = deque()

    async def enter(self) -> None:
        """Take a place, or wait for one."""
        if self._free > 0:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next one who waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self.idle.values():
            while idle:
                idle.pop().close()


class AsyncPool(Nodes):
    """The connections of an asynchronous client: each event loop has its own."""

    def __init__(self, addresses: List[Address], session: Session, *, timeout: float, retries: int, most: int) -> None:
        super().__init__(addresses, session, timeout=timeout, retries=retries)
        self._most = most
        self._pools: Dict[asyncio.AbstractEventLoop, LoopPool] = {}

    def _here(self) -> LoopPool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None or pool.process != os.getpid():
            # Closed loops, and those of the parent process, took their connections with them.
            pools = self._pools.items()
            self._pools = {old: one for old, one in pools if one.process == os.getpid() and not old.is_closed()}
            pool = self._pools[loop] = LoopPool(len(self.addresses), self._most)
        return pool

    def close(self) -> None:
        """Close the idle connections of this event loop. The pool can be used further."""
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is not None:
            pool.close()

    async def perform(self, call: Call[Result]) -> Result:
        """Perform a call, again if that cannot send anything twice."""
        attempts = self.attempts(call)
        pool = self._here()
        while True:
            try:
                await pool.enter()
                try:
                    result = await self._attempt(pool, call, attempts)
                finally:
                    pool.leave()
                self._first = attempts.node
                return result
            except ClientError as error:
                pause = self.after(attempts, error)
                if pause is None:
                    raise
            if pause:
                await asyncio.sleep(pause)

    async def _attempt(self, pool: LoopPool, call: Call[Result], attempts: Attempts) -> Result:
        attempts.begin()
        node = attempts.node
        address = self.addresses[node]
        request = self.request(call, node)
        connection = await self._connection(pool, node, attempts)
        keep = False
        try:
            reply = await connection.exchange(request, attempts.left())
            keep = connection.keeps_alive
        except (OSError, MalformedResponse, asyncio.TimeoutError) as why:
            if not connection.is_written:
                raise ConnectionFailed(f"{address} did not take the request: {why}", "no") from why
            raise ConnectionFailed(f"{address} did not answer: {why}", "maybe") from why
        finally:
            if keep:
                pool.idle[node].append(connection)
            else:
                connection.close()
        return call.result(reply)

    async def _connection(self, pool: LoopPool, node: int, attempts: Attempts) -> Connection:
        idle = pool.idle[node]
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        timeout = attempts.connect_limit(self.connect_timeout)
        return await open_connection(Connection(), self.addresses[node], self.session, timeout)

    async def connect(self, protocol: Type[Protocol]) -> Tuple[Protocol, Address]:
        """Return a connection that the pool does not keep, to the first node that can be reached."""
        attempts = self.attempts()
        while True:
            attempts.begin()
            address = self.addresses[attempts.node]
            timeout = attempts.connect_limit(self.connect_timeout)
            try:
                found = await open_connection(protocol(), address, self.session, timeout)
                self._first = attempts.node
                return found, address
            except ConnectionFailed as error:
                pause = self.after(attempts, error)
                if pause is None:
                    raise
            if pause:
                await asyncio.sleep(pause)
