"""Dictionaries that were trained on this server's messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xmppd.storage.archive import DictionaryStore
from xmppd.storage.packing import FIRST_TRAINED, LAST, Packing
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database

# -1: nobody has counted the rows of a partition yet, and then it has few, or is new.
_ROWS: Final = (
    "SELECT coalesce(sum(CASE WHEN reltuples < 0 THEN 0 ELSE reltuples END), 0)::bigint"
    " FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'archive'::regclass"
)
# Whole blocks, taken at random from all over each partition.
_SAMPLE: Final = "SELECT stanza FROM archive TABLESAMPLE SYSTEM ($1) LIMIT $2"


class PostgresDictionaries(DictionaryStore):
    def __init__(self, database: Database, packing: Packing) -> None:
        self._database = database
        self._packing = packing

    async def use(self) -> None:
        """Pack with the newest of them from now on."""
        self._packing.add(await self.load())

    async def load(self) -> Mapping[int, bytes]:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch("SELECT number, content FROM dictionaries")

        return {row[0]: row[1] for row in await self._database.read(work)}

    async def add(self, content: bytes) -> int:
        async def work(connection: Connection) -> int:
            await connection.execute("LOCK TABLE dictionaries IN EXCLUSIVE MODE")
            last = await connection.fetchval("SELECT max(number) FROM dictionaries")
            number = FIRST_TRAINED if last is None else int(last) + 1
            if number > LAST:
                raise ValueError(
                    f"{LAST - FIRST_TRAINED + 1} dictionaries were trained; there is room for no more"
                )
            await connection.execute("INSERT INTO dictionaries VALUES ($1, $2)", number, content)
            return number

        return await self._database.write(work)

    async def sample(self, number: int) -> list[bytes]:
        wanted = 2 * number  # a message is mostly two rows

        async def work(connection: Connection) -> list[Row]:
            rows = int(await connection.fetchval(_ROWS))
            share = min(100.0, 100.0 * wanted / max(rows, 1))
            return await connection.fetch(_SAMPLE, share, 4 * wanted)

        records = await self._database.read(work)
        await self.use()
        return list(set(self._packing.readable(record[0] for record in records)))[:number]
