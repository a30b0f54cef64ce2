"""The archive: pages and marks by the pool's connections; new rows by a ``Writer`` with one of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from xmppd.storage.archive import ArchiveStore, DictionaryStore, NewMessage, Placed, Query, Row
from xmppd.storage.packing import Packing
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.connection import Row as Record
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.partitions import Partitions
from xmppd.storage.postgres.writer import Writer
from xmppd.storage.unpacking import Unpacking

_HISTORY: Final = "owner = $1 AND id > $2 AND id < $3 AND kind & 2 = 0"  # Kind.HIDDEN

# Up to the row with which there are so many bytes: each but the first counts what stands before it. The first byte of
# what is packed is no part of the stanza, which is not shorter than the rest.
_UP_TO: Final = """
SELECT id, peer, kind, stanza FROM (
    SELECT id, peer, kind, stanza, sum(octet_length(stanza) - 1) OVER (ORDER BY id {order} ROWS BETWEEN
        UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes FROM archive WHERE {where} {end}
) AS page WHERE bytes IS NULL OR bytes < {most} ORDER BY id {order}
"""

_OWED: Final = """
SELECT n.id, a.id, a.peer, a.kind, a.stanza
FROM (SELECT greatest(
    0,
    (SELECT id FROM archive WHERE owner = $1 ORDER BY id DESC LIMIT 1),
    (SELECT id FROM archive_floors WHERE owner = $1)) AS id) AS n
LEFT JOIN LATERAL (
    SELECT id, peer, kind, stanza FROM archive WHERE owner = $1 AND id > $2 AND kind & 1 = 1 ORDER BY id LIMIT $3
) AS a ON true ORDER BY a.id
"""

_NEWEST: Final = """
SELECT o, greatest(
    (SELECT id FROM archive WHERE owner = o ORDER BY id DESC LIMIT 1),
    (SELECT id FROM archive_floors WHERE owner = o))
FROM unnest($1::bigint[]) AS o
"""

_ERASE: Final = """
WITH gone AS (
    DELETE FROM archive WHERE owner = $1 AND id = ANY(ARRAY(
        SELECT id FROM archive WHERE owner = $1 AND id < $2 ORDER BY id LIMIT $3)) RETURNING id
) SELECT count(*), max(id) FROM gone
"""

# As the index archive_hidden says it: Kind.OWED | Kind.HIDDEN. The row stays, so that its id is not used again.
_FORGET: Final = """
UPDATE archive SET kind = 2, stanza = $1 FROM (
    SELECT a.owner AS o, a.id AS i FROM archive AS a LEFT JOIN archive_cursors AS c ON c.owner = a.owner
    WHERE a.kind & 3 = 3 AND a.id < greatest($2, c.upto + 1) LIMIT $3
) AS done WHERE owner = o AND id = i
"""

_RAISE_FLOOR: Final = """
INSERT INTO archive_floors AS f SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM archive WHERE owner = $1)
ON CONFLICT (owner) DO UPDATE SET id = greatest(f.id, excluded.id)
"""


class PostgresArchive(ArchiveStore):
    def __init__(
        self, database: Database, packing: Packing, dictionaries: DictionaryStore, partitions: Partitions
    ) -> None:
        self._database = database
        self._packing = packing
        self._unpacking = Unpacking(packing, dictionaries)
        self._partitions = partitions
        self._writer = Writer(database, packing, partitions)

    async def append(self, messages: Sequence[NewMessage]) -> list[Placed]:
        return await self._writer.append(messages)

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
        parameters.append(limit)
        end = f"ORDER BY id {order} LIMIT ${len(parameters)}"
        sql = f"SELECT id, peer, kind, stanza FROM archive WHERE {where} {end}"  # noqa: S608 - made of constants
        if most_bytes is not None:
            parameters.append(most_bytes)
            sql = _UP_TO.format(where=where, order=order, end=end, most=f"${len(parameters)}")

        async def work(connection: Connection) -> list[Record]:
            return await connection.fetch(sql, *parameters)

        rows = await self._unpacking.rows(owner, await self._database.read(work), most_bytes)
        if backwards:
            rows.reverse()
        return rows

    async def owed(self, owner: int, *, after: int, limit: int) -> tuple[list[Row], int]:
        async def work(connection: Connection) -> list[Record]:
            return await connection.fetch(_OWED, owner, after, limit)  # one statement: one moment

        records = await self._database.read(work)
        rows = await self._unpacking.rows(owner, [record[1:] for record in map(tuple, records) if record[1]])
        return rows, int(records[0][0])

    async def marks(self, owner: int, *, after: int, limit: int) -> list[tuple[int, int, int]]:
        async def work(connection: Connection) -> list[Record]:
            return await connection.fetch(
                "SELECT id, peer, kind FROM archive WHERE owner = $1 AND id > $2 AND kind & 2 = 0"
                " ORDER BY id LIMIT $3",
                owner,
                after,
                limit,
            )

        return [(id, peer, kind) for id, peer, kind in await self._database.read(work)]

    async def newest(self, owners: Iterable[int]) -> Mapping[int, int]:
        asked = list(set(owners))

        async def work(connection: Connection) -> list[Record]:
            return await connection.fetch(_NEWEST, asked)

        return {owner: id for owner, id in await self._database.read(work) if id is not None}

    async def count(self, owner: int, query: Query) -> int:
        where, parameters = _where(owner, query)

        async def work(connection: Connection) -> int:
            sql = f"SELECT count(*) FROM archive WHERE {where}"  # noqa: S608 - made of constants
            return int(await connection.fetchval(sql, *parameters))

        return await self._database.read(work)

    async def replace(self, owner: int, id: int, stanza: bytes, kind: int) -> bool:
        packed = self._packing.pack(stanza)

        async def work(connection: Connection) -> bool:
            tag = await connection.execute(
                "UPDATE archive SET stanza = $3, kind = $4 WHERE owner = $1 AND id = $2",
                owner,
                id,
                packed,
                kind,
            )
            return tag == "UPDATE 1"

        return await self._database.write(work)

    async def erase(self, owner: int, *, before: int, limit: int = 10_000) -> int:
        async def work(connection: Connection) -> int:
            await connection.execute("SELECT pg_advisory_xact_lock(-$1::bigint)", owner)  # as archive_append
            record = await connection.fetchrow(_ERASE, owner, before, limit)
            assert record is not None
            gone, newest = record
            if gone:
                await connection.execute(_RAISE_FLOOR, owner, newest)
            return int(gone)

        return await self._database.write(work)

    async def expire(self, *, before: int, limit: int = 10_000) -> int:
        return await self._partitions.drop(before=before)

    async def forget(self, *, before: int, limit: int = 10_000) -> int:
        nothing = self._packing.pack(b"")

        async def work(connection: Connection) -> int:
            tag = await connection.execute(_FORGET, nothing, before, limit)
            return int(tag.removeprefix("UPDATE "))

        return await self._database.write(work)

    async def close(self) -> None:
        """Finish what was asked before and disconnect."""
        await self._writer.close()


def _where(owner: int, query: Query) -> tuple[str, list[object]]:
    """The condition of ``query`` and its parameters."""
    where = _HISTORY
    parameters: list[object] = [owner, query.after, query.before]
    if query.peer is not None:
        # With every Mark. As a range it is looked up in the index, and no stanza is read for others.
        where += f" AND peer BETWEEN ${len(parameters) + 1} AND ${len(parameters) + 2}"
        parameters += (query.peer, query.peer | 3)
    if query.kind:
        where += f" AND kind & ${len(parameters) + 1}::smallint = ${len(parameters) + 1}::smallint"
        parameters.append(int(query.kind))
    if query.ids is not None:
        where += f" AND id = ANY(${len(parameters) + 1}::bigint[])"
        parameters.append(query.ids)
    return where, parameters
