"""XEP-0191 block lists."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from xmppd.jid import Jid
from xmppd.storage.interfaces import BlocklistFull, BlocklistStore
from xmppd.storage.rows import address, array
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.rows import require_account


class SqliteBlocklists(BlocklistStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> frozenset[Jid]:
        def work(connection: sqlite3.Connection) -> frozenset[Jid]:
            rows = connection.execute("SELECT jid FROM blocked WHERE owner = ?", (owner,))
            return frozenset(address(text) for (text,) in rows)

        return await self._database.read(work)

    async def add(self, owner: int, jids: Iterable[Jid], *, limit: int) -> frozenset[Jid]:
        asked = {str(jid): jid for jid in jids}

        def work(connection: sqlite3.Connection) -> frozenset[Jid]:
            require_account(connection, owner)
            added = connection.execute(
                "INSERT INTO blocked SELECT ?, value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING RETURNING jid",
                (owner, array(asked)),
            ).fetchall()
            if added and limit:
                (held,) = connection.execute(
                    "SELECT count(*) FROM blocked WHERE owner = ?", (owner,)
                ).fetchone()
                if held > limit:
                    raise BlocklistFull(f"{held} addresses would be blocked; {limit} are allowed")
            return frozenset(asked[text] for (text,) in added)

        return await self._database.write(work)

    async def remove(self, owner: int, jids: Iterable[Jid] | None) -> frozenset[Jid]:
        asked = None if jids is None else array(map(str, jids))

        def work(connection: sqlite3.Connection) -> frozenset[Jid]:
            rows = connection.execute(
                "DELETE FROM blocked WHERE owner = ?1 AND (?2 IS NULL OR jid IN (SELECT value FROM json_each(?2)))"
                " RETURNING jid",
                (owner, asked),
            )
            return frozenset(address(text) for (text,) in rows)

        return await self._database.write(work)
