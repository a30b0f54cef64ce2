"""The chat list of an account: who it talked to, what was said last, how much is unread (DESIGN 6).

No message writes to it. Each account has a checkpoint; to read the list is to load that and to look at the rows that
came behind it: at their keys only, and at the markers among those that the account's clients sent. A checkpoint is
written when somebody reads the list and much came behind it, or marks messages as read in a way that leaves no row.
Nodes and devices may do so at once: who finds the checkpoint changed does it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Final

from xmppd.im.authors import without_author
from xmppd.im.backwards import Backwards
from xmppd.im.chat_draft import Draft
from xmppd.im.envelope import Envelope
from xmppd.im.markers import displayed
from xmppd.im.room_lines import RoomLines, room_of
from xmppd.jid import Jid
from xmppd.logs import fields
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import (
    ArchiveStore,
    ChatListStore,
    Conversation,
    Kind,
    Mark,
    Query,
    Row,
    peer_key,
)
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks
from xmppd.xml.fragment import from_bytes

log = logging.getLogger("xmppd.im")

_SCAN: Final = 5_000  # keys that are read at once
_MARKERS: Final = 500  # markers
_REWRITE: Final = 200  # to read so many keys again costs less than to write a checkpoint
_TRIES: Final = 10  # each time, somebody else was faster
_LOOK_BACK: Final = (
    1_000  # messages that are looked through for what a marker is about, or to be counted again
)
_RECOUNTED: Final = 100  # conversations whose unread messages are counted again in one reading
_NEWEST: Final = 2**63 - 1
_TYPES: Final = frozenset({"chat", "normal"})
_PENDING: Final = 256  # markers of one account that wait; the oldest give way

Reached = Callable[[Row], bool]


@dataclass(slots=True)
class Told:
    """The messages of ``peer`` that markers were about, the last of which is in the row ``row``."""

    peer: Jid
    row: int
    ids: set[str]


@dataclass(frozen=True, slots=True)
class ChatList:
    """The conversations of an account, the one with the newest message first. ``rooms``: the addresses of those that
    are rooms, by the rooms' ids.
    """

    conversations: tuple[Conversation, ...]
    rooms: Mapping[int, Jid] = field(default_factory=dict)

    @property
    def unread(self) -> int:
        """How many conversations have unread messages."""
        return sum(1 for line in self.conversations if line.unread)

    @property
    def unread_messages(self) -> int:
        """How many messages are unread in all of them."""
        return sum(line.unread for line in self.conversations)


@dataclass(frozen=True, slots=True)
class Line:
    """A conversation as it is shown: with the bare address ``peer``, and its newest instant message, which is in the
    archive of ``owner``: the account, or the room.
    """

    owner: int
    peer: Jid
    conversation: Conversation
    message: Row


class ChatLists:
    """The chat lists of all accounts; ``owner`` is an account's id."""

    def __init__(self, archive: ArchiveStore, store: ChatListStore, tasks: Tasks, *, limit: int) -> None:
        """A list holds at most ``limit`` conversations with people (0: any number); the oldest without unread messages
        fall off.
        """
        self._archive = archive
        self._store = store
        self._tasks = tasks
        self._limit = limit
        self._rooms: RoomLines | None = None
        self._pending: dict[int, dict[tuple[Jid, str], None]] = {}  # markers by owner, oldest first
        self._working: dict[int, asyncio.Task[None]] = {}

    def show_rooms(self, rooms: RoomLines) -> None:
        """From here on, rooms are in the lists."""
        self._rooms = rooms

    async def read(self, owner: int, user: Jid | None = None) -> ChatList:
        """The whole list, with the markers that this node was told of before; with the rooms of ``user``, the account's
        bare address, if that is given.
        """
        if (working := self._working.get(owner)) is not None:
            await asyncio.wait((working,))
        draft = await self._draft(owner)
        await self._forget_erased(owner, draft)
        addresses: Mapping[int, Jid] = {}
        if self._rooms is not None and user is not None:
            addresses = await self._rooms.update(draft, user)
        checkpoint = draft.checkpoint(self._limit)
        if draft.changes >= _REWRITE:
            # Where another one was saved meanwhile, that is as good.
            await self._store.save(owner, checkpoint)
        # A room in which nothing was said yet has nothing to show, nor an id.
        return ChatList(
            tuple(
                line
                for line in checkpoint.conversations
                if line.message and ((room := room_of(line)) is None or room in addresses)
            ),
            addresses,
        )

    async def lines(
        self,
        owner: int,
        conversations: Sequence[Conversation],
        rooms: Mapping[int, Jid] = MappingProxyType({}),
    ) -> AsyncGenerator[Line, None]:
        """``conversations``, which are in order, with their last messages, newest first; those whose message was erased
        meanwhile are left out. ``rooms`` as in their ``ChatList``.
        """
        for room, together in groupby(conversations, room_of):
            if room is not None:
                for line in together:
                    for row in await self._archive.read(room, Query(ids=(line.message,)), limit=1):
                        if row.stanza:
                            yield Line(
                                room, rooms[room], line, row._replace(stanza=without_author(row.stanza))
                            )
                continue
            by_message = {line.message: line for line in together}
            rows = Backwards(self._archive, owner, Query(ids=tuple(by_message)), most=len(by_message))
            while portion := await rows.next():
                for row in portion:
                    yield Line(owner, _peer(row), by_message[row.id], row)

    async def mark(self, owner: int, peer: Jid, upto: int) -> bool:
        """What ``peer`` sent up to the row ``upto`` is read; False where nothing changed. It never makes anything
        unread (XEP-0333#rules).

        Only the newest 1,000 unread messages of a conversation are looked at.
        """
        return await self._advance(owner, {peer.bare: lambda row: row.id <= upto})

    async def taken_back(self, owner: int, row: Row) -> None:
        """The message in ``row`` was taken back (XEP-0424): there is nothing to read in it any more.

        What reads the list from here on sees that by itself; only what was counted before is counted again.
        """
        key = row.peer & ~0b11
        for _ in range(_TRIES):
            draft = Draft(await self._store.load(owner))
            line = draft.get(key)
            if line is None or not line.unread or not line.read < row.id <= draft.upto:
                return
            unread = await self._unread(owner, key, line.read, draft.upto + 1)
            draft.mark(key, read=line.read, unread=line.unread - 1 if unread is None else unread)
            if await self._store.save(owner, draft.checkpoint(self._limit)):
                return

    def after_sent(self, message: Message, session: Session) -> None:
        """Take note of the markers in what a client sent, unless its archive has them."""
        if not message.row and message.to is not None and message.type in _TYPES:
            for id in displayed(message.children):
                self.displayed(session.account.id, message.to, id)

    def displayed(self, owner: int, peer: Jid, id: str) -> None:
        """A client showed the message that ``peer`` gave the ``id``: what ``peer`` sent up to it is read, soon
        (XEP-0333). Of several messages with that id, which only a strange client sends, it is the newest.
        """
        pending = self._pending.setdefault(owner, {})
        pending[peer.bare, id] = None
        if len(pending) > _PENDING:
            del pending[next(iter(pending))]
        if owner not in self._working:
            self._working[owner] = self._tasks.start(f"read markers of {owner}", self._work(owner))

    async def _work(self, owner: int) -> None:
        try:
            while pending := self._pending.pop(owner, None):
                wanted: dict[Jid, set[str]] = {}
                for peer, id in pending:
                    wanted.setdefault(peer, set()).add(id)
                await self._advance(owner, {peer: _shows(peer, ids) for peer, ids in wanted.items()})
        except StorageUnavailable as err:
            # What is read is marked again with the next message: markers are a heuristic (XEP-0333#intro).
            log.warning("messages stay unread: %s", err, extra=fields(owner=owner))
        finally:
            self._pending.pop(owner, None)
            del self._working[owner]

    async def _advance(self, owner: int, reached: Mapping[Jid, Reached]) -> bool:
        """In the conversation with each peer, everything is read from the newest row that was ``reached`` on, back to
        the first.
        """
        for _ in range(_TRIES):
            draft = await self._draft(owner)
            moved = [await self._look_back(owner, draft, peer, test) for peer, test in reached.items()]
            if not any(moved):
                return False
            if await self._store.save(owner, draft.checkpoint(self._limit)):
                return True
        raise StorageUnavailable(f"{_TRIES} times others changed the chat list while it was being changed")

    async def _draft(self, owner: int) -> Draft:
        """The list as of now."""
        draft = Draft(await self._store.load(owner))
        told: dict[int, Told] = {}
        while True:
            rows = await self._archive.marks(owner, after=draft.upto, limit=_SCAN)
            if rows:
                after = draft.upto
                draft.fold(rows)
                for marker in await self._markers(owner, after, rows):
                    _note(told, marker, draft)
            if len(rows) < _SCAN:
                break
        for key, last in told.items():
            line = draft.get(key)
            if line is not None and line.read < last.row:
                unread = draft.unread_behind_marker(key)
                await self._look_back(owner, draft, last.peer, _shows(last.peer, last.ids), last.row, unread)
        return draft

    async def _markers(self, owner: int, after: int, among: Sequence[tuple[int, int, int]]) -> list[Row]:
        """Those rows above ``after``, ``among`` these, that tell what is read."""
        found: list[Row] = []
        while any(kind & Kind.MARKER for _, _, kind in among):
            query = Query(after=after, before=among[-1][0] + 1, kind=Kind.MARKER)
            rows = await self._archive.read(owner, query, limit=_MARKERS)
            found += rows
            if len(rows) < _MARKERS:
                break
            after = rows[-1].id
        return found

    async def _look_back(
        self, owner: int, draft: Draft, peer: Jid, reached: Reached, before: int = _NEWEST, unread: int = 0
    ) -> bool:
        """Mark as read what stands at or before the newest row that was ``reached``; False where that is nothing. The
        row is below the id ``before``, where ``unread`` messages are not.
        """
        key = peer_key(peer)
        line = draft.get(key)
        if line is None or not line.unread:
            return False
        query = Query(after=line.read, before=min(before, line.last + 1), peer=key)
        rows = Backwards(self._archive, owner, query, most=_LOOK_BACK)
        while portion := await rows.next():
            for row in portion:
                if row.peer & Mark.SENT:
                    continue  # XEP-0333#rules: one's own messages are not marked
                if reached(row):
                    if unread == line.unread:
                        return False
                    draft.mark(key, read=row.id, unread=unread)
                    return True
                unread += _is_new(row)
        return False

    async def _forget_erased(self, owner: int, draft: Draft) -> None:
        """Leave out what is not in the archive any more: the oldest goes first."""
        oldest = await self._archive.read(owner, Query(), limit=1)
        floor = oldest[0].id if oldest else draft.upto + 1
        draft.drop_before(floor)
        partly = [line for line in draft if line.unread and line.read < floor - 1]
        for line in partly[:_RECOUNTED]:
            unread = await self._unread(owner, line.peer, floor - 1, line.last + 1)
            if unread is not None:
                draft.mark(line.peer, read=floor - 1, unread=unread)

    async def _unread(self, owner: int, peer: int, after: int, before: int) -> int | None:
        """How many messages of ``peer`` between these ids count as unread; None: there are too many to look."""
        rows = Backwards(self._archive, owner, Query(after=after, before=before, peer=peer), most=_LOOK_BACK)
        unread = 0
        while portion := await rows.next():
            unread += sum(map(_is_new, portion))
        return unread if rows.ended else None


def _is_new(row: Row) -> bool:
    """Whether ``row`` is a message to the owner that counts as unread until it is read."""
    return row.peer & 0b11 == Mark.UNREAD and not row.kind & Kind.TOMBSTONE


def _peer(row: Row) -> Jid:
    envelope = Envelope.of(row.stanza)
    return Jid.parse(envelope.to if row.peer & Mark.SENT else envelope.sender).bare


def _note(told: dict[int, Told], marker: Row, draft: Draft) -> None:
    """Add ``marker``, a row that was folded, to what was ``told``, if it may change anything."""
    key = marker.peer & ~0b11
    line = draft.get(key)
    if line is None or not line.unread or marker.id <= line.read or not marker.stanza:
        return
    ids = displayed(from_bytes(marker.stanza).children)
    if key not in told:
        told[key] = Told(_peer(marker), marker.id, set())
    told[key].row = marker.id
    told[key].ids.update(ids)


def _shows(peer: Jid, ids: set[str]) -> Reached:
    """Whether a row is one of the messages ``ids`` of ``peer``."""
    address = str(peer)

    def reached(row: Row) -> bool:
        envelope = Envelope.of(row.stanza)
        return envelope.id in ids and envelope.sender.partition("/")[0] == address

    return reached
