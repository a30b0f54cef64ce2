"""Looking for something in an archive that is mostly among the newest."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from xmppd.storage.archive import ArchiveStore, Query, Row

_FIRST: Final = 20  # rows of the first portion; each is ten times as large as the one before
_MOST_BYTES: Final = 1_048_576  # of a portion: it is held in memory, and keeps others from the event loop


class Backwards:
    """The rows of an owner that ``query`` means, newest first, portion by portion."""

    def __init__(self, archive: ArchiveStore, owner: int, query: Query, *, most: int) -> None:
        """``most``: rows that are looked at."""
        self._archive = archive
        self._owner = owner
        self._query = query
        self._left = most
        self._portion = _FIRST
        self.ended = False  # there are no more than were looked at

    async def next(self) -> list[Row]:
        """The next portion, without what is damaged; empty: that was all."""
        portion: list[Row] = []
        while not portion and (rows := await self._read()):
            portion = [row for row in reversed(rows) if row.stanza]
        return portion

    async def _read(self) -> list[Row]:
        limit = min(self._portion, self._left)
        if self.ended or not limit:
            return []
        rows = await self._archive.read(
            self._owner, self._query, limit=limit, backwards=True, most_bytes=_MOST_BYTES
        )
        self.ended = len(rows) < limit and sum(len(row.stanza) for row in rows) < _MOST_BYTES
        if rows:
            self._query = replace(self._query, before=rows[0].id)
        self._left -= len(rows)
        self._portion *= 10
        return rows
