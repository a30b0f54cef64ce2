"""XEP-0191 block lists."""

from __future__ import annotations

from collections.abc import Iterable

from xmppd.jid import Jid
from xmppd.storage.interfaces import BlocklistFull, BlocklistStore
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.rows import lock_account
from xmppd.storage.rows import address


class PostgresBlocklists(BlocklistStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> frozenset[Jid]:
        async def work(connection: Connection) -> frozenset[Jid]:
            rows = await connection.fetch("SELECT jid FROM blocked WHERE owner = $1", owner)
            return frozenset(address(row[0]) for row in rows)

        return await self._database.read(work)

    async def add(self, owner: int, jids: Iterable[Jid], *, limit: int) -> frozenset[Jid]:
        asked = {str(jid): jid for jid in jids}

        async def work(connection: Connection) -> frozenset[Jid]:
            await lock_account(connection, owner)
            added = await connection.fetch(
                "INSERT INTO blocked SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING RETURNING jid",
                owner,
                list(asked),
            )
            if added and limit:
                held = await connection.fetchval("SELECT count(*) FROM blocked WHERE owner = $1", owner)
                if held > limit:
                    raise BlocklistFull(f"{held} addresses would be blocked; {limit} are allowed")
            return frozenset(asked[row[0]] for row in added)

        return await self._database.write(work, owners=[owner])

    async def remove(self, owner: int, jids: Iterable[Jid] | None) -> frozenset[Jid]:
        asked = None if jids is None else [str(jid) for jid in jids]

        async def work(connection: Connection) -> frozenset[Jid]:
            rows = await connection.fetch(
                "DELETE FROM blocked WHERE owner = $1 AND ($2::text[] IS NULL OR jid = ANY($2)) RETURNING jid",
                owner,
                asked,
            )
            return frozenset(address(row[0]) for row in rows)

        return await self._database.write(work, owners=[owner])
