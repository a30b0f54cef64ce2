"""An archive that has grown for long, written before the server starts: conversations as in `corpus`.

It goes through the storage's own `append`, in batches of the size that a busy server makes, so the rows are those that
traffic leaves.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

from benchmarks.accounts import make_accounts
from benchmarks.corpus import Corpus
from xmppd.jid import Jid
from xmppd.storage.archive import MOST_ROWS, Cursor, Kind, Mark, NewMessage, NewRow, peer_key
from xmppd.storage.interfaces import Stores

CONTACTS: Final = 20
_SEED: Final = 3
_ADDRESSES: Final = re.compile(rb"<message to='[^']*' from='[^']*'").match
_SENT: Final = int(Mark.SENT | Mark.UNREAD)
_CAME: Final = int(Mark.UNREAD)


@dataclass(frozen=True, slots=True)
class History:
    """`rows` rows, two a message, of the first `accounts` accounts (more than `CONTACTS` + 2). The first account, the
    *owner*, has `owned` of them, spread over all the time, with the next `CONTACTS` accounts in turn. All but the owner
    talk to one another as well.
    """

    rows: int
    accounts: int
    most: int = 100_000

    @property
    def owned(self) -> int:
        """`most`, or all that there can be: a row in each message."""
        return min(self.most, self.rows // 2)

    def messages(self, ids: Sequence[int]) -> Iterator[NewMessage]:
        """The messages in order; `ids` of the accounts in the storage."""
        chance = random.Random(_SEED)
        jids = [account.jid for account in make_accounts(self.accounts)]
        names = [jid.encode() for jid in jids]
        keys = [peer_key(Jid.parse(jid)) for jid in jids]
        tails = cycle([_without_addresses(text) for text in Corpus(_SEED).messages(5_000)])
        total, others = self.rows // 2, self.accounts - 1
        done = 0
        for number in range(1, total + 1):
            if number * self.owned // total > done:
                sender, to = 0, 1 + done % CONTACTS
                done += 1
            else:
                sender = 1 + chance.randrange(others)
                to = 1 + (sender + chance.randrange(others - 1)) % others
            if chance.random() < 0.5:
                sender, to = to, sender
            stanza = b"<message to='%b' from='%b/bench'%b" % (names[to], names[sender], next(tails))
            yield NewMessage(
                stanza,
                (NewRow(ids[sender], keys[to] | _SENT), NewRow(ids[to], keys[sender] | _CAME, Kind.OWED)),
                origin=number,
            )

    async def write(self, stores: Stores) -> None:
        """Put it into an archive, in which nothing of it waits for anybody any more."""
        found = [await stores.accounts.get(Jid.parse(each.jid)) for each in make_accounts(self.accounts)]
        ids = [account.id for account in found if account is not None]
        messages = self.messages(ids)
        while batch := list(islice(messages, MOST_ROWS // 2)):
            await stores.archive.append(batch)
        newest = await stores.archive.newest(ids)
        await stores.cursors.save({owner: Cursor(id) for owner, id in newest.items()})


def _without_addresses(text: bytes) -> bytes:
    found = _ADDRESSES(text)
    assert found is not None, text
    return text[found.end() :]
