"""The archive on SQLite: whose clock it has, and what becomes of messages that an older program had kept."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.storage.parts import add_account
from xmppd.storage.archive import Kind, NewMessage, NewRow, Place, Placed, Query
from xmppd.storage.migrations import migrations
from xmppd.storage.open import open_stores
from xmppd.storage.sqlite import archive
from xmppd.storage.sqlite.schema import migrate


async def test_ids_are_of_the_clock_that_was_given_and_never_go_back(tmp_path: Path) -> None:
    now = 1_000.0
    stores = await open_stores("sqlite::memory:", tmp_path, clock=lambda: now)
    owner = await add_account(stores, "juliet@capulet.example")
    new = NewMessage(b"x", [NewRow(owner, 4)])
    assert await stores.archive.append([new, new]) == [
        Placed((Place(1_000_000_000, 0),)),
        Placed((Place(1_000_000_001, 1_000_000_000),)),
    ]
    now = 10.0  # somebody set the clock
    assert await stores.archive.append([new]) == [Placed((Place(1_000_000_002, 1_000_000_001),))]
    now = 2_000.5
    assert await stores.archive.append([new]) == [Placed((Place(2_000_500_000, 1_000_000_002),))]
    await stores.close()


async def test_expiry_a_few_rows_at_a_time(tmp_path: Path) -> None:
    now = 0.0
    stores = await open_stores("sqlite::memory:", tmp_path, clock=lambda: now)
    owners = [await add_account(stores, f"user{number}@capulet.example") for number in range(4)]
    for _ in range(3):
        now += 1
        for owner in owners[1:]:
            await stores.archive.append([NewMessage(b"x", [NewRow(owner, 4)])])
    before = 3_000_000
    assert [await stores.archive.expire(before=before, limit=4) for _ in range(3)] == [4, 2, 0]
    assert await stores.archive.newest(owners) == dict.fromkeys(owners[1:], 3_000_000)
    assert [await stores.archive.count(owner, Query()) for owner in owners] == [0, 1, 1, 1]
    assert await stores.archive.expire(before=before + 1) == 3
    assert await stores.archive.expire(before=before + 1) == 0
    assert await stores.archive.newest(owners) == dict.fromkeys(owners[1:], 3_000_000)
    await stores.close()


async def test_expiry_looks_at_a_few_owners_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has nothing that is old is passed by; who gets something old behind its back is found the next time."""
    monkeypatch.setattr(archive, "_OWNERS", 2)
    now = 1.0
    stores = await open_stores("sqlite::memory:", tmp_path, clock=lambda: now)
    owners = [await add_account(stores, f"user{number}@capulet.example") for number in range(7)]
    for owner in (owners[1], owners[5], owners[5], owners[6]):
        await stores.archive.append([NewMessage(b"old", [NewRow(owner, 4)])])
    now = 9.0
    for owner in owners:
        await stores.archive.append([NewMessage(b"new", [NewRow(owner, 4)])])
    before = 5_000_000
    assert [await stores.archive.expire(before=before, limit=1) for _ in range(5)] == [1, 1, 1, 1, 0]
    now = 10.0
    await stores.archive.append([NewMessage(b"newer", [NewRow(owners[0], 4)])])
    before = 9_500_000
    assert [await stores.archive.expire(before=before, limit=3) for _ in range(4)] == [2, 2, 2, 1]
    assert await stores.archive.expire(before=before, limit=3) == 0
    assert [row.stanza for row in await stores.archive.read(owners[0], Query(), limit=9)] == [b"newer"]
    await stores.close()


async def test_what_an_older_program_kept_is_owed(tmp_path: Path) -> None:
    stanza = "<message><body>\N{GRINNING FACE}\0</body></message>".encode() + b"\xff"
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        migrate(connection, "x", migrations("sqlite")[:1])
        connection.executemany(
            "INSERT INTO accounts VALUES (?, 'capulet.example', ?, 0, NULL, '')", [(1, "a"), (2, "b")]
        )
        connection.executemany(
            "INSERT INTO offline_messages VALUES (?, ?, ?, ?)",
            [(1, 7, None, stanza), (1, 3, 9e12, b"first"), (1, 8, 5.0, b"expired"), (2, 1, None, b"other")],
        )
        connection.execute("INSERT INTO offline_queues VALUES (1, 8, 3), (2, 1, 1)")
    stores = await open_stores("sqlite:x.db", tmp_path)
    rows, newest = await stores.archive.owed(1, after=0, limit=10)
    assert [row.stanza for row in rows] == [b"first", stanza]
    assert {row.kind for row in rows} == {Kind.OWED | Kind.HIDDEN}
    assert newest == rows[1].id
    assert abs(newest / 1e6 - time.time()) < 60
    assert await stores.archive.count(1, Query()) == 0
    assert [row.stanza for row in (await stores.archive.owed(2, after=0, limit=10))[0]] == [b"other"]
    waiting = await stores.cursors.load(1, since=0, limit=10)
    assert (waiting.cursor.upto, waiting.count) == (0, 2)
    await stores.close()
