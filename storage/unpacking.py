"""From what is kept of messages back to their text, the same for every engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from xmppd.storage.archive import DictionaryStore, Row
from xmppd.storage.packing import Damaged, Packing, UnknownDictionary

log = logging.getLogger("xmppd.storage")

_TURN: Final = 1_048_576  # bytes: to unpack them takes some ms, after which others have a turn
_MOST_TOLD: Final = 1_000


class Unpacking:
    """Unpacks with ``packing``, and with what was added to ``dictionaries`` since."""

    def __init__(self, packing: Packing, dictionaries: DictionaryStore) -> None:
        self._packing = packing
        self._dictionaries = dictionaries
        self._told: set[tuple[int, int]] = set()  # rows that the log has named

    async def rows(
        self, owner: int, records: Iterable[Sequence[Any]], most_bytes: int | None = None
    ) -> list[Row]:
        """Rows of the archive of ``owner`` (id, peer, kind, packed stanza), up to that with which their stanzas are
        ``most_bytes`` together. The stanza of a damaged one is empty: what stands around it is not lost with it.
        ``UnknownDictionary`` as ``Packing.unpack``.
        """
        rows: list[Row] = []
        size, turn = 0, _TURN
        for id, peer, kind, packed in records:
            stanza = await self._stanza(owner, id, packed)
            rows.append(Row(id, peer, kind, stanza))
            size += len(stanza)
            if most_bytes is not None and size >= most_bytes:
                break
            if size >= turn:
                turn = size + _TURN
                await asyncio.sleep(0)
        return rows

    async def _stanza(self, owner: int, id: int, packed: bytes) -> bytes:
        try:
            return self._packing.unpack(packed)
        except UnknownDictionary:  # one was trained since
            self._packing.add(await self._dictionaries.load())
        except Damaged as err:
            return self._tell(owner, id, err)
        try:
            return self._packing.unpack(packed)
        except Damaged as err:
            return self._tell(owner, id, err)

    def _tell(self, owner: int, id: int, error: Damaged) -> bytes:
        if (owner, id) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add((owner, id))
            log.error("message %d in the archive of account %d is lost: %s", id, owner, error)
        return b""
