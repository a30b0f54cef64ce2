"""Random keys that every node shares and that survive restarts."""

from __future__ import annotations

import secrets

from xmppd.storage.interfaces import SecretStore
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database


class PostgresSecrets(SecretStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str, *, size: int = 32) -> bytes:
        async def read(connection: Connection) -> bytes | None:
            found: bytes | None = await connection.fetchval("SELECT value FROM secrets WHERE name = $1", name)
            return found

        async def make(connection: Connection) -> bytes:
            made = secrets.token_bytes(size)
            await connection.execute("INSERT INTO secrets VALUES ($1, $2) ON CONFLICT DO NOTHING", name, made)
            return await read(connection) or made

        value = await self._database.read(read)
        if value is None:
            value = await self._database.write(make)
        if len(value) != size:
            raise ValueError(
                f"the secret {name!r} was made with {len(value)} bytes; it cannot be had with {size}"
            )
        return value
