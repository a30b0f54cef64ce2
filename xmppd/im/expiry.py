"""Kept messages that nobody fetched in time are removed, so that they take no room."""

from __future__ import annotations

import logging
from typing import Final

from xmppd.clock import Clock, Timer
from xmppd.storage.interfaces import OfflineStore, StorageUnavailable
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

EVERY: Final = 3_600.0  # seconds; nobody gets an expired message meanwhile, it only takes room
_BATCH: Final = 500  # in one transaction: others wait for it


class Expiry:
    """Removes expired messages of all accounts once an hour."""

    def __init__(self, store: OfflineStore, clock: Clock, tasks: Tasks) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._timer: Timer | None = None

    def start(self) -> None:
        """For the first time now: the server may have stood still for long."""
        self._timer = self._clock.call_later(EVERY, self.start)
        self._tasks.start("remove expired messages", self._remove())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _remove(self) -> None:
        try:
            while await self._store.expire(now=self._clock.now(), limit=_BATCH) == _BATCH:
                pass
        except StorageUnavailable as err:
            log.error("expired messages are not removed: %s", err)
