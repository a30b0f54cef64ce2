"""Remembers what is settled in each mailbox: written behind, for many accounts at once (DESIGN 6).

A node that dies takes with it what was settled last. Clients get that again, under the same stanza-id.
"""

from __future__ import annotations

import logging
from typing import Final

from xmppd.clock import Clock, Timer
from xmppd.im.mailbox import Mailbox
from xmppd.storage.archive import CursorStore
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

_BEHIND: Final = 15.0  # seconds
_AT_ONCE: Final = 1_000  # cursors in one transaction
_DAY: Final = 86_400.0
_MOST_COUNTED: Final = 100_000


class Cursors:
    """Loads and saves mailboxes."""

    def __init__(self, store: CursorStore, clock: Clock, tasks: Tasks, *, days: float, limit: int) -> None:
        """What is older than ``days`` (0: no bound) is owed to nobody. Rows that wait are counted up to ``limit``."""
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._seconds = days * _DAY
        self._limit = limit
        self._unsaved: dict[int, Mailbox] = {}
        self._saving: dict[int, list[Mailbox]] = {}  # each as often as it is being saved
        self._timer: Timer | None = None

    def oldest(self) -> int:
        """Rows below this id are owed to nobody any more."""
        return int((self._clock.now() - self._seconds) * 1e6) if self._seconds else 0

    async def load(self, owner: int) -> Mailbox:
        """The mailbox of ``owner``; the one that is not saved yet, where there is one."""
        mailbox = self._unsaved_one(owner)
        if mailbox is None:
            found = await self._store.load(owner, since=self.oldest(), limit=self._limit)
            mailbox = self._unsaved_one(owner)
            if mailbox is None:
                mailbox = Mailbox(owner, found, self._changed)
                mailbox.counted = self._clock.monotonic()
        if mailbox.unsure:
            await self.recount(mailbox)
        return mailbox

    def _unsaved_one(self, owner: int) -> Mailbox | None:
        saving = self._saving.get(owner)
        return saving[0] if saving else self._unsaved.get(owner)

    async def recount(self, mailbox: Mailbox) -> None:
        """Find out how many rows wait in ``mailbox``."""
        await self._save({mailbox.owner: mailbox})
        found = await self._store.load(mailbox.owner, since=self.oldest(), limit=self._limit)
        mailbox.waiting = found.count
        mailbox.unsure = False  # only now: others who ask meanwhile have to wait for the number too
        mailbox.counted = self._clock.monotonic()

    async def weigh(self, mailbox: Mailbox) -> None:
        """Find out how many bytes wait in ``mailbox``."""
        await self._save({mailbox.owner: mailbox})
        most = self._limit or _MOST_COUNTED
        mailbox.bytes = await self._store.weigh(mailbox.owner, since=self.oldest(), limit=most)
        mailbox.weighed = self._clock.monotonic()

    async def count(self, owner: int) -> int:
        """How many rows wait for ``owner``, as far as somebody wants to know."""
        mailbox = self._unsaved_one(owner)
        if mailbox is not None:
            await self._save({owner: mailbox})
        return (await self._store.load(owner, since=self.oldest(), limit=_MOST_COUNTED)).count

    async def refresh(self, mailbox: Mailbox) -> None:
        """Take over what other nodes have settled in ``mailbox``."""
        found = await self._store.load(mailbox.owner, since=0, limit=0)
        mailbox.merge(found.cursor)

    def save_now(self, mailbox: Mailbox) -> None:
        """Save ``mailbox`` without waiting for others: its account may come back on another node."""
        if mailbox.dirty:
            self._tasks.start(f"save the cursor of {mailbox.owner}", self._try_to_save(mailbox))

    async def _try_to_save(self, mailbox: Mailbox) -> None:
        try:
            await self._save({mailbox.owner: mailbox})
        except StorageUnavailable as err:
            log.error("a cursor is not saved yet: %s", err)
        if not self._unsaved:
            self.close()

    def _changed(self, mailbox: Mailbox) -> None:
        self._unsaved[mailbox.owner] = mailbox
        if self._timer is None:
            self._timer = self._clock.call_later(_BEHIND, self._due)

    def _due(self) -> None:
        self._timer = None
        self._tasks.start("save cursors", self.flush())

    async def flush(self) -> None:
        """Save what there is by now; what cannot be saved is tried again later, as is what changes meanwhile."""
        owners = list(self._unsaved)
        for start in range(0, len(owners), _AT_ONCE):
            unsaved = self._unsaved
            some = {owner: unsaved[owner] for owner in owners[start : start + _AT_ONCE] if owner in unsaved}
            try:
                await self._save(some)
            except StorageUnavailable as err:
                log.error("%d cursors are not saved yet: %s", len(self._unsaved), err)
                return

    async def _save(self, mailboxes: dict[int, Mailbox]) -> None:
        for owner, mailbox in mailboxes.items():
            self._unsaved.pop(owner, None)
            mailbox.dirty = False
            self._saving.setdefault(owner, []).append(mailbox)
        try:
            await self._store.save({owner: mailbox.cursor() for owner, mailbox in mailboxes.items()})
        except BaseException:
            for mailbox in mailboxes.values():
                mailbox.dirty = True
                self._changed(mailbox)
            raise
        finally:
            for owner in mailboxes:
                self._saving[owner].pop()
                if not self._saving[owner]:
                    del self._saving[owner]

    def close(self) -> None:
        """Wait for nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
