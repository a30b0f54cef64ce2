"""The archive. There is one writer, so rows become visible in the order of their ids (I4)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from xmppd.storage.archive import (
    MOST_ROWS,
    RESENDS,
    ArchiveStore,
    DictionaryStore,
    Kind,
    NewMessage,
    Place,
    Placed,
    Query,
    Row,
)
from xmppd.storage.packing import Packing
from xmppd.storage.rows import array, up_to
from xmppd.storage.sqlite.database import Database
from xmppd.storage.unpacking import Unpacking

_NEWEST: Final = """
SELECT value, max(
    coalesce((SELECT max(id) FROM archive WHERE owner = value), 0),
    coalesce((SELECT id FROM archive_floors WHERE owner = value), 0))
FROM json_each(?)
"""

_INSERT: Final = "INSERT INTO archive (owner, id, peer, kind, origin, stanza) VALUES (?, ?, ?, ?, ?, ?)"

# The owners are stepped through by the key, since there is no index over the ids of all; a few of them at a time, since
# everybody's messages wait meanwhile.
_OWNERS: Final = 1_000
_STEP: Final = """
WITH RECURSIVE owners (owner, number) AS (
    SELECT min(owner), 1 FROM archive WHERE owner > ?1
    UNION ALL
    SELECT (SELECT min(owner) FROM archive WHERE archive.owner > owners.owner), number + 1
    FROM owners WHERE owner IS NOT NULL AND number < ?2
)
"""
_LAST: Final = _STEP + "SELECT owner FROM owners WHERE number = ?2"  # noqa: S608 - made of constants
_TOO_OLD: Final = "SELECT archive.rowid FROM owners CROSS JOIN archive USING (owner) WHERE id < ?3 LIMIT ?4"
_EXPIRE: Final = f"{_STEP} DELETE FROM archive WHERE rowid IN ({_TOO_OLD}) RETURNING owner, id"  # noqa: S608 - as above

_ERASE: Final = """
DELETE FROM archive WHERE rowid IN (SELECT rowid FROM archive WHERE owner = ? AND id < ? ORDER BY id LIMIT ?)
RETURNING owner, id
"""

# As the index archive_hidden says it: Kind.OWED | Kind.HIDDEN. The row stays, so that its id is not used again.
_FORGET: Final = """
UPDATE archive SET kind = 2, stanza = ? WHERE rowid IN (
    SELECT archive.rowid FROM archive INDEXED BY archive_hidden
    LEFT JOIN archive_cursors AS cursor ON cursor.owner = archive.owner
    WHERE archive.kind & 3 = 3 AND archive.id < max(?, coalesce(cursor.upto + 1, 0)) LIMIT ?
)
"""

_ORIGINS: Final = """
SELECT origin, id FROM (SELECT origin, id FROM archive WHERE owner = ? AND id >= ? ORDER BY id DESC LIMIT ?)
WHERE origin IS NOT NULL ORDER BY id
"""

_RAISE_FLOOR: Final = """
INSERT INTO archive_floors SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM archive WHERE owner = ?1)
ON CONFLICT (owner) DO UPDATE SET id = max(id, excluded.id)
"""

_NewRow = tuple[int, int, int, int, int | None, bytes]


class SqliteArchive(ArchiveStore):
    """``clock``: seconds since the epoch; it is called on the writer's thread."""

    def __init__(
        self,
        database: Database,
        packing: Packing,
        dictionaries: DictionaryStore,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._packing = packing
        self._unpacking = Unpacking(packing, dictionaries)
        self._clock = clock
        # The owner up to whom ``expire`` has come; it goes on behind, and begins again at the end.
        self._expired = 0

    async def append(self, messages: Sequence[NewMessage]) -> list[Placed]:
        pack = self._packing.pack
        packed = [pack(message.stanza) for message in messages]
        owners = {row.owner for message in messages for row in message.rows}
        if sum(len(message.rows) for message in messages) > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS} rows at a time")

        def work(connection: sqlite3.Connection) -> list[Placed]:
            now = int(self._clock() * 1e6)
            newest: dict[int, int] = dict(connection.execute(_NEWEST, (array(owners),)))
            batch = _Batch(connection, newest, now, messages)
            placed = [batch.add(message, stanza) for message, stanza in zip(messages, packed, strict=True)]
            connection.executemany(_INSERT, batch.rows)
            return placed

        return await self._database.write(work)

    async def read(
        self,
        owner: int,
        query: Query,
        *,
        limit: int,
        backwards: bool = False,
        most_bytes: int | None = None,
    ) -> list[Row]:
        where, parameters = _where(owner, query)
        order = "DESC" if backwards else "ASC"
        sql = f"SELECT id, peer, kind, stanza FROM archive WHERE {where} ORDER BY id {order} LIMIT ?"  # noqa: S608

        def work(connection: sqlite3.Connection) -> list[tuple[int, int, int, bytes]]:
            found = connection.execute(sql, (*parameters, limit))
            return found.fetchall() if most_bytes is None else list(up_to(most_bytes, found, _packed_bytes))

        rows = await self._unpacking.rows(owner, await self._database.read(work), most_bytes)
        if backwards:
            rows.reverse()
        return rows

    async def owed(self, owner: int, *, after: int, limit: int) -> tuple[list[Row], int]:
        def work(connection: sqlite3.Connection) -> tuple[list[tuple[int, int, int, bytes]], int]:
            rows = connection.execute(
                "SELECT id, peer, kind, stanza FROM archive WHERE owner = ? AND id > ? AND kind & ?"
                " ORDER BY id LIMIT ?",
                (owner, after, Kind.OWED, limit),
            ).fetchall()
            return rows, newest_id(connection, owner)

        rows, newest = await self._database.read(work)
        return await self._unpacking.rows(owner, rows), newest

    async def marks(self, owner: int, *, after: int, limit: int) -> list[tuple[int, int, int]]:
        def work(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
            return connection.execute(
                "SELECT id, peer, kind FROM archive WHERE owner = ? AND id > ? AND NOT kind & ?"
                " ORDER BY id LIMIT ?",
                (owner, after, Kind.HIDDEN, limit),
            ).fetchall()

        return await self._database.read(work)

    async def newest(self, owners: Iterable[int]) -> Mapping[int, int]:
        asked = array(set(owners))

        def work(connection: sqlite3.Connection) -> dict[int, int]:
            return {owner: id for owner, id in connection.execute(_NEWEST, (asked,)) if id}

        return await self._database.read(work)

    async def count(self, owner: int, query: Query) -> int:
        where, parameters = _where(owner, query)

        def work(connection: sqlite3.Connection) -> int:
            sql = f"SELECT count(*) FROM archive WHERE {where}"  # noqa: S608 - made of constants
            return int(connection.execute(sql, parameters).fetchone()[0])

        return await self._database.read(work)

    async def replace(self, owner: int, id: int, stanza: bytes, kind: int) -> bool:
        packed = self._packing.pack(stanza)

        def work(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                "UPDATE archive SET stanza = ?, kind = ? WHERE owner = ? AND id = ?",
                (packed, kind, owner, id),
            )
            return changed.rowcount == 1

        return await self._database.write(work)

    async def erase(self, owner: int, *, before: int, limit: int = 10_000) -> int:
        return await self._database.write(
            lambda connection: len(_delete(connection, _ERASE, owner, before, limit))
        )

    async def expire(self, *, before: int, limit: int = 10_000) -> int:
        whole = self._expired == 0
        while True:
            gone, self._expired = await self._database.write(partial(_expire, self._expired, before, limit))
            if gone or (whole and not self._expired):
                return gone
            whole = whole or not self._expired

    async def forget(self, *, before: int, limit: int = 10_000) -> int:
        nothing = self._packing.pack(b"")

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(_FORGET, (nothing, before, limit)).rowcount

        return await self._database.write(work)


def _expire(after: int, before: int, limit: int, connection: sqlite3.Connection) -> tuple[int, int]:
    """Remove at most ``limit`` rows below ``before`` of the owners next ``after``: how many, and up to which owner
    there are none any more (0: of all who follow).
    """
    gone = _delete(connection, _EXPIRE, after, _OWNERS, before, limit)
    if gone:
        return len(gone), max(gone) - 1
    last = connection.execute(_LAST, (after, _OWNERS)).fetchone()
    return 0, (last[0] or 0) if last else 0


def _delete(connection: sqlite3.Connection, sql: str, *parameters: int) -> list[int]:
    """Delete, and keep the newest id of owners whose last row went (I4); the owner of each row that is gone."""
    gone = connection.execute(sql, parameters).fetchall()
    newest: dict[int, int] = {}
    for owner, id in gone:
        newest[owner] = max(id, newest.get(owner, 0))
    connection.executemany(_RAISE_FLOOR, newest.items())
    return [owner for owner, _ in gone]


def _packed_bytes(record: tuple[int, int, int, bytes]) -> int:
    return len(record[3]) - 1  # the stanza is not shorter (Packing.pack)


class _Batch:
    """Gives the messages of one ``append`` their places; ``rows`` is what is to be inserted."""

    def __init__(
        self, connection: sqlite3.Connection, newest: dict[int, int], now: int, messages: Sequence[NewMessage]
    ) -> None:
        self._connection = connection
        self._newest = newest
        self._now = now
        self._origins: dict[tuple[int, int], Place] = {}
        self._earlier = self._find_earlier(messages)
        self.rows: list[_NewRow] = []

    def add(self, message: NewMessage, stanza: bytes) -> Placed:
        origin = message.origin or None
        key = message.rows[0].owner, message.origin
        if origin and message.check and (found := self._find(key, message.check)):
            return Placed((found,), duplicate=True)
        places = []
        for owner, peer, kind in message.rows:
            prev = self._newest[owner]
            id = self._newest[owner] = max(self._now, prev + 1)
            places.append(Place(id, prev))
            self.rows.append((owner, id, peer, kind, origin, stanza))
            origin = None
        if message.origin:
            self._origins[key] = places[0]
        return Placed(tuple(places))

    def _find(self, key: tuple[int, int], since: int) -> Place | None:
        """The row with that owner and origin whose id is at least ``since``, in this batch or before it."""
        place = self._origins.get(key)
        if place is not None:
            return place if place.id >= since else None
        owner, origin = key
        id = self._earlier[owner].get(origin, 0)
        return Place(id, newest_id(self._connection, owner, before=id)) if id >= since else None

    def _find_earlier(self, messages: Sequence[NewMessage]) -> dict[int, dict[int, int]]:
        """The newest row of each origin before the batch, for each owner who may have sent something again."""
        since: dict[int, int] = {}
        for message in messages:
            if message.origin and message.check:
                owner = message.rows[0].owner
                since[owner] = min(message.check, since.get(owner, message.check))
        return {
            owner: dict(self._connection.execute(_ORIGINS, (owner, id, RESENDS)))
            for owner, id in since.items()
        }


def newest_id(connection: sqlite3.Connection, owner: int, *, before: int = 2**63 - 1) -> int:
    """The owner's newest id below ``before``; 0 where there is none."""
    (id,) = connection.execute(
        "SELECT max(coalesce((SELECT max(id) FROM archive WHERE owner = ?1 AND id < ?2), 0),"
        " coalesce((SELECT id FROM archive_floors WHERE owner = ?1 AND id < ?2), 0))",
        (owner, before),
    ).fetchone()
    return int(id)


def _where(owner: int, query: Query) -> tuple[str, tuple[int | str, ...]]:
    """The condition of ``query`` and its parameters."""
    # Where ids are given, these are looked up, and "+id" is only compared.
    id = "id" if query.ids is None else "+id"
    where = f"owner = ? AND {id} > ? AND {id} < ? AND NOT kind & ?"
    parameters: tuple[int | str, ...] = (owner, query.after, query.before, Kind.HIDDEN)
    if query.peer is not None:
        where += " AND peer & -4 = ?"  # without its Mark
        parameters += (query.peer,)
    if query.kind:
        where += " AND kind & ? = ?"
        parameters += (query.kind, query.kind)
    if query.ids is not None:
        where += " AND id IN (SELECT value FROM json_each(?))"
        parameters += (array(query.ids),)
    return where, parameters
