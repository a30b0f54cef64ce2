"""Which schema a database has, and how it gets the one that this program needs."""

from __future__ import annotations

from typing import Final

import asyncpg

from xmppd.errors import UserError
from xmppd.storage.migrations import Migration, migrations
from xmppd.storage.migrations.plan import Plan, decide, meta_rows
from xmppd.storage.postgres.connection import Connection

# Every program that migrates a database takes this lock in it; the number is "xmppd" in ASCII.
LOCK: Final = 0x786D707064

_META: Final = "CREATE TABLE IF NOT EXISTS meta (name text PRIMARY KEY, value text NOT NULL)"
_SET_META: Final = (
    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
# Those of the schema that ours go to, without those of extensions.
_TABLES: Final = (
    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace"
    " AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid"
    " AND deptype = 'e')"
)


async def plan(connection: Connection, name: str, known: tuple[Migration, ...] | None = None) -> Plan:
    """What is to be done to the database ``name``; reads only. Raises as ``decide`` does.

    ``known``: the migrations of this program.
    """
    known = migrations("postgres") if known is None else known
    if await connection.fetchval("SELECT current_schema()") is None:
        raise UserError(
            f"the database {name} has no schema to put tables in: make one (CREATE SCHEMA public), or name one with "
            "?search_path=... in [storage] url"
        )
    tables = {str(row[0]) for row in await connection.fetch(_TABLES)}
    return decide(name, tables, await _meta(connection) if "meta" in tables else None, known)


async def migrate(
    connection: Connection, name: str, known: tuple[Migration, ...] | None = None, wait_seconds: float = 10.0
) -> Plan:
    """Bring the schema up to date in one transaction; what was done. Raises as ``plan`` does, and nothing changed.

    Another program that migrates is waited for, ``wait_seconds`` long. A migration may take as long as it needs.
    """
    before = await plan(connection, name, known)
    if not before.pending:
        return before
    await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    try:
        await connection.execute(
            "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', '0', true)",
            f"{round(wait_seconds * 1000)}ms",
        )
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        done = await plan(
            connection, name, known
        )  # again, behind the lock: another program may have been faster
        if done.pending:
            await connection.execute(_META)
        for migration in done.pending:
            await connection.execute(migration.sql)
            await connection.executemany(
                _SET_META, [(key, str(value)) for key, value in meta_rows(migration)]
            )
        await connection.execute("COMMIT")
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    return done


async def _meta(connection: Connection) -> dict[str, object] | None:
    try:
        rows = await connection.fetch("SELECT name, value FROM meta")
    except asyncpg.UndefinedColumnError:  # somebody else's table of that name
        return None
    return {row[0]: row[1] for row in rows}
