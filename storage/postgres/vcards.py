"""XEP-0054 vCards."""

from __future__ import annotations

from xmppd.storage.interfaces import Vcard, VcardStore
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.rows import lock_account


class PostgresVcards(VcardStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: int) -> Vcard | None:
        async def work(connection: Connection) -> Row | None:
            return await connection.fetchrow("SELECT xml, photo_hash FROM vcards WHERE owner = $1", owner)

        row = await self._database.read(work)
        return None if row is None else Vcard(*row)

    async def photo_hash(self, owner: int) -> str | None:
        async def work(connection: Connection) -> str | None:
            found: str | None = await connection.fetchval(
                "SELECT photo_hash FROM vcards WHERE owner = $1", owner
            )
            return found

        return await self._database.read(work)

    async def put(self, owner: int, vcard: Vcard) -> None:
        async def work(connection: Connection) -> None:
            await lock_account(connection, owner)
            await connection.execute(
                "INSERT INTO vcards (owner, photo_hash, xml) VALUES ($1, $2, $3)"
                " ON CONFLICT (owner) DO UPDATE SET photo_hash = excluded.photo_hash, xml = excluded.xml",
                owner,
                vcard.photo_hash,
                vcard.xml,
            )

        await self._database.write(work, owners=[owner])
