"""XEP-0054 vCards."""

from __future__ import annotations

import sqlite3

from xmppd.storage.interfaces import Vcard, VcardStore
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.rows import require_account


class SqliteVcards(VcardStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: int) -> Vcard | None:
        def work(connection: sqlite3.Connection) -> Vcard | None:
            row = connection.execute(
                "SELECT xml, photo_hash FROM vcards WHERE owner = ?", (owner,)
            ).fetchone()
            return None if row is None else Vcard(*row)

        return await self._database.read(work)

    async def photo_hash(self, owner: int) -> str | None:
        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT photo_hash FROM vcards WHERE owner = ?", (owner,)).fetchone()
            return None if row is None else row[0]

        return await self._database.read(work)

    async def put(self, owner: int, vcard: Vcard) -> None:
        def work(connection: sqlite3.Connection) -> None:
            require_account(connection, owner)
            connection.execute(
                "INSERT OR REPLACE INTO vcards VALUES (?, ?, ?)", (owner, vcard.photo_hash, vcard.xml)
            )

        await self._database.write(work)
