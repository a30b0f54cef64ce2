"""Moves a whole storage into another one, and proves that nothing was lost or changed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from xmppd.errors import UserError
from xmppd.storage.tables import TABLES, Table, Tables, Values

_ROWS: Final = 500  # at once
_BYTES: Final = 4_194_304  # of these: stanzas and vCards may be large

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """One table that is the same in both storages: how many rows, and the BLAKE2 of all of them in hexadecimal."""

    table: str
    rows: int
    checksum: str


async def copy(source: Tables, target: Tables, progress: Progress) -> list[Copied]:
    """Copy every table of ``source`` into ``target``, which is empty, then read both and compare.

    ``progress`` hears what is done (``copy`` or ``verify``), how many rows more, and of how many in all. ``UserError``
    where ``target`` is not empty, or is not the same afterwards; it is then not usable before it was emptied.
    """
    for table in TABLES:
        if rows := await target.count(table):
            raise UserError(
                f"{target.name} is not empty: its table {table.name} has {rows} {'row' if rows == 1 else 'rows'}; "
                "name a new database"
            )
    total = sum([await source.count(table) for table in TABLES])
    await target.begin()
    copied = []
    for table in TABLES:
        written = _Sum()
        async for page in _pages(source, table):
            await target.write(table, page)
            written.add(page)
            progress("copy", len(page), total)
        copied.append(written.of(table))
    for table, done in zip(TABLES, copied, strict=True):
        found = _Sum()
        async for page in _pages(target, table):
            found.add(page)
            progress("verify", len(page), total)
        if found.of(table) != done:
            raise UserError(
                f"the table {table.name} of {target.name} is not what was copied: {found.rows} rows with the checksum "
                f"{found.of(table).checksum}, not {done.rows} with {done.checksum}; drop that database and copy again"
            )
    await target.finish(await source.last_ids())
    return copied


async def _pages(tables: Tables, table: Table) -> AsyncIterator[list[Values]]:
    after: Values | None = None
    while page := await tables.read(table, after, limit=_ROWS, most_bytes=_BYTES):
        yield page
        after = page[-1][: table.key]


class _Sum:
    """Rows, counted and hashed in the order of their keys."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._encode = msgspec.msgpack.Encoder().encode

    def add(self, page: list[Values]) -> None:
        self.rows += len(page)
        for row in page:
            self._hash.update(self._encode(row))

    def of(self, table: Table) -> Copied:
        return Copied(table.name, self.rows, self._hash.hexdigest())
