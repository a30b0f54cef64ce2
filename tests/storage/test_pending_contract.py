"""PendingStore: what a row asks for is not forgotten before it is done."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from tests.support.postgres import empty_database
from xmppd.storage.archive import Kind, NewMessage, NewRow, Query
from xmppd.storage.interfaces import Stores
from xmppd.storage.migrations import migrations
from xmppd.storage.open import open_stores, schema_versions
from xmppd.storage.postgres import schema as postgres
from xmppd.storage.sqlite import schema as sqlite

PEER = 4


async def add(stores: Stores, owner: int, kind: int) -> int:
    (placed,) = await stores.archive.append([NewMessage(b"<message/>", [NewRow(owner, PEER, kind)])])
    return placed.places[0].id


async def test_only_what_is_pending_is_listed_by_owner_and_id(stores: Stores, owner: int, other: int) -> None:
    assert await stores.pending.list() == []
    kinds = (Kind.PENDING, Kind.OWED, Kind.PENDING | Kind.OWED, Kind.PENDING | Kind.OWED | Kind.HIDDEN)
    rows = [(other, await add(stores, other, Kind.PENDING))]
    rows += [(owner, await add(stores, owner, kind)) for kind in kinds]
    del rows[2]
    rows.sort()
    assert await stores.pending.list() == rows
    assert await stores.pending.list(limit=2) == rows[:2]
    assert await stores.pending.list(after=rows[1], limit=2) == rows[2:4]
    assert await stores.pending.list(after=rows[-1]) == []


async def test_what_is_done_is_as_other_rows_are(stores: Stores, owner: int) -> None:
    ids = [await add(stores, owner, Kind.PENDING | Kind.OWED) for _ in range(2)]
    await stores.pending.done(owner, ids[0])
    await stores.pending.done(owner, ids[0])
    await stores.pending.done(owner, ids[1] + 1)
    assert await stores.pending.list() == [(owner, ids[1])]
    rows = await stores.archive.read(owner, Query(), limit=10)
    assert [row.kind for row in rows] == [Kind.OWED, Kind.OWED | Kind.PENDING]


async def test_what_is_erased_is_not_pending(stores: Stores, owner: int) -> None:
    ids = [await add(stores, owner, Kind.PENDING) for _ in range(2)]
    await stores.archive.erase(owner, before=ids[1])
    assert await stores.pending.list() == [(owner, ids[1])]


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_a_database_from_before_learns_it(engine: str, tmp_path: Path) -> None:
    """Schema version 2, with a message in it, becomes the newest one."""
    file = tmp_path / "xmppd.db"
    url = await empty_database() if engine == "postgres" else f"sqlite://{file}"
    insert = "INSERT INTO archive (owner, id, peer, kind, stanza) VALUES (7, 1, 4, 17, '\\000')"
    if engine == "postgres":
        connection = await asyncpg.connect(url)
        await postgres.migrate(connection, "x", migrations(engine)[:2])
        await connection.execute(insert)
        await connection.close()
    else:
        with closing(sqlite3.connect(file, isolation_level=None)) as sqlite_connection:
            sqlite.migrate(sqlite_connection, "x", migrations(engine)[:2])
            sqlite_connection.execute(insert.replace("'\\000'", "x'00'"))
    assert await schema_versions(url, tmp_path) == (2, len(migrations(engine)))
    stores = await open_stores(url, tmp_path)
    assert await stores.pending.list() == [(7, 1)]
    await stores.close()
