"""The archive's partitions: made ahead, never missing, dropped when their time is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.postgres import fresh_database
from xmppd.storage.archive import NewMessage, NewRow, Query
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores
from xmppd.storage.postgres.partitions import month

NOW = int(time.time() * 1e6)
LIST = (
    "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
    " WHERE inhparent = 'archive'::regclass ORDER BY 2"
)


@pytest_asyncio.fixture
async def url() -> str:
    return await fresh_database()  # and nobody gets it after these tests


@pytest_asyncio.fixture
async def stores(url: str) -> AsyncIterator[Stores]:
    stores = await open_stores(url, Path("/"))
    yield stores
    await stores.close()


@pytest_asyncio.fixture
async def connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def bounds(connection: asyncpg.Connection) -> dict[str, str]:
    rows = await connection.fetch(LIST)
    return {name: text.removeprefix("FOR VALUES FROM ").replace("'", "") for name, text in rows}


def name(start: int) -> str:
    return time.strftime("archive_%Y_%m", time.gmtime(start / 1e6))


async def put(connection: asyncpg.Connection, owner: int, *ids: int) -> None:
    await connection.executemany(
        "INSERT INTO archive (owner, id, peer, kind, stanza) VALUES ($1, $2, 0, 0, '\\x00')",
        [(owner, id) for id in ids],
    )


async def ids(stores: Stores, owner: int) -> list[int]:
    return [row.id for row in await stores.archive.read(owner, Query(), limit=100)]


async def stay_behind(connection: asyncpg.Connection) -> None:
    """As if no program had seen to the partitions for three months."""
    for each in await bounds(connection):
        await connection.execute(f"DROP TABLE {each}")
    months = [month(NOW, later) for later in (-6, -5, -4, -3)]
    places = ["MINVALUE", *map(str, months), "MAXVALUE"]
    for number, each in enumerate(["archive_past", *map(name, months[:-1]), "archive_rest"]):
        await connection.execute(
            f"CREATE TABLE {each} PARTITION OF archive FOR VALUES FROM ({places[number]}) TO ({places[number + 1]})"
        )


def test_months() -> None:
    assert month(1_793_538_000_000_000) == 1_793_491_200_000_000  # 2026-11-01
    assert month(1_793_491_200_000_000) == 1_793_491_200_000_000
    assert month(1_793_538_000_000_000, 1) == 1_796_083_200_000_000  # 2026-12-01
    assert month(1_793_538_000_000_000, 2) == 1_798_761_600_000_000  # 2027-01-01
    assert month(1_798_761_600_000_000, -1) == 1_796_083_200_000_000


async def test_this_month_and_the_next_have_theirs(stores: Stores, connection: asyncpg.Connection) -> None:
    this, following, behind = (month(NOW, later) for later in (0, 1, 2))
    expected = {
        "archive_past": f"(MINVALUE) TO ({this})",
        name(this): f"({this}) TO ({following})",
        name(following): f"({following}) TO ({behind})",
        "archive_rest": f"({behind}) TO (MAXVALUE)",
    }
    assert await bounds(connection) == expected
    await stores.maintain()
    assert await bounds(connection) == expected


async def test_rows_of_any_time_are_taken(stores: Stores, owner: int, connection: asyncpg.Connection) -> None:
    wanted = [1, month(NOW, -30), month(NOW) - 1, NOW, month(NOW, 1), month(NOW, 40), 2**63 - 2]
    await put(connection, owner, *wanted)
    assert await ids(stores, owner) == wanted
    assert await stores.archive.newest([owner]) == {owner: 2**63 - 2}


async def test_months_without_maintenance_lose_nothing(
    stores: Stores, owner: int, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await stay_behind(connection)
    wanted = [5, month(NOW, -6), month(NOW, -4) + 5, month(NOW, -2), NOW - 60_000_000]
    await put(connection, owner, *wanted)
    (placed,) = await stores.archive.append([NewMessage(b"x", [NewRow(owner, 4)])])
    assert placed.places[0].prev == wanted[-1]
    with caplog.at_level(logging.WARNING):
        await asyncio.gather(stores.maintain(), stores.maintain())
    assert [record.message for record in caplog.records] == ["partitions of the archive were made late"]
    assert await ids(stores, owner) == [*wanted, placed.places[0].id]
    found = await bounds(connection)
    assert found[name(month(NOW))] == f"({month(NOW, -3)}) TO ({month(NOW, 1)})"
    assert found[name(month(NOW, 1))] == f"({month(NOW, 1)}) TO ({month(NOW, 2)})"
    assert found["archive_rest"] == f"({month(NOW, 2)}) TO (MAXVALUE)"
    (placed,) = await stores.archive.append([NewMessage(b"x", [NewRow(owner, 4)])])
    assert (await ids(stores, owner))[-2:] == [placed.places[0].prev, placed.places[0].id]


async def test_a_dump_that_keeps_the_table_keeps_nobody_from_writing(
    stores: Stores, owner: int, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await stay_behind(connection)
    async with connection.transaction():
        await connection.execute("LOCK TABLE archive IN ACCESS SHARE MODE")
        await stores.maintain()
        assert [record.message for record in caplog.records] == ["no partition was made ahead"]
        await stores.archive.append([NewMessage(b"x", [NewRow(owner, 4)])])
    await stores.maintain()
    assert name(month(NOW, 1)) in await bounds(connection)
    assert len(await ids(stores, owner)) == 1


async def test_what_is_too_old_is_dropped_by_the_month(
    stores: Stores, owner: int, connection: asyncpg.Connection
) -> None:
    await stay_behind(connection)
    old = [5, month(NOW, -6), month(NOW, -6) + 5, month(NOW, -5)]
    await put(connection, owner, *old, month(NOW, -4), month(NOW, -4) + 7, NOW)
    assert await stores.archive.expire(before=6) == 0  # the partition has younger ones, or could have
    assert await stores.archive.expire(before=month(NOW, -4) + 5) == 3
    assert await stores.archive.expire(before=month(NOW, -4) + 5) == 0
    assert await ids(stores, owner) == [month(NOW, -4), month(NOW, -4) + 7, NOW]
    found = await bounds(connection)
    assert found["archive_past"] == f"(MINVALUE) TO ({month(NOW, -4)})"
    assert name(month(NOW, -6)) not in found
    await put(connection, owner, 7, month(NOW, -5))  # copied from elsewhere
    assert len(await ids(stores, owner)) == 5


async def test_nothing_of_this_month_is_ever_dropped(
    stores: Stores, owner: int, connection: asyncpg.Connection
) -> None:
    await put(connection, owner, 5, NOW)
    assert await stores.archive.expire(before=2**62) == 1
    assert await ids(stores, owner) == [NOW]
    assert set(await bounds(connection)) == {
        "archive_past",
        name(month(NOW)),
        name(month(NOW, 1)),
        "archive_rest",
    }
