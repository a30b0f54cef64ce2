"""Rows of the archive that something is left to be done for."""

from __future__ import annotations

from xmppd.storage.archive import PendingStore
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database


class PostgresPending(PendingStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, after: tuple[int, int] = (0, 0), limit: int = 1_000) -> list[tuple[int, int]]:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(
                "SELECT owner, id FROM archive WHERE kind & 16 = 16 AND (owner, id) > ($1, $2)"
                " ORDER BY owner, id LIMIT $3",
                *after,
                limit,
            )

        return [(owner, id) for owner, id in await self._database.read(work)]

    async def done(self, owner: int, id: int) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(
                "UPDATE archive SET kind = kind & ~16::smallint WHERE owner = $1 AND id = $2", owner, id
            )

        await self._database.write(work)
