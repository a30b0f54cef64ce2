"""Dictionaries that were trained on this server's messages."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from typing import Final

from xmppd.storage.archive import DictionaryStore
from xmppd.storage.packing import FIRST_TRAINED, LAST, Packing
from xmppd.storage.rows import array
from xmppd.storage.sqlite.database import Database

_PAGE: Final = 500  # rows read in one piece, so that others get their turn


class SqliteDictionaries(DictionaryStore):
    def __init__(self, database: Database, packing: Packing) -> None:
        self._database = database
        self._packing = packing

    async def use(self) -> None:
        """Pack with the newest of them from now on."""
        self._packing.add(await self.load())

    async def load(self) -> Mapping[int, bytes]:
        def work(connection: sqlite3.Connection) -> dict[int, bytes]:
            return dict(connection.execute("SELECT number, content FROM dictionaries"))

        return await self._database.read(work)

    async def add(self, content: bytes) -> int:
        def work(connection: sqlite3.Connection) -> int:
            (last,) = connection.execute("SELECT max(number) FROM dictionaries").fetchone()
            number = FIRST_TRAINED if last is None else int(last) + 1
            if number > LAST:
                raise ValueError(
                    f"{LAST - FIRST_TRAINED + 1} dictionaries were trained; there is room for no more"
                )
            connection.execute("INSERT INTO dictionaries VALUES (?, ?)", (number, content))
            return number

        return await self._database.write(work)

    async def sample(self, number: int) -> list[bytes]:
        def ends(connection: sqlite3.Connection) -> tuple[int | None, int]:
            first, last = connection.execute("SELECT min(rowid), max(rowid) FROM archive").fetchone()
            return first, last

        first, last = await self._database.read(ends)
        if first is None:
            return []
        await self.use()
        # A message is mostly two rows, which stand side by side.
        span = range(first, last + 1)
        chosen = random.sample(span, min(len(span), 2 * number))
        found: set[bytes] = set()
        for start in range(0, len(chosen), _PAGE):
            asked = array(chosen[start : start + _PAGE])

            def work(connection: sqlite3.Connection, asked: str = asked) -> list[tuple[bytes]]:
                return connection.execute(
                    "SELECT stanza FROM archive WHERE rowid IN (SELECT value FROM json_each(?))", (asked,)
                ).fetchall()

            found.update(self._packing.readable(stanza for (stanza,) in await self._database.read(work)))
            if len(found) >= number:
                break
        return list(found)[:number]
