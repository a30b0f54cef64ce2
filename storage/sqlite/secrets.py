"""Random keys that survive restarts."""

from __future__ import annotations

import secrets
import sqlite3

from xmppd.storage.interfaces import SecretStore
from xmppd.storage.sqlite.database import Database


class SqliteSecrets(SecretStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str, *, size: int = 32) -> bytes:
        def work(connection: sqlite3.Connection) -> bytes:
            row = connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return bytes(row[0])
            value = secrets.token_bytes(size)
            connection.execute("INSERT INTO secrets VALUES (?, ?)", (name, value))
            return value

        value = await self._database.write(work)
        if len(value) != size:
            raise ValueError(
                f"the secret {name!r} was made with {len(value)} bytes; it cannot be had with {size}"
            )
        return value
