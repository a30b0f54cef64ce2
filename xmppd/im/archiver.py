"""The ARCHIVE step of a message's way (DESIGN 3): adaptive group commit.

While one batch is being committed, whatever arrives is the next one: no timer, no fixed size. What only has to stay
behind other messages of its sender rides in the batch without rows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from xmppd.routing.ticket import Ticket
from xmppd.storage.archive import MOST_ROWS, ArchiveStore, NewMessage, Placed
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

Committed = Callable[[Placed], Exception | None]

_NOWHERE: Final = Placed(())


class Archiver:
    """Puts messages into the archive; the one who calls ``ArchiveStore.append``."""

    def __init__(self, store: ArchiveStore, tasks: Tasks, *, limit: int) -> None:
        """At most ``limit`` messages wait (0: any number); who comes then is told to try again later."""
        self._store = store
        self._tasks = tasks
        self._limit = limit
        self._waiting: deque[tuple[NewMessage | None, Committed, Ticket]] = deque()
        self._working = False
        self._committing = False
        self._listening: list[asyncio.Future[None]] = []
        self.failures = 0

    def add(self, message: NewMessage | None, committed: Committed) -> Ticket:
        """Store ``message`` and call ``committed`` with its places once they are durable, then settle the ticket with
        what that returned; all of it in the order in which messages were added. None: there is nothing to store, only
        the order to keep.

        ``StorageUnavailable`` when too much waits already.
        """
        if message is not None and 0 < self._limit <= len(self._waiting):
            raise StorageUnavailable(
                f"{len(self._waiting)} messages wait for the storage: it is too slow, or away"
            )
        ticket = Ticket()
        self._waiting.append((message, committed, ticket))
        if not self._working:
            self._working = True
            self._tasks.start("archive", self._work())
        return ticket

    async def heard(self) -> None:
        """Wait until all that may be in the archive by now has been told of: what is being committed can be read there
        before its ``committed`` was called.
        """
        if self._committing:
            told = asyncio.get_running_loop().create_future()
            self._listening.append(told)
            await told

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._batch()
        finally:
            self._working = False

    async def _batch(self) -> None:
        waiting = self._waiting
        batch: list[tuple[NewMessage | None, Committed, Ticket]] = []
        messages: list[NewMessage] = []
        rows = 0
        while waiting:
            message = waiting[0][0]
            if message is not None:
                rows += len(message.rows)
                if rows > MOST_ROWS:
                    break
                messages.append(message)
            batch.append(waiting.popleft())
        self._committing = True
        try:
            await self._commit(batch, messages)
        finally:
            self._committing = False
            listening, self._listening = self._listening, []
            for told in listening:
                if not told.done():
                    told.set_result(None)

    async def _commit(
        self, batch: list[tuple[NewMessage | None, Committed, Ticket]], messages: list[NewMessage]
    ) -> None:
        try:
            places = iter(await self._store.append(messages) if messages else ())
        except Exception as err:
            if isinstance(err, StorageUnavailable):
                log.error("%d messages were not stored: %s", len(messages), err)
            else:
                self.failures += 1
                log.exception("%d messages were not stored", len(messages))
            for message, committed, ticket in batch:
                self._settle(ticket, err if message is not None else self._tell(committed, _NOWHERE))
            return
        for message, committed, ticket in batch:
            self._settle(ticket, self._tell(committed, _NOWHERE if message is None else next(places)))

    def _tell(self, committed: Committed, placed: Placed) -> Exception | None:
        try:
            return committed(placed)
        except Exception:
            # It is durable, so its sender is told that it was taken; who did not get it now finds it in the archive.
            self.failures += 1
            log.exception("a stored message was not delivered")
            return None

    def _settle(self, ticket: Ticket, error: Exception | None) -> None:
        try:
            ticket.settle(error)
        except Exception:
            self.failures += 1
            log.exception("somebody failed on hearing what became of a message")
