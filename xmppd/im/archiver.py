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

from xmppd.clock import Clock
from xmppd.routing.ticket import Ticket
from xmppd.storage.archive import MOST_ROWS, ArchiveStore, NewMessage, Placed
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

Committed = Callable[[Placed | None], Exception | None]

_Item = tuple[NewMessage | None, Committed, Ticket]

_QUIET: Final = 10.0  # seconds between two lines in the log about a storage that is away
_NOWHERE: Final = Placed(())
_BATCH_BYTES: Final = 1_048_576  # to compress that takes up to 15 ms, during which nobody else has a turn
_BEFORE: Final = 120.0  # seconds for which a batch may have been on its way before it failed
_MOST_DOUBTFUL: Final = 10_000  # messages


class Archiver:
    """Puts messages into the archive; the one who calls ``ArchiveStore.append``."""

    def __init__(
        self, store: ArchiveStore, tasks: Tasks, clock: Clock, *, limit: int, limit_bytes: int
    ) -> None:
        """At most ``limit`` messages wait, and ``limit_bytes`` of them (0: any number); who comes then is told to try
        again later.
        """
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0  # of messages that wait
        self._waiting: deque[_Item] = deque()
        self._working = False
        self._committing = False
        self._listening: list[asyncio.Future[None]] = []
        self._doubtful: dict[int, int] = {}  # by origin, the oldest first: from which id on it may be there
        self._unsaid = 0  # messages that were refused and that the log says nothing of yet
        self._quiet_until = 0.0
        self.failures = 0

    def add(self, message: NewMessage | None, committed: Committed) -> Ticket:
        """Store ``message`` and call ``committed`` with its places once they are durable, then settle the ticket with
        what that returned; all of it in the order in which messages were added. None: there is nothing to store, only
        the order to keep. Where it is not known whether ``message`` is stored, ``committed`` is called with None, and
        the ticket settled with the error.

        ``StorageUnavailable`` when too much waits already.
        """
        if message is not None:
            if 0 < self._limit <= len(self._waiting) or 0 < self._limit_bytes <= self._bytes:
                raise StorageUnavailable(
                    f"{len(self._waiting)} messages, {self._bytes} bytes, wait for the storage: it is too slow, or away"
                )
            self._bytes += len(message.stanza)
        ticket = Ticket()
        self._waiting.append((message, committed, ticket))
        if not self._working:
            self._working = True
            self._tasks.start("archive", self._work())
        return ticket

    def doubtful_since(self, origin: int) -> int:
        """Where it is not known whether a message with that ``origin`` was stored, since its batch failed: the id from
        which on it may be in the archive. 0: it is no such message.
        """
        return self._doubtful.get(origin, 0)

    def _doubt(self, origin: int) -> None:
        doubtful = self._doubtful
        doubtful.setdefault(origin, max(1, int((self._clock.now() - _BEFORE) * 1e6)))
        if len(doubtful) > _MOST_DOUBTFUL:
            del doubtful[next(iter(doubtful))]

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
        batch: list[_Item] = []
        messages: list[NewMessage] = []
        rows = size = 0
        while waiting:
            message = waiting[0][0]
            if message is not None:
                rows += len(message.rows)
                if rows > MOST_ROWS or size >= _BATCH_BYTES:
                    break
                size += len(message.stanza)
                messages.append(message)
            batch.append(waiting.popleft())
        self._bytes -= size
        self._committing = True
        try:
            await self._commit(batch, messages)
        finally:
            self._committing = False
            listening, self._listening = self._listening, []
            for told in listening:
                if not told.done():
                    told.set_result(None)

    async def _commit(self, batch: list[_Item], messages: list[NewMessage]) -> None:
        try:
            places = iter(await self._store.append(messages) if messages else ())
        except StorageUnavailable as err:
            for message, committed, _ in batch:
                if message is not None:
                    if message.origin:
                        self._doubt(message.origin)
                    self._tell(committed, None)
            # What waits behind would, if it were stored, be in front of what is sent again now (I5).
            batch += self._waiting
            self._waiting.clear()
            self._bytes = 0
            self._complain(sum(item[0] is not None for item in batch), err)
            self._refuse(batch, err)
            return
        except Exception as err:
            self.failures += 1
            log.exception("%d messages were not stored", len(messages))
            self._refuse(batch, err)
            return
        for message, committed, ticket in batch:
            self._settle(ticket, self._tell(committed, _NOWHERE if message is None else next(places)))

    def _complain(self, messages: int, error: StorageUnavailable) -> None:
        """Say it, but not for each batch: clients go on sending while the storage is away."""
        self._unsaid += messages
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            log.error("%d messages were not stored: %s", self._unsaid, error)
            self._unsaid = 0
            self._quiet_until = now + _QUIET

    def _refuse(self, batch: list[_Item], error: Exception) -> None:
        for message, committed, ticket in batch:
            self._settle(ticket, error if message is not None else self._tell(committed, _NOWHERE))

    def _tell(self, committed: Committed, placed: Placed | None) -> Exception | None:
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
