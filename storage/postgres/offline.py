"""XEP-0160: messages kept for accounts that no resource took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from xmppd.storage.interfaces import NoSuchAccount, OfflineFull, OfflineMessage, OfflineStore
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.rows import deleted

# The row of the queue stays locked until COMMIT, so ids become visible in their order (docs/architecture.md, I4).
_APPEND: Final = (
    "WITH account AS (SELECT id FROM accounts WHERE id = $1 FOR KEY SHARE),"
    " queue AS (INSERT INTO offline_queues AS q (owner, newest, kept) SELECT id, 1, 1 FROM account"
    " ON CONFLICT (owner) DO UPDATE SET newest = q.newest + 1, kept = q.kept + 1"
    " WHERE $2::bigint = 0 OR q.kept < $2 RETURNING owner, newest)"
    " INSERT INTO offline_messages (owner, id, expires, stanza) SELECT owner, newest, $3, $4 FROM queue RETURNING id"
)
# Those that somebody else is removing are left to them.
_EXPIRED: Final = (
    "DELETE FROM offline_messages WHERE (owner, id) IN (SELECT owner, id FROM offline_messages WHERE expires <= $1"
    " ORDER BY owner, id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING owner"
)


class PostgresOffline(OfflineStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, owner: int, stanza: bytes, *, limit: int, expires: float | None = None) -> int:
        async def work(connection: Connection) -> int:
            id_ = await connection.fetchval(_APPEND, owner, limit, expires, stanza)
            if id_ is not None:
                return int(id_)
            if await connection.fetchval("SELECT 1 FROM accounts WHERE id = $1", owner) is None:
                raise NoSuchAccount(f"account {owner} was deleted")
            raise OfflineFull(f"{limit} messages are kept for account {owner}; more are not allowed")

        return await self._database.write(work, owners=[owner])

    async def load(self, owner: int, *, now: float, after: int = 0, limit: int = 100) -> list[OfflineMessage]:
        async def work(connection: Connection) -> list[OfflineMessage]:
            rows = await connection.fetch(
                "SELECT id, stanza FROM offline_messages"
                " WHERE owner = $1 AND id > $2 AND (expires IS NULL OR expires > $3) ORDER BY id LIMIT $4",
                owner,
                after,
                now,
                limit,
            )
            return [OfflineMessage(*row) for row in rows]

        return await self._database.read(work)

    async def discard(self, owner: int, ids: Iterable[int]) -> None:
        asked = list(ids)

        async def work(connection: Connection) -> None:
            gone = deleted(
                await connection.execute(
                    "DELETE FROM offline_messages WHERE owner = $1 AND id = ANY($2::bigint[])", owner, asked
                )
            )
            await _shorten(connection, {owner: gone})

        await self._database.write(work, owners=[owner])

    async def expire(self, *, now: float, limit: int = 1000) -> int:
        async def work(connection: Connection) -> int:
            gone = await connection.fetch(_EXPIRED, now, limit)
            await _shorten(connection, Counter(row[0] for row in gone))
            return len(gone)

        return await self._database.write(work)

    async def count(self, owner: int) -> int:
        async def work(connection: Connection) -> int:
            kept = await connection.fetchval("SELECT kept FROM offline_queues WHERE owner = $1", owner)
            return int(kept or 0)

        return await self._database.read(work)


async def _shorten(connection: Connection, gone: Mapping[int, int]) -> None:
    rows = [(owner, number) for owner, number in sorted(gone.items()) if number]
    if rows:
        await connection.executemany("UPDATE offline_queues SET kept = kept - $2 WHERE owner = $1", rows)
