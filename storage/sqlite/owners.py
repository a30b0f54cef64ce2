"""What becomes of all that an owner of the archive had, an account or a room, when it is deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.sqlite.database import Database
from xmppd.storage.tables import OWNED

# Seconds after which nothing is on its way any more that was meant for an owner who is deleted.
_LATE: Final = 3_600.0
_SWEPT: Final = 1_000  # owners looked up at a time
_ROWS: Final = 1_000  # of an archive, deleted at a time: everybody's messages wait meanwhile

_ERASE: Final = "DELETE FROM archive WHERE rowid IN (SELECT rowid FROM archive WHERE owner = ? LIMIT ?)"


class Owners:
    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        """``clock``: seconds since the epoch; it is called on the writer's thread."""
        self._database = database
        self._clock = clock

    def delete(self, connection: sqlite3.Connection, owner: int) -> None:
        """Part of the transaction in which the owner goes: delete what it has but its archive, which may be large."""
        connection.execute("INSERT INTO deleted_owners VALUES (?, ?)", (owner, self._clock()))
        _empty(connection, owner)

    async def erase(self, owner: int) -> None:
        """Behind that: delete its archive. What fails of it is ``sweep``'s to do."""
        with suppress(StorageUnavailable):
            await self._erase(owner)

    async def sweep(self) -> None:
        """Delete what came for owners behind their deletion, and what that could not do itself."""

        def late(connection: sqlite3.Connection) -> list[tuple[int]]:
            return connection.execute(
                "SELECT id FROM deleted_owners WHERE at < ? LIMIT ?", (self._clock() - _LATE, _SWEPT)
            ).fetchall()

        while owners := await self._database.read(late):
            for (owner,) in owners:
                await self._erase(owner)
                await self._database.write(partial(_forget, owner))

    async def _erase(self, owner: int) -> None:
        """As much at a time as nobody waits for."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(_ERASE, (owner, _ROWS)).rowcount

        while await self._database.write(work) == _ROWS:
            pass


def _empty(connection: sqlite3.Connection, owner: int) -> None:
    for table in OWNED:
        if table != "archive":
            connection.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))  # noqa: S608 - a name from a list


def _forget(owner: int, connection: sqlite3.Connection) -> None:
    _empty(connection, owner)
    connection.execute("DELETE FROM deleted_owners WHERE id = ?", (owner,))
