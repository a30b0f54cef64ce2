"""XEP-0160: messages kept for accounts that no resource took."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable

from xmppd.storage.interfaces import OfflineFull, OfflineMessage, OfflineStore
from xmppd.storage.rows import array
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.rows import require_account


class SqliteOffline(OfflineStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, owner: int, stanza: bytes, *, limit: int, expires: float | None = None) -> int:
        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "INSERT INTO offline_queues SELECT id, 1, 1 FROM accounts WHERE id = ?1"
                " ON CONFLICT (owner) DO UPDATE SET newest = newest + 1, kept = kept + 1"
                " WHERE ?2 = 0 OR kept < ?2 RETURNING newest",
                (owner, limit),
            ).fetchone()
            if row is None:
                require_account(connection, owner)
                raise OfflineFull(f"{limit} messages are kept for account {owner}; more are not allowed")
            connection.execute(
                "INSERT INTO offline_messages (owner, id, expires, stanza) VALUES (?, ?, ?, ?)",
                (owner, row[0], expires, stanza),
            )
            return int(row[0])

        return await self._database.write(work)

    async def load(self, owner: int, *, now: float, after: int = 0, limit: int = 100) -> list[OfflineMessage]:
        def work(connection: sqlite3.Connection) -> list[OfflineMessage]:
            rows = connection.execute(
                "SELECT id, stanza FROM offline_messages"
                " WHERE owner = ? AND id > ? AND (expires IS NULL OR expires > ?) ORDER BY id LIMIT ?",
                (owner, after, now, limit),
            )
            return [OfflineMessage(*row) for row in rows]

        return await self._database.read(work)

    async def discard(self, owner: int, ids: Iterable[int]) -> None:
        asked = array(ids)

        def work(connection: sqlite3.Connection) -> None:
            gone = connection.execute(
                "DELETE FROM offline_messages WHERE owner = ? AND id IN (SELECT value FROM json_each(?))",
                (owner, asked),
            ).rowcount
            _shorten(connection, {owner: gone})

        await self._database.write(work)

    async def expire(self, *, now: float, limit: int = 1000) -> int:
        def work(connection: sqlite3.Connection) -> int:
            gone = connection.execute(
                "DELETE FROM offline_messages WHERE (owner, id) IN"
                " (SELECT owner, id FROM offline_messages WHERE expires <= ? LIMIT ?) RETURNING owner",
                (now, limit),
            ).fetchall()
            _shorten(connection, Counter(owner for (owner,) in gone))
            return len(gone)

        return await self._database.write(work)

    async def count(self, owner: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT kept FROM offline_queues WHERE owner = ?", (owner,)).fetchone()
            return 0 if row is None else int(row[0])

        return await self._database.read(work)


def _shorten(connection: sqlite3.Connection, gone: dict[int, int]) -> None:
    connection.executemany(
        "UPDATE offline_queues SET kept = kept - ? WHERE owner = ?",
        [(number, owner) for owner, number in gone.items() if number],
    )
