"""ArchiveStore.forget: what was only kept to be delivered is not kept for longer."""

from __future__ import annotations

import pytest_asyncio

from xmppd.storage.archive import Cursor, Kind, NewMessage, NewRow, Query
from xmppd.storage.interfaces import Stores

HIDDEN = Kind.OWED | Kind.HIDDEN


@pytest_asyncio.fixture
async def ids(stores: Stores, owner: int, other: int) -> list[int]:
    """Four rows of ``owner``, all owed, the second and the last hidden; then a hidden one of ``other``."""
    rows = [(owner, Kind.OWED), (owner, HIDDEN), (owner, Kind.OWED), (owner, HIDDEN), (other, HIDDEN)]
    messages = [NewMessage(b"<message>secret</message>", [NewRow(who, 4, kind)]) for who, kind in rows]
    return [placed.places[0].id for placed in await stores.archive.append(messages)]


async def owed(stores: Stores, owner: int) -> list[int]:
    rows, _ = await stores.archive.owed(owner, after=0, limit=10)
    assert all(row.stanza == b"<message>secret</message>" for row in rows)
    return [row.id for row in rows]


async def test_nothing_that_is_owed_is_forgotten(
    stores: Stores, owner: int, other: int, ids: list[int]
) -> None:
    await stores.cursors.save({owner: Cursor(ids[0], frozenset([ids[3]]))})
    assert await stores.archive.forget(before=ids[0]) == 0
    assert await owed(stores, owner) == ids[:4]
    assert await owed(stores, other) == ids[4:]


async def test_what_is_settled_is_forgotten_if_it_is_no_history(
    stores: Stores, owner: int, other: int, ids: list[int]
) -> None:
    await stores.cursors.save({owner: Cursor(ids[1])})
    assert await stores.archive.forget(before=0) == 1
    assert await owed(stores, owner) == [ids[0], ids[2], ids[3]]
    assert await owed(stores, other) == ids[4:]
    assert [row.id for row in await stores.archive.read(owner, Query(), limit=10)] == [ids[0], ids[2]]
    assert await stores.archive.forget(before=0) == 0


async def test_what_waited_for_too_long_is_forgotten_too(
    stores: Stores, owner: int, other: int, ids: list[int]
) -> None:
    assert await stores.archive.forget(before=max(ids) + 1) == 3
    assert await owed(stores, owner) == [ids[0], ids[2]]
    assert await owed(stores, other) == []


async def test_a_portion_at_a_time(stores: Stores, ids: list[int]) -> None:
    portions = [await stores.archive.forget(before=max(ids) + 1, limit=2) for _ in range(3)]
    assert portions == [2, 1, 0]


async def test_its_id_is_not_used_again(stores: Stores, owner: int, ids: list[int]) -> None:
    await stores.cursors.save({owner: Cursor(ids[3])})
    await stores.archive.forget(before=0)
    assert (await stores.archive.newest([owner]))[owner] == ids[3]
    (placed,) = await stores.archive.append([NewMessage(b"", [NewRow(owner, 4)])])
    assert placed.places[0].prev == ids[3] < placed.places[0].id
