"""Which schema a database has, and how it gets the one that this program needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from xmppd import __version__
from xmppd.errors import UserError
from xmppd.storage.migrations import Migration, migrations

META = """
CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``migrate`` would do: ``version`` is the schema's now (0: an empty database), ``pending`` comes in order."""

    version: int
    pending: tuple[Migration, ...]


def plan(connection: sqlite3.Connection, path: str, known: tuple[Migration, ...] | None = None) -> Plan:
    """What is to be done; reads only.

    ``UserError`` if the database is another program's, or was made by a newer one that this one is not compatible with.
    ``known``: the migrations of this program.
    """
    known = migrations("sqlite") if known is None else known
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return Plan(0, known)
    if "meta" not in tables:
        raise UserError(
            f"the database {path} belongs to another program (its tables: {', '.join(sorted(tables)[:5])}); "
            "name another file in [storage] url"
        )
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    version, compatible = int(meta["schema"]), int(meta["compatible"])
    if compatible > len(known):
        raise UserError(
            f"the database {path} has schema version {version}, written by xmppd {meta['program']}; it needs a program "
            f"that knows version {compatible} or newer, and this one, xmppd {__version__}, knows {len(known)}: "
            f"run xmppd {meta['program']} or newer, or bring back a backup from before the upgrade"
        )
    return Plan(version, known[version:])


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
                [
                    ("schema", migration.number),
                    ("compatible", migration.compatible),
                    ("program", __version__),
                ],
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
