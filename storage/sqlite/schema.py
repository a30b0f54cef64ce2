"""Which schema a database has, and how it gets the one that this program needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from xmppd.storage.migrations import Migration, migrations
from xmppd.storage.migrations.plan import Plan, decide, meta_rows

META = """
CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID
"""


def plan(connection: sqlite3.Connection, path: str, known: tuple[Migration, ...] | None = None) -> Plan:
    """What is to be done; reads only.

    ``UserError`` if the database is another program's, or was made by a newer one that this one is not compatible with.
    ``known``: the migrations of this program.
    """
    known = migrations("sqlite") if known is None else known
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    meta = dict(connection.execute("SELECT name, value FROM meta")) if "meta" in tables else None
    return decide(path, tables, meta, known)


def migrate(connection: sqlite3.Connection, path: str, known: tuple[Migration, ...] | None = None) -> Plan:
    """Bring the schema up to date in one transaction; what was done. Raises as ``plan`` does, and nothing changed."""
    before = plan(connection, path, known)
    if not before.pending:
        return before
    connection.execute("BEGIN EXCLUSIVE")
    try:
        done = plan(connection, path, known)  # again, behind the lock: another program may have been faster
        connection.execute(META)
        for migration in done.pending:
            for statement in statements(migration.sql):
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                meta_rows(migration),
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return done


def statements(sql: str) -> Iterator[str]:
    """The statements of ``sql`` one by one; ``executescript`` would commit before it begins."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError(f"SQL that ends in the middle of a statement: {statement!r}")
