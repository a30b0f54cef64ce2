"""History is kept for as long as the operator says, by server and by account, and then erased for good. What was only
kept to be delivered is forgotten once it is. What else a storage needs from time to time is done with it, and at the
same times what others do once an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from xmppd.clock import Clock, Timer
from xmppd.storage.interfaces import StorageUnavailable, Stores
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

EVERY: Final = 3_600.0  # seconds
_BATCH: Final = 1_000  # rows in one transaction: others wait for it
_OWNERS: Final = 1_000  # looked up at a time
_DAY: Final = 86_400.0


class Retention:
    """Erases what is too old, once an hour: everything, then that of accounts which keep less."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        tasks: Tasks,
        *,
        days: int,
        waiting_days: int,
    ) -> None:
        """The server keeps messages for ``days``, and those that wait to be delivered, and are no history, for
        ``waiting_days``; 0: for ever.
        """
        self._stores = stores
        self._clock = clock
        self._tasks = tasks
        self._days = days
        self._waiting_days = waiting_days
        self._also: list[Callable[[], Awaitable[None]]] = []
        self._timer: Timer | None = None
        self._working = False

    def also(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin ``work`` at the same times."""
        self._also.append(work)

    def start(self) -> None:
        """For the first time now: the server may have stood still for long."""
        self._timer = self._clock.call_later(EVERY, self.start)
        if not self._working:
            self._working = True
            self._tasks.start("erase old messages", self._erase())
        for work in self._also:
            self._tasks.start("hourly work", _try(work))

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _erase(self) -> None:
        archive = self._stores.archive
        try:
            await self._stores.maintain()
            waiting = self._before(self._waiting_days) if self._waiting_days else 0
            while await archive.forget(before=waiting, limit=_BATCH) == _BATCH:
                pass
            if self._days:
                while await archive.expire(before=self._before(self._days), limit=_BATCH):
                    pass
            after = 0
            while owners := await self._stores.preferences.with_days(after=after, limit=_OWNERS):
                for owner, days in owners:
                    before = self._before(days)
                    while await archive.erase(owner, before=before, limit=_BATCH) == _BATCH:
                        pass
                after = owners[-1][0]
        except StorageUnavailable as err:
            log.error("old messages are not erased: %s", err)
        finally:
            self._working = False

    def _before(self, days: int) -> int:
        """The first id that is not too old."""
        return int((self._clock.now() - days * _DAY) * 1e6)


async def _try(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except StorageUnavailable as err:
        log.error("what is done once an hour has to wait for the next one: %s", err)
