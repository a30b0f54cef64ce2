"""PostgreSQL's schema: how it comes about, and what it has to be like."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.postgres import empty_database, fresh_database
from xmppd import __version__
from xmppd.errors import UserError
from xmppd.storage.migrations import Migration, migrations
from xmppd.storage.open import open_stores, plan_storage, schema_versions
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.schema import LOCK, migrate, plan
from xmppd.storage.tables import OWNED

BASE = Path("/")
ONE = Migration(1, "one", 1, "CREATE TABLE a (x int);\nCREATE TABLE b (x text);")
TWO = Migration(2, "two", 1, "ALTER TABLE a ADD COLUMN y int;\nINSERT INTO a VALUES (1, 2);")
BROKEN = Migration(2, "broken", 1, "CREATE TABLE c (x int);\nINSERT INTO nowhere VALUES (1);")
BREAKING = Migration(3, "three", 3, "DROP TABLE b;")


@pytest_asyncio.fixture
async def url() -> str:
    """A database without tables."""
    return await empty_database()


@pytest_asyncio.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def migrated() -> AsyncIterator[Connection]:
    """One with all of our tables."""
    connection: Connection = await asyncpg.connect(await fresh_database())
    yield connection
    await connection.close()


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row[0] for row in rows}


async def test_every_table_with_an_owner_is_emptied_with_its_account(migrated: Connection) -> None:
    """A new aggregate cannot be forgotten: its table has to be in TABLES, with the owner first in every unique index,
    by which the table can be distributed.
    """
    rows = await migrated.fetch(
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        " AND attname = 'owner'"
    )
    assert {row[0] for row in rows} == set(OWNED)
    assert len(OWNED) == len(set(OWNED))
    indexes = await migrated.fetch(
        "SELECT indrelid::regclass::text, attname FROM pg_index JOIN pg_attribute"
        " ON attrelid = indrelid AND attnum = indkey[0] WHERE indisunique AND indrelid::regclass::text = ANY($1)",
        list(OWNED),
    )
    assert {(row[0], row[1]) for row in indexes} == {(table, "owner") for table in OWNED}


async def test_there_are_no_foreign_keys(migrated: Connection) -> None:
    assert await migrated.fetch("SELECT 1 FROM pg_constraint WHERE contype = 'f'") == []


async def test_text_is_compared_by_code_points_in_every_key(migrated: Connection) -> None:
    """Whatever locale the database was made with."""
    rows = await migrated.fetch(
        "SELECT DISTINCT attrelid::regclass::text, attname FROM pg_index JOIN pg_attribute"
        " ON attrelid = indrelid AND attnum = ANY(indkey) JOIN pg_class ON pg_class.oid = indrelid"
        " WHERE relnamespace = 'public'::regnamespace AND atttypid = 'text'::regtype"
        " AND attcollation <> '\"C\"'::regcollation AND relname <> 'meta'"
    )
    assert rows == []


async def test_migrations_are_applied_in_order_and_once(connection: Connection) -> None:
    assert (await plan(connection, "x", (ONE, TWO))).pending == (ONE, TWO)
    assert await tables(connection) == set()  # planning changes nothing
    done = await migrate(connection, "x", (ONE, TWO))
    assert (done.version, done.pending) == (0, (ONE, TWO))
    again = await migrate(connection, "x", (ONE, TWO))
    assert (again.version, again.pending) == (2, ())
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM a")] == [(1, 2)]


async def test_an_older_database_gets_what_it_lacks(connection: Connection) -> None:
    await migrate(connection, "x", (ONE,))
    await connection.execute("INSERT INTO b VALUES ('kept')")
    done = await migrate(connection, "x", (ONE, TWO))
    assert (done.version, done.pending) == (1, (TWO,))
    assert await connection.fetchval("SELECT x FROM b") == "kept"


async def test_a_migration_that_fails_leaves_nothing_behind(connection: Connection) -> None:
    with pytest.raises(asyncpg.UndefinedTableError, match="nowhere"):
        await migrate(connection, "x", (ONE, BROKEN))
    assert await tables(connection) == set()
    await migrate(connection, "x", (ONE,))
    with pytest.raises(asyncpg.UndefinedTableError, match="nowhere"):
        await migrate(connection, "x", (ONE, BROKEN))
    assert await tables(connection) == {"a", "b", "meta"}
    assert (await plan(connection, "x", (ONE, TWO))).version == 1


async def test_many_that_start_at_once_apply_each_migration_once(url: str) -> None:
    for _ in range(5):
        connections = await asyncio.gather(*(asyncpg.connect(url) for _ in range(8)))
        plans = await asyncio.gather(*(migrate(each, "x", (ONE, TWO)) for each in connections))
        assert sorted(len(done.pending) for done in plans) == [0] * 7 + [2]
        assert await connections[0].fetchval("SELECT count(*) FROM a") == 1
        await connections[0].execute("DROP TABLE a, b, meta")
        await asyncio.gather(*(each.close() for each in connections))


_OPEN = """
import asyncio, sys
from pathlib import Path
from xmppd.storage.open import open_stores

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    await (await open_stores(sys.argv[1], Path("/"))).close()

asyncio.run(main())
"""


def test_two_processes_that_migrate_at_once() -> None:
    url = asyncio.run(empty_database())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, url],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    assert asyncio.run(schema_versions(url, BASE)) == (len(migrations("postgres")),) * 2


async def test_another_program_that_migrates_for_too_long(url: str, connection: Connection) -> None:
    await connection.execute("BEGIN")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    with pytest.raises(UserError, match=r"another program holds a lock.*55P03"):
        await open_stores(url, BASE, wait_seconds=0.3)
    await connection.execute("ROLLBACK")
    await (await open_stores(url, BASE)).close()


async def test_a_newer_compatible_database_is_used_as_it_is(connection: Connection) -> None:
    await migrate(connection, "x", (ONE, TWO))
    assert (await plan(connection, "x", (ONE,))).pending == ()
    await migrate(connection, "x", (ONE,))
    assert (await plan(connection, "x", (ONE, TWO))).version == 2


async def test_a_newer_database_that_is_not_compatible_is_refused(connection: Connection) -> None:
    await migrate(connection, "pg/x", (ONE, TWO, BREAKING))
    await connection.execute("UPDATE meta SET value = '9.8' WHERE name = 'program'")
    with pytest.raises(UserError) as caught:
        await migrate(connection, "pg/x", (ONE, TWO))
    for said in ("pg/x", "schema version 3", "xmppd 9.8", f"xmppd {__version__}, knows 2", "backup"):
        assert said in str(caught.value)


async def test_the_server_does_not_open_a_newer_database() -> None:
    url = await fresh_database()
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE meta SET value = 99 WHERE name IN ('schema', 'compatible')")
    with pytest.raises(UserError, match="schema version 99"):
        await open_stores(url, BASE)
    with pytest.raises(UserError, match="schema version 99"):
        await plan_storage(url, BASE)
    await connection.close()


@pytest.mark.parametrize(
    "table",
    ["prosody (host text)", "meta (id int)", "meta (name text, value text)", "meta (name int, value int)"],
)
async def test_the_database_of_another_program_is_left_as_it_is(
    url: str, connection: Connection, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table}")
    before = await tables(connection)
    with pytest.raises(UserError, match=rf"belongs to another program \(its tables: {table.split()[0]}\)"):
        await open_stores(url, BASE)
    assert await tables(connection) == before


async def test_a_schema_of_its_own_may_stand_beside_other_programs(url: str, connection: Connection) -> None:
    await connection.execute("CREATE TABLE prosody (host text); CREATE SCHEMA chat")
    await (await open_stores(f"{url}?search_path=chat", BASE)).close()
    assert await tables(connection) == {"prosody"}
    assert (await plan_storage(f"{url}?search_path=chat", BASE)).pending == ()


async def test_a_plan_can_be_had_without_changing_anything(url: str, connection: Connection) -> None:
    known = migrations("postgres")
    assert (await plan_storage(url, BASE)).pending == known
    assert await tables(connection) == set()
    stores = await open_stores(url, BASE)
    planned = await plan_storage(url, BASE)  # while the server runs, too
    assert (planned.version, planned.pending) == (len(known), ())
    await stores.close()
