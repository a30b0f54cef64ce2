"""What of each owner's rows is settled."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from xmppd.storage.archive import Cursor, CursorStore, Kind, Waiting
from xmppd.storage.rows import array
from xmppd.storage.sqlite.archive import newest_id
from xmppd.storage.sqlite.database import Database


class SqliteCursors(CursorStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int, *, since: int, limit: int) -> Waiting:
        def work(connection: sqlite3.Connection) -> Waiting:
            cursor = _cursor(connection, owner)
            # Not "NOT IN": what is settled above may be no row of these.
            found = connection.execute(
                "SELECT id FROM archive WHERE owner = ? AND id > ? AND kind & ? ORDER BY id LIMIT ?",
                (owner, max(cursor.upto, since - 1), Kind.OWED, limit + len(cursor.above) if limit else 0),
            )
            count = sum(id not in cursor.above for (id,) in found)
            return Waiting(cursor, min(count, limit), newest_id(connection, owner))

        return await self._database.read(work)

    async def weigh(self, owner: int, *, since: int, limit: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            cursor = _cursor(connection, owner)
            (size,) = connection.execute(
                "SELECT coalesce(sum(size), 0) FROM (SELECT length(stanza) AS size FROM archive"
                " WHERE owner = ? AND id > ? AND kind & ? AND id NOT IN (SELECT value FROM json_each(?))"
                " ORDER BY id LIMIT ?)",
                (owner, max(cursor.upto, since - 1), Kind.OWED, array(cursor.above), limit),
            ).fetchone()
            return int(size)

        return await self._database.read(work)

    async def save(self, cursors: Mapping[int, Cursor]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            merged = [(owner, merge(cursor, _cursor(connection, owner))) for owner, cursor in cursors.items()]
            # Nothing is kept for an account that was deleted: nobody would ever delete it.
            connection.executemany(
                "INSERT OR REPLACE INTO archive_cursors SELECT id, ?, ? FROM accounts WHERE id = ?",
                [(cursor.upto, array(sorted(cursor.above)), owner) for owner, cursor in merged],
            )

        await self._database.write(work)


def merge(one: Cursor, other: Cursor) -> Cursor:
    """What is settled by either."""
    upto = max(one.upto, other.upto)
    return Cursor(upto, frozenset(id for id in one.above | other.above if id > upto))


def _cursor(connection: sqlite3.Connection, owner: int) -> Cursor:
    row = connection.execute("SELECT upto, above FROM archive_cursors WHERE owner = ?", (owner,)).fetchone()
    return Cursor() if row is None else Cursor(row[0], frozenset(json.loads(row[1])))
