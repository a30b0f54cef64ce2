"""What is settled is written behind, for many accounts at once: not all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.support.clock import ManualClock
from xmppd.im.cursors import Cursors
from xmppd.im.mailbox import Mailbox
from xmppd.storage.archive import Cursor, CursorStore, Waiting
from xmppd.tasks import Tasks

ACCOUNTS = 5


class Busy(CursorStore):
    """While something is saved, every account gets one more message."""

    def __init__(self) -> None:
        self.saved: list[Mapping[int, Cursor]] = []
        self.mailboxes: list[Mailbox] = []

    async def load(self, owner: int, *, since: int, limit: int) -> Waiting:
        return Waiting(Cursor(), 0, 0)

    async def weigh(self, owner: int, *, since: int, limit: int) -> int:
        return 0

    async def save(self, cursors: Mapping[int, Cursor]) -> None:
        await asyncio.sleep(0)
        self.saved.append(cursors)
        assert len(self.saved) < 100, "it never ends"
        for mailbox in self.mailboxes:
            mailbox.take(mailbox.seen + 1)


async def test_what_changes_while_others_are_saved_waits_for_the_next_time() -> None:
    clock, tasks, store = ManualClock(), Tasks(), Busy()
    cursors = Cursors(store, clock, tasks, days=0, limit=10)
    store.mailboxes = [await cursors.load(owner) for owner in range(ACCOUNTS)]
    for mailbox in store.mailboxes:
        mailbox.open = True
        mailbox.take(1)
    for round in (1, 2, 3):
        clock.advance(15.0)
        await asyncio.gather(*tasks.running)
        assert [len(saved) for saved in store.saved] == [ACCOUNTS] * round
    await cursors.flush()
    assert {owner: cursor.upto for owner, cursor in store.saved[-1].items()} == dict.fromkeys(
        range(ACCOUNTS), 4
    )
    cursors.close()


class Held(CursorStore):
    """Whoever saves waits until the test lets him go on."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def load(self, owner: int, *, since: int, limit: int) -> Waiting:
        return Waiting(Cursor(), 0, 0)

    async def weigh(self, owner: int, *, since: int, limit: int) -> int:
        return 0

    async def save(self, cursors: Mapping[int, Cursor]) -> None:
        self.waiting.append(asyncio.get_running_loop().create_future())
        await self.waiting[-1]


async def test_who_loads_a_mailbox_that_is_being_saved_gets_that_one() -> None:
    """What the storage has of it may be older than what its clients have. It is saved twice at once here."""
    clock, tasks, store = ManualClock(), Tasks(), Held()
    cursors = Cursors(store, clock, tasks, days=0, limit=10)
    mailbox = await cursors.load(1)
    mailbox.open = True
    mailbox.take(1)
    clock.advance(15.0)
    await asyncio.sleep(0)
    mailbox.take(2)
    cursors.save_now(mailbox)
    await asyncio.sleep(0)
    first, second = store.waiting
    first.set_result(None)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert await cursors.load(1) is mailbox
    second.set_result(None)
    await asyncio.gather(*tasks.running)
    assert await cursors.load(1) is not mailbox
    cursors.close()
