"""What becomes of all that an owner of the archive had, an account or a room, when it is deleted."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database
from xmppd.storage.tables import OWNED

_SWEPT: Final = 1_000  # owners looked up at a time
_ROWS: Final = 10_000  # of an archive, deleted in one transaction: it has to end in time

_DELETED: Final = "INSERT INTO deleted_owners VALUES ($1, extract(epoch FROM now()))"
# After an hour nothing is on its way any more that was meant for them.
_LATE: Final = (
    "SELECT id FROM deleted_owners WHERE at < extract(epoch FROM now() - interval '1 hour') LIMIT $1"
)
_ERASE: Final = (
    "DELETE FROM archive WHERE owner = $1"
    " AND id = ANY(ARRAY(SELECT id FROM archive WHERE owner = $1 ORDER BY id LIMIT $2))"
)


class Owners:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete(self, connection: Connection, owner: int) -> None:
        """Part of the transaction in which the owner goes: delete what it has but its archive, which may be large."""
        await _empty(connection, owner)
        await connection.execute(_DELETED, owner)

    async def erase(self, owner: int) -> None:
        """Behind that: delete its archive. What fails of it is ``sweep``'s to do."""
        with suppress(StorageUnavailable):
            await self._erase(owner)

    async def sweep(self) -> None:
        """Delete what came for owners behind their deletion, and what that could not do itself."""

        async def late(connection: Connection) -> list[Row]:
            return await connection.fetch(_LATE, _SWEPT)

        while owners := await self._database.read(late):
            for (owner,) in owners:
                await self._erase(owner)
                await self._database.write(partial(_forget, owner))

    async def _erase(self, owner: int) -> None:
        """As much at a time as ends in time."""

        async def work(connection: Connection) -> str:
            return await connection.execute(_ERASE, owner, _ROWS)

        while await self._database.write(work) == f"DELETE {_ROWS}":
            pass


async def _empty(connection: Connection, owner: int) -> None:
    for table in OWNED:
        if table != "archive":
            await connection.execute(f"DELETE FROM {table} WHERE owner = $1", owner)  # noqa: S608 - a name from a list


async def _forget(owner: int, connection: Connection) -> None:
    await _empty(connection, owner)
    await connection.execute("DELETE FROM deleted_owners WHERE id = $1", owner)
