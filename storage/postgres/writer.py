"""Appends batches over a connection of its own, each exactly once (I2).

A batch is one statement, and a transaction by itself: it records its number under the connection's name (the table
``writers``). Where the connection is lost before the answer, the server is asked on another one. The number is there:
then the places are read back. Or it is not: then that name is given up in the same moment, so that the statement, if it
is still on its way, is refused, and the batch is sent again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import asyncpg

from xmppd.storage.archive import MOST_ROWS, NewMessage, Place, Placed
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.packing import Packing
from xmppd.storage.postgres.batch import Batch
from xmppd.storage.postgres.connection import Connection, Link, Row, farewell
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.errors import closed, is_conflict, is_lost, unknown_outcome
from xmppd.storage.postgres.partitions import Partitions

_APPEND: Final = "SELECT newest, moment, earlier FROM archive_append($1, $2, 0, $3, $4, $5, $6, $7)"
# Waits for a transaction of that writer which is still under way: afterwards it is there, or it never will be.
_GIVE_UP: Final = (
    "INSERT INTO writers AS w (writer, number) VALUES ($1, -1) ON CONFLICT (writer) DO UPDATE"
    " SET number = CASE WHEN w.number >= $2 THEN w.number ELSE -1 END"
    " RETURNING number >= $2, transaction::text, (extract(epoch FROM at) * 1000000)::bigint"
)
_PREV: Final = (
    "coalesce((SELECT b.id FROM archive AS b WHERE b.owner = a.owner AND b.id < a.id ORDER BY b.id DESC LIMIT 1),"
    " (SELECT f.id FROM archive_floors AS f WHERE f.owner = a.owner AND f.id < a.id), 0)"
)
# What was written by one transaction; the number that a row shows comes around, so the time is asked for too.
_WRITTEN: Final = (
    f"SELECT a.owner, a.id, {_PREV} FROM archive AS a"  # noqa: S608 - a constant
    " WHERE a.owner = ANY($1::bigint[]) AND a.id >= $2 AND a.xmin = $3::text::xid8::xid ORDER BY a.owner, a.id"
)
_PLACE: Final = f"SELECT a.id, {_PREV} FROM archive AS a WHERE a.owner = $1 AND a.id = $2"  # noqa: S608 - a constant
_FIRST: Final = (
    f"SELECT a.id, {_PREV} FROM archive AS a"  # noqa: S608 - a constant
    " WHERE a.owner = $1 AND a.origin = $2 AND a.id >= $3 ORDER BY a.id DESC LIMIT 1"
)
_NOWHERE: Final = Place(0, 0)
_STALE: Final = (
    60.0  # seconds: a connection that was idle for longer a firewall may have forgotten, so it is asked first
)
_ANSWER: Final = 2.0  # seconds for that


class _Committed(NamedTuple):
    """A batch of which only this is known: its transaction, and the time when that began, as an id."""

    transaction: str
    began: int


class Writer:
    """One batch at a time. While the server is away, an ``append`` waits, up to the database's ``wait_seconds``."""

    def __init__(self, database: Database, packing: Packing, partitions: Partitions) -> None:
        self._database = database
        self._packing = packing
        self._partitions = partitions
        self._turn = asyncio.Lock()
        self._link: Link | None = None
        self._open: tuple[uuid.UUID, int] | None = (
            None  # the batch of which it is not known whether it is there
        )
        self._closed = False

    async def append(self, messages: Sequence[NewMessage]) -> list[Placed]:
        """As ``ArchiveStore.append``."""
        if sum(len(message.rows) for message in messages) > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS} rows at a time")
        batch = Batch(messages, self._packing.pack)
        async with self._turn:
            if self._closed:
                raise closed(self._database.name)
            deadline = asyncio.get_running_loop().time() + self._database.wait_seconds
            await self._settle(deadline)  # what an earlier call had to leave open
            while True:
                result = await self._try(batch, deadline)
                if result is not None:
                    return result

    async def close(self) -> None:
        """Finish what was asked before and disconnect."""
        async with self._turn:
            self._closed = True
            if self._link is not None:
                await farewell(self._link.connection)
                self._link = None

    async def _try(self, batch: Batch, deadline: float) -> list[Placed] | None:
        """Send the batch; None if it is certain that nothing has happened and that another try may help."""
        link = await self._connected(deadline)
        link.number += 1
        self._open = link.writer, link.number
        try:
            async with asyncio.timeout_at(deadline):
                row = await link.connection.fetchrow(
                    _APPEND, link.writer, link.number, self._partitions.recent, *batch.arguments
                )
        except BaseException as error:
            if (
                isinstance(error, asyncpg.PostgresError)
                and not link.connection.is_closed()
                and not is_lost(error)
            ):
                self._open = None  # the server said no
                if is_conflict(error) and asyncio.get_running_loop().time() < deadline:
                    return None
                raise self._explained(error) from error
            self._disconnect()
            if not isinstance(error, Exception):
                raise  # cancelled; whoever comes next finds out
            try:
                committed = await self._settle(deadline)
            except StorageUnavailable as unknown:
                raise unknown_outcome(self._database.name, unknown) from error
            if committed is not None:
                return await self._read_back(batch, committed)
            if self._database.explain(error) is None:
                raise  # a bug: it would not go better the next time
            return None
        self._open = None
        assert row is not None
        newest, moment, found = row
        return batch.placed(newest, moment, await self._find(batch, found) if found and any(found) else ())

    async def _settle(self, deadline: float) -> _Committed | None:
        """Find out about the batch that is open, if there is one: None if it is not there, and never will be."""
        while self._open is not None:
            link = await self._connected(deadline)
            try:
                async with asyncio.timeout_at(deadline):
                    row = await link.connection.fetchrow(_GIVE_UP, *self._open)
            except BaseException as error:
                lost = link.connection.is_closed() or is_lost(error)
                self._disconnect()
                if not lost:
                    raise self._explained(error) from error
            else:
                self._open = None
                assert row is not None
                there, transaction, began = row
                return _Committed(transaction, began) if there else None
        return None

    async def _connected(self, deadline: float) -> Link:
        if self._link is None or not await self._is_alive(self._link):
            self._disconnect()
            self._link = Link(await self._database.connect(deadline))
        return self._link

    async def _is_alive(self, link: Link) -> bool:
        now = asyncio.get_running_loop().time()
        idle, link.idle_since = now - link.idle_since, now
        if idle > _STALE and not link.connection.is_closed():
            try:
                async with asyncio.timeout(_ANSWER):
                    await link.connection.execute("SELECT 1")
            except Exception:  # whatever it is: one that cannot answer this is of no use, and another is made
                return False
        return not link.connection.is_closed()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.connection.terminate()
            self._link = None

    def _explained(self, error: BaseException) -> BaseException:
        return self._database.explain(error) or error

    async def _find(self, batch: Batch, found: Iterable[int]) -> list[Place]:
        """The places of first rows whose ids were ``found``."""

        async def work(connection: Connection) -> list[Place]:
            places = []
            for (owner, *_), id in zip(batch.asked, found, strict=True):
                row = await connection.fetchrow(_PLACE, owner, id) if id else None
                places.append(_NOWHERE if row is None else Place(*row))
            return places

        return await self._database.read(work)

    async def _read_back(self, batch: Batch, committed: _Committed) -> list[Placed]:
        async def work(connection: Connection) -> tuple[list[Row], list[Row | None]]:
            rows = await connection.fetch(_WRITTEN, batch.owners, committed.began, committed.transaction)
            return rows, [await connection.fetchrow(_FIRST, *asked) for asked in batch.asked]

        rows, first = await self._database.read(work)
        written: dict[int, deque[Place]] = defaultdict(deque)
        for owner, id, prev in rows:
            written[owner].append(Place(id, prev))
        found = [
            _NOWHERE if row is None or Place(*row) in written[owner] else Place(*row)
            for (owner, *_), row in zip(batch.asked, first, strict=True)
        ]
        return batch.placed_as(lambda slot, _: written[batch.owners[slot - 1]].popleft(), found)
