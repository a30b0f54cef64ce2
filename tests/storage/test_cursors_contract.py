"""CursorStore: what each engine promises about what is settled."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.parts import ENGINES, add_account
from xmppd.jid import Jid
from xmppd.storage.archive import Cursor, Kind, NewMessage, NewRow, Waiting
from xmppd.storage.interfaces import Stores

cursors = st.builds(Cursor, st.integers(0, 20), st.frozensets(st.integers(0, 25), max_size=5))


async def fill(stores: Stores, owner: int, kinds: str) -> list[int]:
    """Rows that are owed (o), owed and hidden (h), or neither (-); their ids."""
    kind = {"o": Kind.OWED, "h": Kind.OWED | Kind.HIDDEN, "-": Kind.NONE}
    placed = await stores.archive.append(
        [NewMessage(b"x", (NewRow(owner, 4, kind[each]),)) for each in kinds]
    )
    return [each.places[0].id for each in placed]


async def test_at_the_beginning_everything_waits(stores: Stores, owner: int) -> None:
    assert await stores.cursors.load(owner, since=0, limit=10) == Waiting(Cursor(), 0, 0)
    ids = await fill(stores, owner, "o-ho-")
    assert await stores.cursors.load(owner, since=0, limit=10) == Waiting(Cursor(), 3, ids[4])


async def test_what_is_settled_does_not_wait(stores: Stores, owner: int, other: int) -> None:
    ids = await fill(stores, owner, "ooo-oo")
    others = await fill(stores, other, "ooo")
    cursor = Cursor(ids[0], frozenset({ids[2], ids[5]}))
    await stores.cursors.save({owner: cursor})
    assert await stores.cursors.load(owner, since=0, limit=10) == Waiting(cursor, 2, ids[5])
    assert await stores.cursors.load(other, since=0, limit=10) == Waiting(Cursor(), 3, others[2])


async def test_counting_ends_at_a_limit_and_begins_at_a_time(stores: Stores, owner: int) -> None:
    ids = await fill(stores, owner, "oooooo")
    cursor = Cursor(ids[0], frozenset({ids[1]}))
    await stores.cursors.save({owner: cursor})
    for limit, count in ((0, 0), (1, 1), (3, 3), (4, 4), (5, 4)):
        assert await stores.cursors.load(owner, since=0, limit=limit) == Waiting(cursor, count, ids[5])
    for since, count in ((ids[0], 4), (ids[2], 4), (ids[3], 3), (ids[5], 1), (ids[5] + 1, 0)):
        assert await stores.cursors.load(owner, since=since, limit=9) == Waiting(cursor, count, ids[5])


async def test_many_at_once(stores: Stores) -> None:
    owners = [await add_account(stores, f"user{number}@capulet.example") for number in range(30)]
    saved = {owner: Cursor(owner, frozenset({owner + 10})) for owner in reversed(owners)}
    await stores.cursors.save(saved)
    await stores.cursors.save({})
    for owner in owners:
        assert (await stores.cursors.load(owner, since=0, limit=0)).cursor == saved[owner]


async def test_savers_at_once_lose_nothing_of_one_another(stores: Stores, owner: int, other: int) -> None:
    await asyncio.gather(
        *(stores.cursors.save({owner: Cursor(1, frozenset({10 + n})), other: Cursor(n)}) for n in range(20)),
        *(stores.cursors.save({other: Cursor(n), owner: Cursor(1, frozenset({50 + n}))}) for n in range(20)),
    )
    expected = Cursor(1, frozenset([*range(10, 30), *range(50, 70)]))
    assert (await stores.cursors.load(owner, since=0, limit=0)).cursor == expected
    assert (await stores.cursors.load(other, since=0, limit=0)).cursor == Cursor(19)


async def test_a_deleted_account_leaves_none(stores: Stores, owner: int, other: int) -> None:
    await stores.cursors.save({owner: Cursor(3)})
    await stores.accounts.delete(Jid.parse("juliet@capulet.example"))
    assert (await stores.cursors.load(owner, since=0, limit=0)).cursor == Cursor()
    # What was written behind comes too late.
    await stores.cursors.save({owner: Cursor(4), other: Cursor(5)})
    assert (await stores.cursors.load(owner, since=0, limit=0)).cursor == Cursor()
    assert (await stores.cursors.load(other, since=0, limit=0)).cursor == Cursor(5)


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(saved=st.lists(cursors, min_size=1, max_size=4))
def test_what_anybody_settled_stays_settled(
    name: str, tmp_path_factory: pytest.TempPathFactory, saved: list[Cursor]
) -> None:
    async def main(directory: Path) -> Cursor:
        engine = ENGINES[name](directory)
        stores = await engine.open()
        owner = await add_account(stores, "juliet@capulet.example")
        for cursor in saved:
            await stores.cursors.save({owner: cursor})
        waiting = await stores.cursors.load(owner, since=0, limit=0)
        await stores.close()
        engine.give_back()
        return waiting.cursor

    merged = asyncio.run(main(tmp_path_factory.mktemp("merge")))

    def settled(cursor: Cursor) -> set[int]:
        return {id for id in range(30) if id <= cursor.upto or id in cursor.above}

    assert settled(merged) == set().union(*map(settled, saved))
    assert all(id > merged.upto for id in merged.above)


async def test_the_bytes_of_what_waits(stores: Stores, owner: int, other: int) -> None:
    assert await stores.cursors.weigh(owner, since=0, limit=9) == 0
    sizes = (1_000, 2_000, 4_000, 8_000, 16_000)  # of which nothing can be packed
    new = [
        NewMessage(random.randbytes(size), [NewRow(owner, 4, Kind.NONE if size == 8_000 else Kind.OWED)])
        for size in sizes
    ]
    ids = [placed.places[0].id for placed in await stores.archive.append(new)]
    await stores.archive.append([NewMessage(random.randbytes(999), [NewRow(other, 4, Kind.OWED)])])

    async def kilobytes(since: int = 0, limit: int = 9) -> int:
        return await stores.cursors.weigh(owner, since=since, limit=limit) // 1_000

    assert await kilobytes() == 23
    assert await kilobytes(limit=2) == 3
    assert await kilobytes(since=ids[1]) == 22
    await stores.cursors.save({owner: Cursor(ids[0], frozenset([ids[2]]))})
    assert await kilobytes() == 18
    await stores.cursors.save({owner: Cursor(ids[4])})
    assert await kilobytes() == 0
