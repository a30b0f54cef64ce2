"""What the server needs of its archive: history, and at the same time the queue of what is still owed to clients
(DESIGN 5, I1-I4; DESIGN 6).

Every message is one row for each owner that it concerns, an account or a room: the same text under the sender and under
the recipient. ``id`` orders the rows of one owner and tells when: microseconds since the epoch by the database's clock,
but always above the owner's newest. Within one owner ids are unique, are never used again, and become visible in
ascending order (I4), so whoever reads behind the last id that he saw misses nothing.

As in ``interfaces``: every method is one transaction, durable when it returns, and may raise ``StorageUnavailable``.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from xmppd.jid import Jid
from xmppd.stanza import Place as Place  # part of this vocabulary

_PEER: Final = ~0b11  # the bits of ``peer`` that tell the address


class Kind(IntFlag):
    """What a row is."""

    NONE = 0
    OWED = 1  # a client of the owner has to get it; what was ``settled`` is owed no more (``Cursor``)
    HIDDEN = 2  # only kept to be delivered: it is no part of the history
    TOMBSTONE = 4  # the message was retracted; the row says so (XEP-0424)
    MARKER = 8  # with it the owner told what is read (XEP-0333)
    PENDING = 16  # something is left to be done because of it (``PendingStore``)


class Mark(IntEnum):  # an IntFlag makes another number of a negative ``peer``
    """The low two bits of ``peer``.

    ``UNREAD`` is on every instant message, i.e. on no receipt, marker or reaction. One that was sent to the owner
    counts as unread in the chat list; one that the owner sent (both bits) tells that what came before it was read.
    """

    NONE = 0
    SENT = 1  # by the owner; else it was sent to the owner
    UNREAD = 2


@lru_cache(maxsize=65_536)
def peer_key(peer: Jid) -> int:
    """62 bits that stand for the bare address of ``peer``, above two low bits that are 0 (``Mark``). Others may share
    them: whoever reads by them compares the stanza's addresses.
    """
    digest = hashlib.blake2b(peer.bare.wire, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) & _PEER


def origin_key(sender: Jid, to: Jid, type: str, origin_id: str, text: str = "") -> int:
    """What a resend of the same message shares with the first try (I2): never 0. ``text``: the message's body, since
    some clients count their ids from 1 again in each session.
    """
    key = "\0".join((str(sender.bare), str(to.bare), type, origin_id, text)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big", signed=True) or 1


class NewRow(NamedTuple):
    """A row to be: ``peer`` is a ``peer_key`` with its ``Mark``."""

    owner: int
    peer: int
    kind: int = Kind.NONE


class NewMessage(NamedTuple):
    """A message to be archived: ``stanza`` as UTF-8 in the namespace ``jabber:client``, once for all ``rows`` (at least
    one, no two of one owner; the sender's, if it has one, stands first).

    ``origin``: the ``origin_key`` that is remembered with the first row; 0: none. ``check``: it may be a resend. Where
    the owner of the first row has a row with the same ``origin``, whose id is at least ``check``, among its newest
    ``RESENDS``, nothing is stored. 0: it is none.
    """

    stanza: bytes
    rows: Sequence[NewRow]
    origin: int = 0
    check: int = 0


class Placed(NamedTuple):
    """What became of a ``NewMessage``: the places of its rows, in order. ``duplicate``: it was there before, and the
    only place is that of the earlier first row.
    """

    places: tuple[Place, ...]
    duplicate: bool = False


class Row(NamedTuple):
    """A row that was read. ``peer`` with its ``Mark``; ``stanza`` as in ``NewMessage``, empty where it is damaged."""

    id: int
    peer: int
    kind: int
    stanza: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which rows of an owner's history: those whose id is above ``after``, below ``before``, and whose peer has the
    ``peer_key`` ``peer``; with ``ids``: only these; with ``kind``: only those that have these bits. Hidden rows are
    none of it.
    """

    after: int = 0
    before: int = 2**63 - 1
    peer: int | None = None
    ids: tuple[int, ...] | None = None
    kind: int = Kind.NONE


class ArchiveStore(Protocol):
    """The rows of all owners."""

    @abstractmethod
    async def append(self, messages: Sequence[NewMessage]) -> list[Placed]:
        """Store all ``messages`` in order, or none; at most ``MOST_ROWS`` rows at a time.

        One call at a time for each instance: whoever calls collects meanwhile what comes next (group commit). An
        implementation that lost its connection finds out whether the batch was committed before it tries again, so that
        nothing is stored twice; ``StorageUnavailable`` when the storage stayed away for longer than its bound: then
        it is not known whether the batch is there, and if it is, it will be found by those who read.
        """

    @abstractmethod
    async def read(
        self,
        owner: int,
        query: Query,
        *,
        limit: int,
        backwards: bool = False,
        most_bytes: int | None = None,
    ) -> list[Row]:
        """The first ``limit`` rows of ``query`` in ascending order, or the last ones where ``backwards``; either way
        they are returned in ascending order. Only up to that row, in the direction of reading, with which their stanzas
        are ``most_bytes`` together: no more than one stanza above it is ever held in memory.
        """

    @abstractmethod
    async def owed(self, owner: int, *, after: int, limit: int) -> tuple[list[Row], int]:
        """The first ``limit`` rows above ``after`` that are ``Kind.OWED``, hidden ones included, and the owner's newest
        id in the same moment (0: none).
        """

    @abstractmethod
    async def marks(self, owner: int, *, after: int, limit: int) -> list[tuple[int, int, int]]:
        """``(id, peer, kind)`` of the first ``limit`` rows above ``after`` that are part of the history, in ascending
        order; cheap: no stanza is read.
        """

    @abstractmethod
    async def newest(self, owners: Iterable[int]) -> Mapping[int, int]:
        """The newest id of each of ``owners``; those without rows, and without a floor (``erase``), are left out."""

    @abstractmethod
    async def count(self, owner: int, query: Query) -> int:
        """How many rows ``query`` has; it reads an index entry for each."""

    @abstractmethod
    async def replace(self, owner: int, id: int, stanza: bytes, kind: int) -> bool:
        """Put another stanza and kind into a row (XEP-0424 tombstones); False where there is none."""

    @abstractmethod
    async def erase(self, owner: int, *, before: int, limit: int = 10_000) -> int:
        """Remove at most ``limit`` of the owner's rows below ``before``, oldest first; how many. The owner's newest id
        stays below all that come later, also when no row is left (I4).
        """

    @abstractmethod
    async def expire(self, *, before: int, limit: int = 10_000) -> int:
        """Remove rows of all owners below ``before``: whole partitions at once where the engine has them (an old row
        may stay as long as its partition has newer ones), else at most ``limit`` rows; how many rows or partitions. 0:
        nothing is left to do.
        """

    @abstractmethod
    async def forget(self, *, before: int, limit: int = 10_000) -> int:
        """Drop the content of at most ``limit`` hidden rows, of all owners, that are owed no more: those up to their
        owner's ``Cursor.upto``, and all below ``before``; how many.
        """


MOST_ROWS: Final = 400  # of one ``append``
# There is no index over origins: who looks through all that somebody wrote in a day holds up everybody's messages.
RESENDS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """What of an owner's rows is settled: every row that is owed up to the id ``upto``, and above it those in
    ``above`` (few). What is owed and not settled waits for a client.
    """

    upto: int = 0
    above: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Waiting:
    """An owner's ``cursor``, the number of rows that wait behind it (counting ends at the limit given), and the newest
    id of all rows.
    """

    cursor: Cursor
    count: int
    newest: int


class CursorStore(Protocol):
    """The cursors of all owners."""

    @abstractmethod
    async def load(self, owner: int, *, since: int, limit: int) -> Waiting:
        """Where the owner stands; a new ``Cursor`` where none was saved. Rows below ``since`` do not count as waiting,
        and counting ends at ``limit`` (0: nothing is counted).
        """

    @abstractmethod
    async def weigh(self, owner: int, *, since: int, limit: int) -> int:
        """How many bytes the first ``limit`` rows that wait take, as they are stored; ``since`` as in ``load``."""

    @abstractmethod
    async def save(self, cursors: Mapping[int, Cursor]) -> None:
        """Save each owner's cursor. What another node has settled stays settled: the larger ``upto`` holds, and ids
        above it of both.
        """


class Conversation(NamedTuple):
    """One line of a chat list: the conversation with the ``peer_key`` ``peer`` (no ``Mark``). ``last``: its newest row;
    ``message``: the newest one that is an instant message (``Mark.UNREAD``, whoever sent it); ``unread``: how many
    messages are not read; ``read``: an id, not always that of a row, up to which everything is.
    """

    peer: int
    last: int
    message: int
    unread: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An owner's chat list as of the row ``upto``; rows behind it are not in it yet. ``version`` tells one that was
    saved from the one that it replaced, also where both end at the same row; 0: none was saved yet.
    """

    upto: int = 0
    conversations: tuple[Conversation, ...] = ()
    version: int = 0


class ChatListStore(Protocol):
    """Checkpoints of chat lists (DESIGN 6): written when they are read, not for each message."""

    @abstractmethod
    async def load(self, owner: int) -> Checkpoint:
        """The owner's checkpoint; an empty one where none was saved."""

    @abstractmethod
    async def save(self, owner: int, checkpoint: Checkpoint) -> bool:
        """Replace the checkpoint that has the ``version`` of ``checkpoint`` (0: none is there); what is saved has the
        next version. False where another was saved meanwhile, or the account was deleted, and then nothing has
        changed.
        """


@dataclass(frozen=True, slots=True)
class Preferences:
    """XEP-0441: whose messages go into an owner's history. ``default`` is ``always``, ``never`` or ``roster``;
    ``days``: what is older is erased; None: as the server keeps all.
    """

    default: str = "always"
    always: frozenset[Jid] = frozenset()
    never: frozenset[Jid] = frozenset()
    days: int | None = None


class PreferenceStore(Protocol):
    """XEP-0441 preferences, and retention by owner."""

    @abstractmethod
    async def load(self, owner: int) -> Preferences | None:
        """What the owner wants; None: nothing was ever said."""

    @abstractmethod
    async def save(self, owner: int, preferences: Preferences) -> None:
        """All but ``days``, which is not the owner's to say: that stays."""

    @abstractmethod
    async def set_days(self, owner: int, days: int | None) -> None:
        """Change ``days`` alone; the rest stays."""

    @abstractmethod
    async def with_days(self, *, after: int = 0, limit: int = 1_000) -> list[tuple[int, int]]:
        """``(owner, days)`` of owners above ``after`` that have a retention of their own, in order."""


class PendingStore(Protocol):
    """The rows that are ``Kind.PENDING``. What they ask for may take long, and is begun again after a crash."""

    @abstractmethod
    async def list(self, *, after: tuple[int, int] = (0, 0), limit: int = 1_000) -> list[tuple[int, int]]:
        """``(owner, id)`` of the first ``limit`` of them behind the row ``after``, in order; cheap: there are few."""

    @abstractmethod
    async def done(self, owner: int, id: int) -> None:
        """Nothing is left to be done because of that row; it may not be there any more."""


class DictionaryStore(Protocol):
    """Dictionaries trained on this server's messages (``packing``); rows need them as long as they are there."""

    @abstractmethod
    async def load(self) -> Mapping[int, bytes]:
        """All of them, by number."""

    @abstractmethod
    async def add(self, content: bytes) -> int:
        """Store another one; its number, above all others. ``ValueError`` where all numbers are taken."""

    @abstractmethod
    async def sample(self, number: int) -> list[bytes]:
        """About so many stanzas from all over the archive, each once; fewer where there are fewer."""
