"""Rows of the archive that something is left to be done for."""

from __future__ import annotations

import sqlite3

from xmppd.storage.archive import Kind, PendingStore
from xmppd.storage.sqlite.database import Database


class SqlitePending(PendingStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, after: tuple[int, int] = (0, 0), limit: int = 1_000) -> list[tuple[int, int]]:
        def work(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            return connection.execute(
                "SELECT owner, id FROM archive INDEXED BY archive_pending"
                " WHERE kind & 16 = 16 AND (owner, id) > (?, ?) ORDER BY owner, id LIMIT ?",
                (*after, limit),
            ).fetchall()

        return await self._database.read(work)

    async def done(self, owner: int, id: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE archive SET kind = kind & ~? WHERE owner = ? AND id = ?", (Kind.PENDING, owner, id)
            )

        await self._database.write(work)
