"""The tables as they are, for whoever moves all of them (storage/copy.py)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from xmppd.storage.rows import array, up_to
from xmppd.storage.sqlite.database import Database
from xmppd.storage.tables import COPYING, Kind, Table, Tables, Value, Values


class SqliteTables(Tables):
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def name(self) -> str:
        return self._database.name

    # Names of tables and columns come from the list in storage/tables.py.

    async def count(self, table: Table) -> int:
        sql = f"SELECT count(*) FROM {table.name}"  # noqa: S608
        return await self._database.read(lambda connection: int(connection.execute(sql).fetchone()[0]))

    async def read(
        self, table: Table, after: Values | None, *, limit: int, most_bytes: int = 2**62
    ) -> list[Values]:
        keys = ", ".join(table.names[: table.key])
        where = "" if after is None else f"WHERE ({keys}) > ({', '.join('?' * table.key)})"
        sql = f"SELECT {', '.join(table.names)} FROM {table.name} {where} ORDER BY {keys} LIMIT ?"  # noqa: S608
        kinds = [kind for _, kind in table.columns]

        def work(connection: sqlite3.Connection) -> list[Values]:
            rows = up_to(most_bytes, connection.execute(sql, (*(after or ()), limit)), _bytes)
            return [tuple(map(_plain, row, kinds)) for row in rows]

        return await self._database.read(work)

    async def write(self, table: Table, rows: Sequence[Values]) -> None:
        marks = ", ".join("?" * len(table.columns))
        sql = f"INSERT INTO {table.name} ({', '.join(table.names)}) VALUES ({marks})"  # noqa: S608
        stored = [tuple(map(_stored, row)) for row in rows]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(sql, stored)

        await self._database.write(work)

    async def last_ids(self) -> Mapping[str, int]:
        def work(connection: sqlite3.Connection) -> dict[str, int]:
            return dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))

        return await self._database.read(work)

    async def begin(self) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, 1)", (COPYING,))

        await self._database.write(work)

    async def finish(self, last_ids: Mapping[str, int]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for table, last in last_ids.items():
                connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
            connection.execute("DELETE FROM meta WHERE name = ?", (COPYING,))

        await self._database.write(work)

    async def close(self) -> None:
        await self._database.close()


def _bytes(row: Values) -> int:
    return sum(len(value) for value in row if isinstance(value, bytes))


def _plain(value: Any, kind: Kind) -> Value:
    if kind == "ids":
        return tuple(sorted(json.loads(value)))
    return bool(value) if kind == "bool" else value


def _stored(value: Value) -> Value:
    return array(value) if isinstance(value, tuple) else value
