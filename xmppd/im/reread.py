"""Messages of an archive once more, for a client that is back before it acknowledged them (XEP-0198)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xmppd import ns
from xmppd.im.stanza_ids import StanzaIds
from xmppd.sessions.account import Account
from xmppd.storage.archive import ArchiveStore

_CLOSE: Final = b"</message>"


class Reread:
    """Reads rows as they were delivered."""

    def __init__(self, archive: ArchiveStore, ids: StanzaIds) -> None:
        self._archive = archive
        self._ids = ids

    async def __call__(self, account: Account, rows: Sequence[int]) -> dict[int, bytes]:
        """The stanzas in ``rows``, ascending and at least one, of what is owed to ``account``; those that are not there
        any more are left out.
        """
        wanted = set(rows)
        found: dict[int, bytes] = {}
        after = min(wanted) - 1
        while wanted:
            page, _ = await self._archive.owed(account.id, after=after, limit=len(rows))
            for row in page:
                if row.id in wanted and row.stanza:
                    found[row.id] = self._identified(row.stanza, row.id, account)
            if len(page) < len(rows):
                break
            after = page[-1].id
            wanted = {row for row in wanted if row > after}
        return found

    def _identified(self, stanza: bytes, row: int, account: Account) -> bytes:
        name = self._ids.text(account.id, row).encode()
        attributes = b"xmlns='%b' by='%b' id='%b'" % (ns.STANZA_ID.encode(), account.jid.wire, name)
        return b"%b<stanza-id %b/>%b" % (stanza.removesuffix(_CLOSE), attributes, _CLOSE)
