"""The tables as they are, for whoever moves all of them (storage/copy.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database
from xmppd.storage.tables import COPYING, NUMBERED, Kind, Table, Tables, Value, Values

# Up to the row with which there are so many bytes: each but the first counts what stands before it.
_UP_TO: Final = """
SELECT {names} FROM (
    SELECT {names}, sum({sizes}) OVER (ORDER BY {keys} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes
    FROM {table} {where} ORDER BY {keys} LIMIT $1
) AS page WHERE bytes IS NULL OR bytes < {most} ORDER BY {keys}
"""
_SEQUENCE: Final = "SELECT pg_get_serial_sequence($1, 'id')"


class PostgresTables(Tables):
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def name(self) -> str:
        return self._database.name

    # Names of tables and columns come from the list in storage/tables.py.

    async def count(self, table: Table) -> int:
        async def work(connection: Connection) -> int:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table.name}"))  # noqa: S608

        return await self._database.read(work)

    async def read(
        self, table: Table, after: Values | None, *, limit: int, most_bytes: int = 2**62
    ) -> list[Values]:
        keys = ", ".join(table.names[: table.key])
        marks = ", ".join(f"${number}" for number in range(2, table.key + 2))
        where = "" if after is None else f"WHERE ({keys}) > ({marks})"
        names = ", ".join(table.names)
        sql = f"SELECT {names} FROM {table.name} {where} ORDER BY {keys} LIMIT $1"  # noqa: S608
        if table.large:
            sizes = " + ".join(f"coalesce(octet_length({name}), 0)" for name in table.large)
            sql = _UP_TO.format(
                names=names, sizes=sizes, keys=keys, table=table.name, where=where, most=most_bytes
            )
        kinds = [kind for _, kind in table.columns]

        async def work(connection: Connection) -> list[Values]:
            rows = await connection.fetch(sql, limit, *(after or ()))
            return [tuple(map(_plain, row, kinds)) for row in rows]

        return await self._database.read(work)

    async def write(self, table: Table, rows: Sequence[Values]) -> None:
        # Ids of accounts are the database's to give, unless one insists.
        marks = ", ".join(f"${number}" for number in range(1, len(table.columns) + 1))
        sql = f"INSERT INTO {table.name} ({', '.join(table.names)}) OVERRIDING SYSTEM VALUE VALUES ({marks})"  # noqa: S608

        async def work(connection: Connection) -> None:
            await connection.executemany(sql, rows)

        await self._database.write(work)

    async def last_ids(self) -> Mapping[str, int]:
        async def work(connection: Connection) -> dict[str, int]:
            found = {}
            for table in NUMBERED:
                sequence = await connection.fetchval(_SEQUENCE, table)
                last = await connection.fetchval(f"SELECT last_value FROM {sequence} WHERE is_called")  # noqa: S608
                if last is not None:
                    found[table] = int(last)
            return found

        return await self._database.read(work)

    async def begin(self) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO meta VALUES ($1, '1') ON CONFLICT (name) DO UPDATE SET value = '1'", COPYING
            )

        await self._database.write(work)

    async def finish(self, last_ids: Mapping[str, int]) -> None:
        async def work(connection: Connection) -> None:
            for table, last in last_ids.items():
                await connection.fetchval(f"SELECT setval(({_SEQUENCE}), $2)", table, last)
            await connection.execute("DELETE FROM meta WHERE name = $1", COPYING)

        await self._database.write(work)
        # What the planner knows of an empty table makes the first hours slow.
        await self._database.read(_analyze)

    async def close(self) -> None:
        await self._database.close()


async def _analyze(connection: Connection) -> None:
    await connection.execute("ANALYZE")


def _plain(value: Any, kind: Kind) -> Value:
    return tuple(sorted(value)) if kind == "ids" else value
