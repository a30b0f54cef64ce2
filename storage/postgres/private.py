"""XEP-0049 private XML."""

from __future__ import annotations

from collections.abc import Iterable

from xmppd.storage.interfaces import PrivateFull, PrivateStore
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.rows import lock_account


class PostgresPrivate(PrivateStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: int, name: str, space: str) -> bytes | None:
        async def work(connection: Connection) -> bytes | None:
            element: bytes | None = await connection.fetchval(
                "SELECT element FROM private_xml WHERE owner = $1 AND space = $2 AND name = $3",
                owner,
                space,
                name,
            )
            return element

        return await self._database.read(work)

    async def put(self, owner: int, entries: Iterable[tuple[str, str, bytes]], *, limit: int = 0) -> None:
        rows = [(owner, space, name, element) for name, space, element in entries]

        async def work(connection: Connection) -> None:
            await lock_account(connection, owner)
            before = await _count(connection, owner)
            await connection.executemany(
                "INSERT INTO private_xml VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (owner, space, name) DO UPDATE SET element = excluded.element",
                rows,
            )
            held = await _count(connection, owner)
            if limit and held > max(limit, before):
                raise PrivateFull(f"{held} elements would be kept; {limit} are allowed")

        await self._database.write(work, owners=[owner])


async def _count(connection: Connection, owner: int) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM private_xml WHERE owner = $1", owner))
