"""XEP-0049 private XML."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from xmppd.storage.interfaces import PrivateFull, PrivateStore
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.rows import require_account


class SqlitePrivate(PrivateStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: int, name: str, space: str) -> bytes | None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT element FROM private_xml WHERE owner = ? AND space = ? AND name = ?",
                (owner, space, name),
            ).fetchone()
            return None if row is None else row[0]

        return await self._database.read(work)

    async def put(self, owner: int, entries: Iterable[tuple[str, str, bytes]], *, limit: int = 0) -> None:
        rows = [(owner, space, name, element) for name, space, element in entries]

        def work(connection: sqlite3.Connection) -> None:
            require_account(connection, owner)
            before = _count(connection, owner)
            connection.executemany("INSERT OR REPLACE INTO private_xml VALUES (?, ?, ?, ?)", rows)
            held = _count(connection, owner)
            if limit and held > max(limit, before):
                raise PrivateFull(f"{held} elements would be kept; {limit} are allowed")

        await self._database.write(work)


def _count(connection: sqlite3.Connection, owner: int) -> int:
    (count,) = connection.execute("SELECT count(*) FROM private_xml WHERE owner = ?", (owner,)).fetchone()
    return int(count)
