"""The archive's partitions: one a month, made ahead, dropped when their time is over.

The newest one, ``archive_rest``, has no end, so that no row is ever refused, whoever forgot to make others; it becomes
the partition of its month long before that begins, while it is empty. The oldest, ``archive_past``, has no beginning.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from xmppd.logs import fields
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database

log = logging.getLogger("xmppd.storage")

_LOCK: Final = 0  # the advisory lock of whoever changes partitions; owners have negative ones
# For those who use the table; they wait meanwhile, so it is better to fail, and to try again an hour later.
_WAIT: Final = "2s"

_LIST: Final = (
    "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
    " WHERE inhparent = 'archive'::regclass"
)
_BOUNDS: Final = re.compile(r"FOR VALUES FROM \('?(-?\w+)'?\) TO \('?(-?\w+)'?\)").fullmatch
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_LEAST, _MOST = -(2**63), 2**63 - 1
_BEGINNING: Final = 1_577_836_800_000_000  # of the first rest, in the migration
_WEEK: Final = 7 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class _Partition:
    """Rows whose id is at least ``start`` and below ``end``."""

    start: int
    end: int
    name: str


class Partitions:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.recent = 0  # where a partition begins that holds the newest row of nearly all who write

    async def make_ahead(self) -> None:
        """See that this month and the next have their partition. To be called at the start and from time to time.

        Where somebody keeps the table for longer, such as a dump of the database, that is put off.
        """
        partitions, now = await self._database.read(_look)
        self.recent = month(now - _WEEK)
        if not partitions or partitions[-1].start < month(now, 2):
            try:
                await self._database.write(_split_rest)
            except StorageUnavailable as error:
                log.warning("no partition was made ahead", extra=fields(reason=error))

    async def drop(self, *, before: int) -> int:
        """Drop partitions that hold nothing but ids below ``before``, all of them past; how many held something."""

        async def work(connection: Connection) -> int:
            partitions, now = await _look_behind_lock(connection)
            return await _drop(connection, [part for part in partitions if part.end <= min(before, now)])

        partitions, _ = await self._database.read(_look)
        if not partitions or partitions[0].end > before:
            return 0
        return await self._database.write(work)


def month(id: int, later: int = 0) -> int:
    """The id that the month of ``id`` begins with, or the month so many months later."""
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=id)
    years, number = divmod(day.month - 1 + later, 12)
    begin = datetime(day.year + years, number + 1, 1, tzinfo=UTC)
    return int(begin.timestamp()) * 1_000_000


def _name(start: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)).strftime("archive_%Y_%m")


async def _look(connection: Connection) -> tuple[list[_Partition], int]:
    """All partitions in order, and the database's time as an id."""
    found = []
    for name, text in await connection.fetch(_LIST):
        if text is None:
            continue  # somebody removes or changes it in this moment
        bounds = _BOUNDS(text)
        assert bounds is not None, text
        start = _LEAST if bounds[1] == "MINVALUE" else int(bounds[1])
        end = _MOST if bounds[2] == "MAXVALUE" else int(bounds[2])
        found.append(_Partition(start, end, name))
    return sorted(found), int(await connection.fetchval(_NOW))


async def _look_behind_lock(connection: Connection) -> tuple[list[_Partition], int]:
    await connection.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    return await _look(connection)


# What follows puts names and numbers into SQL, since DDL takes no parameters; all of them come from this file.


async def _split_rest(connection: Connection) -> None:
    partitions, now = await _look_behind_lock(connection)
    rest = partitions[-1]
    end = month(now, 2)
    if rest.start >= end:
        return  # another node was faster
    used = await connection.fetchval("SELECT EXISTS (SELECT FROM archive_rest)")
    if used and rest.start > _BEGINNING:
        log.warning("partitions of the archive were made late", extra=fields(since=_name(rest.start)))
    # What is in it stays where it is: it gets an end behind this month, and another name.
    start = max(rest.start, month(now))
    first = month(now, 1) if rest.start <= now else month(rest.start, 1)
    await connection.execute("ALTER TABLE archive DETACH PARTITION archive_rest")
    if used:
        await connection.execute(
            f"ALTER TABLE archive_rest RENAME TO {_name(start)};"
            f"ALTER TABLE archive ATTACH PARTITION {_name(start)} FOR VALUES FROM ({rest.start}) TO ({first})"
        )
    else:
        await connection.execute("DROP TABLE archive_rest")
        if rest.start < start:  # nothing is there: one partition less to look into
            await _stretch_past(connection, start)
        await _create(connection, _name(start), start, str(first))
    while first < end:
        await _create(connection, _name(first), first, str(month(first, 1)))
        first = month(first, 1)
    await _create(connection, "archive_rest", first, "MAXVALUE")


async def _create(connection: Connection, name: str, start: int, end: str) -> None:
    await connection.execute(f"CREATE TABLE {name} PARTITION OF archive FOR VALUES FROM ({start}) TO ({end})")


async def _stretch_past(connection: Connection, end: int) -> None:
    """Let the partition without a beginning reach up to ``end``: old rows may still be copied from elsewhere."""
    await connection.execute(
        "ALTER TABLE archive DETACH PARTITION archive_past;"
        f"ALTER TABLE archive ATTACH PARTITION archive_past FOR VALUES FROM (MINVALUE) TO ({end})"
    )


async def _drop(connection: Connection, partitions: list[_Partition]) -> int:
    dropped = 0
    for part in partitions:
        used = bool(await connection.fetchval(f"SELECT EXISTS (SELECT FROM {part.name})"))  # noqa: S608
        if part.start == _LEAST:
            if used:
                await connection.execute("TRUNCATE archive_past")
        else:
            await connection.execute(f"DROP TABLE {part.name}")
        dropped += used
    if partitions and partitions[-1].start != _LEAST:
        await _stretch_past(connection, partitions[-1].end)
    return dropped
