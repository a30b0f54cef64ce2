"""The schema: how it comes about, and what it has to be like."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from xmppd import __version__
from xmppd.errors import UserError
from xmppd.storage.archive import Kind
from xmppd.storage.migrations import Migration, migrations
from xmppd.storage.open import plan_storage
from xmppd.storage.packing import Packing, own_dictionaries
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.schema import migrate, plan, statements
from xmppd.storage.tables import OWNED

ONE = Migration(1, "one", 1, "CREATE TABLE a (x);\nCREATE TABLE b (x);")
TWO = Migration(2, "two", 1, "ALTER TABLE a ADD COLUMN y;\nINSERT INTO a VALUES (1, 2);")
BROKEN = Migration(2, "broken", 1, "CREATE TABLE c (x);\nINSERT INTO nowhere VALUES (1);")
BREAKING = Migration(3, "three", 3, "DROP TABLE b;")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def test_every_table_with_an_owner_is_emptied_with_its_account(connection: sqlite3.Connection) -> None:
    """A new aggregate cannot be forgotten: its table has to be in TABLES, with the owner first in its primary key."""
    migrate(connection, "x")
    owned = set()
    for table in tables(connection):
        columns = {row[1]: row[5] for row in connection.execute(f"PRAGMA table_info({table})")}
        if "owner" in columns:
            owned.add(table)
            assert columns["owner"] == 1, f"owner must be first in the primary key of {table}"
    assert owned == set(OWNED)
    assert len(OWNED) == len(set(OWNED))


def test_there_are_no_foreign_keys(connection: sqlite3.Connection) -> None:
    migrate(connection, "x")
    for table in tables(connection):
        assert connection.execute(f"PRAGMA foreign_key_list({table})").fetchall() == []


def test_migrations_are_applied_in_order_and_once(connection: sqlite3.Connection) -> None:
    assert plan(connection, "x", (ONE, TWO)).pending == (ONE, TWO)
    assert tables(connection) == set()  # planning changes nothing
    done = migrate(connection, "x", (ONE, TWO))
    assert (done.version, done.pending) == (0, (ONE, TWO))
    again = migrate(connection, "x", (ONE, TWO))
    assert (again.version, again.pending) == (2, ())
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]


def test_an_older_database_gets_what_it_lacks(connection: sqlite3.Connection) -> None:
    migrate(connection, "x", (ONE,))
    connection.execute("INSERT INTO b VALUES ('kept')")
    done = migrate(connection, "x", (ONE, TWO))
    assert (done.version, done.pending) == (1, (TWO,))
    assert connection.execute("SELECT * FROM b").fetchall() == [("kept",)]


def test_a_migration_that_fails_leaves_nothing_behind(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, "x", (ONE, BROKEN))
    assert tables(connection) == set()
    migrate(connection, "x", (ONE,))
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, "x", (ONE, BROKEN))
    assert tables(connection) == {"a", "b", "meta"}
    assert plan(connection, "x", (ONE, TWO)).version == 1


def test_what_the_first_version_kept_for_later_is_owed_from_the_archive(
    connection: sqlite3.Connection,
) -> None:
    known = migrations("sqlite")
    migrate(connection, "x", known[:1])
    connection.executemany(
        "INSERT INTO offline_messages (owner, id, expires, stanza) VALUES (?, ?, ?, ?)",
        [
            (1, 7, None, b"<message id='1'/>"),
            (2, 1, None, b"<message id='3'/>"),
            (1, 8, 1.0, b"<message id='expired'/>"),
            (1, 9, 2e10, b"<message id='2'/>"),
        ],
    )
    migrate(connection, "x", known)
    found = connection.execute("SELECT owner, kind, stanza FROM archive ORDER BY owner, id").fetchall()
    owed = Kind.OWED | Kind.HIDDEN
    assert [(owner, kind, Packing(own_dictionaries()).unpack(stanza)) for owner, kind, stanza in found] == [
        (1, owed, b"<message id='1'/>"),
        (1, owed, b"<message id='2'/>"),
        (2, owed, b"<message id='3'/>"),
    ]
    assert not {name for name in tables(connection) if "offline" in name}


def test_two_programs_that_start_at_once_apply_each_migration_once(tmp_path: Path) -> None:
    first, second = (sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0) for _ in range(2))
    seen: list[str] = []

    def late(statement: str) -> None:
        """Migrate with the other connection at the moment when the first has planned and is about to begin."""
        if statement == "BEGIN EXCLUSIVE" and not seen:
            seen.append(statement)
            migrate(second, "x", (ONE, TWO))

    first.set_trace_callback(late)
    migrate(first, "x", (ONE, TWO))
    assert seen
    assert first.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    first.close()
    second.close()


def test_a_newer_compatible_database_is_used_as_it_is(connection: sqlite3.Connection) -> None:
    migrate(connection, "x", (ONE, TWO))
    assert plan(connection, "x", (ONE,)).pending == ()
    migrate(connection, "x", (ONE,))
    assert plan(connection, "x", (ONE, TWO)).version == 2


def test_a_newer_database_that_is_not_compatible_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, "/x.db", (ONE, TWO, BREAKING))
    connection.execute("UPDATE meta SET value = '9.8' WHERE name = 'program'")
    with pytest.raises(UserError) as caught:
        migrate(connection, "/x.db", (ONE, TWO))
    for said in ("/x.db", "schema version 3", "xmppd 9.8", f"xmppd {__version__}, knows 2", "backup"):
        assert said in str(caught.value)


async def test_the_server_does_not_open_a_newer_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await (await Database.open(path)).close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE meta SET value = 99 WHERE name IN ('schema', 'compatible')")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(UserError, match="schema version 99"):
        await Database.open(path)
    assert path.read_bytes() == content


async def test_a_plan_can_be_had_without_opening_the_storage(tmp_path: Path) -> None:
    known = migrations("sqlite")
    assert (await plan_storage("sqlite:x.db", tmp_path)).pending == known
    assert (await plan_storage("sqlite::memory:", tmp_path)).pending == known
    assert list(tmp_path.iterdir()) == []
    database = await Database.open(tmp_path / "x.db")
    assert (await plan_storage("sqlite:x.db", tmp_path)).pending == ()  # while the server runs, too
    await database.close()
    planned = await plan_storage("sqlite:x.db", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [
        "x.db"
    ]  # it leaves no -wal file to someone else's trouble
    assert (planned.version, planned.pending) == (len(known), ())
    (tmp_path / "y.db").write_bytes(b"x" * 10_000)
    with pytest.raises(UserError, match="no SQLite database"):
        await plan_storage("sqlite:y.db", tmp_path)


def test_statements_are_split_where_they_end() -> None:
    first = "-- a; b\nCREATE TABLE a (x DEFAULT ';');\n"
    second = "\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM a;\nEND;\n"
    assert list(statements(first + second)) == [first, second]
    with pytest.raises(ValueError, match="in the middle of a statement"):
        list(statements("CREATE TABLE a (x);\nCREATE TABLE b (\n"))
