"""The connections of one process: at most so many, made when they are needed, handed out in the order of asking.

Not asyncpg's own pool: that one resets a connection with a round trip each time, and leaves it to its user what to do
while the server is away. Everything here belongs to the event loop that made it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from xmppd.logs import fields
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.postgres.connection import Connection, Link, farewell
from xmppd.storage.postgres.errors import explain, is_passing

log = logging.getLogger("xmppd.storage")

_FIRST_PAUSE: Final = 0.05  # seconds between attempts to connect, doubled each time
_LONGEST_PAUSE: Final = 0.5
_STALE: Final = 60.0  # seconds: what was idle for longer a firewall may have forgotten, so it is asked first
_ANSWER: Final = 2.0  # seconds for that


class Pool:
    """``connect`` makes a connection; ``name`` is the database's, for people."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], name: str, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._name = name
        self._size = size
        self._open = 0  # connections, and attempts to make one
        self._idle: list[Link] = []  # the last one used is used first
        self._waiting: deque[asyncio.Future[Link | None]] = deque()  # None: make a connection
        self._trouble: StorageUnavailable | None = None  # why connecting does not succeed at present
        self._resting_until = 0.0  # meanwhile nobody tries

    async def acquire(self, deadline: float) -> Link:
        """A connection for the caller alone, who gives it to ``release`` or ``discard``.

        ``deadline``: loop time until which it is waited for. ``StorageUnavailable`` says why there is none.
        """
        while self._idle:
            link = self._idle.pop()
            if await self._is_alive(link):
                return link
            link.connection.terminate()
            self._open -= 1
        if self._open < self._size:
            self._open += 1
        else:
            try:
                given = await self._wait(deadline)
            except TimeoutError as error:
                raise self._busy() from error
            if given is not None:
                return given
        try:
            return await self._make(deadline)
        except BaseException:
            self._free_place()
            raise

    async def connect(self, deadline: float) -> Connection:
        """A connection outside of the pool, which belongs to the caller. Tries until ``deadline`` if that may help."""
        pause = _FIRST_PAUSE
        while (connection := await self._attempt(deadline, pause)) is None:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return connection

    def release(self, link: Link) -> None:
        """Take back a connection that has no open transaction."""
        if link.connection.is_closed():
            self._free_place()
            return
        link.used = True
        link.idle_since = self._loop.time()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(link)
                return
        self._idle.append(link)

    def discard(self, link: Link) -> None:
        """Close a connection whose state is not known."""
        link.connection.terminate()
        self._free_place()

    def forget_idle(self) -> None:
        """Close those that nobody uses: the next ones may come to another server, or find it changed."""
        while self._idle:
            self._idle.pop().connection.terminate()
            self._open -= 1

    def trouble(self) -> StorageUnavailable | None:
        """Why connecting does not succeed at present; an exception of its own for each caller."""
        return self._trouble and StorageUnavailable(str(self._trouble))

    async def close(self) -> None:
        """End every connection; none is in use any more."""
        links, self._idle = self._idle, []
        self._open -= len(links)
        await asyncio.gather(*(farewell(link.connection) for link in links))

    async def _make(self, deadline: float) -> Link:
        """A new connection for a caller who has a place for it, or one that others give back before there is one."""
        pause = _FIRST_PAUSE
        while (connection := await self._attempt(deadline, pause)) is None:
            try:
                given = await self._wait(self._loop.time() + pause)
            except TimeoutError:
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._free_place()  # the caller's, or the one that was given
                if given is not None:
                    return given
        return Link(connection)

    async def _attempt(self, deadline: float, pause: float) -> Connection | None:
        """Connect; None where another attempt after ``pause`` seconds is in time and may help.

        While it does not succeed, one attempt stands for all: a server that recovers has better things to do.
        """
        now = self._loop.time()
        trouble = self.trouble()
        if trouble is not None:
            if now < self._resting_until:
                if now + pause < deadline:
                    return None
                raise trouble
            self._resting_until = now + pause
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connect()
        except Exception as error:  # whatever it is, it is raised again, unless another attempt may help
            explained = self._failed(error)
            if is_passing(error) and self._loop.time() + pause < deadline:
                return None
            raise explained from error
        self._succeeded()
        return connection

    async def _wait(self, deadline: float) -> Link | None:
        """Whatever is free first: a connection, or a place for one (None). ``TimeoutError`` at ``deadline``."""
        if self._idle:
            return self._idle.pop()
        waiting: asyncio.Future[Link | None] = self._loop.create_future()
        self._waiting.append(waiting)
        timer = self._loop.call_at(deadline, _give_up, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                link = waiting.result()
                self._free_place() if link is None else self.release(link)
            raise
        finally:
            timer.cancel()

    def _busy(self) -> StorageUnavailable:
        return self.trouble() or StorageUnavailable(
            f"cannot use the database {self._name}: all {self._size} connections are in use; see what keeps the server "
            "busy (pg_stat_activity), or raise [storage] connections"
        )

    def _free_place(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._open -= 1

    async def _is_alive(self, link: Link) -> bool:
        if link.connection.is_closed() or self._loop.time() - link.idle_since < _STALE:
            return not link.connection.is_closed()
        try:
            async with asyncio.timeout(_ANSWER):
                await link.connection.execute("SELECT 1")
        except Exception:  # whatever it is: one that cannot answer this is of no use, and another is made
            return False
        except BaseException:
            self.discard(link)
            raise
        return True

    def _failed(self, error: Exception) -> Exception:
        explained = explain(error, self._name, "open")
        if explained is None:
            return error
        if isinstance(error, TimeoutError) and (trouble := self.trouble()) is not None:
            return trouble  # it says more than that the time was up in the end
        if self._trouble is None:
            log.warning("no connection to the database", extra=fields(reason=explained))
        self._trouble = explained
        return explained

    def _succeeded(self) -> None:
        if self._trouble is not None:
            log.info("connected to the database again", extra=fields(database=self._name))
        self._trouble = None


def _give_up(waiting: asyncio.Future[Link | None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())
