"""The rooms in a chat list: those in which an account is owner, admin or member, be it there or not (DESIGN 6).

A room's archive has one row for each message, whoever reads it, so a message to a room writes nothing for its members.
What each has read is found when they look: own messages and markers (XEP-0333#muc) are rows of that archive, too.

A line's ``last``, ``message`` and ``read`` are rows of the room's archive. Its ``peer`` is the room's number, made odd,
which no ``peer_key`` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xmppd.im.chat_draft import Draft
from xmppd.im.markers import displayed
from xmppd.im.stanza_ids import StanzaIds
from xmppd.jid import Jid
from xmppd.storage.archive import ArchiveStore, Conversation, Kind, Mark, Query, peer_key
from xmppd.storage.rooms import RoomStore
from xmppd.xml.fragment import from_bytes

_SCAN: Final = 5_000  # keys that are read at once
_MOST: Final = 20_000  # keys behind what is read; the markers of all members are among them
_NEWEST: Final = 1_000  # messages that are looked at where there are more
_NEWEST_BYTES: Final = 1_048_576
_PEER: Final = ~0b11
_MARKERS: Final = 100  # of the account's own ones, the newest

_Key = tuple[int, int, int]  # id, peer with its Mark, Kind


def line_of(room: int) -> int:
    """The ``Conversation.peer`` that stands for the room with that id."""
    return room << 2 | 1


def room_of(line: Conversation) -> int | None:
    """The id of the room that ``line`` is about; None: it is a conversation with a person."""
    return line.peer >> 2 if line.peer & 1 else None


class RoomLines:
    """Brings the rooms in chat lists up to date."""

    def __init__(self, archive: ArchiveStore, store: RoomStore, ids: StanzaIds) -> None:
        self._archive = archive
        self._store = store
        self._ids = ids

    async def update(self, draft: Draft, user: Jid) -> Mapping[int, Jid]:
        """Put the rooms of ``user`` (bare) into ``draft``, and no others; the address of each, by its id.

        A room in which all is read and nothing was said since costs nothing but its share of one query.
        """
        addresses = {each.id: each.jid for each in await self._store.memberships(user)}
        draft.keep_rooms({line_of(room) for room in addresses})
        newest = await self._archive.newest(addresses) if addresses else {}
        for room, last in newest.items():
            known = draft.room(line_of(room))
            # What is unread is counted again: it may have been taken back or erased since.
            if known.last < last or known.unread:
                draft.set_room(await self._line(room, known, last, peer_key(user)))
        return addresses

    async def _line(self, room: int, known: Conversation, last: int, me: int) -> Conversation:
        keys = await self._behind(room, known.read)
        read = max(known.read, await self._read_upto(room, keys, me))
        message, unread = known.message, 0
        for id, marked, kind in keys:
            if marked & Mark.UNREAD:
                message = max(message, id)
                unread += id > read and marked & _PEER != me and not kind & Kind.TOMBSTONE
        if not message:
            message = max(
                (id for id, marked, _ in await self._latest(room) if marked & Mark.UNREAD), default=0
            )
        return Conversation(known.peer, last, message, unread, read)

    async def _behind(self, room: int, read: int) -> list[_Key]:
        """What stands behind the row ``read``; where that is too much, the newest of it."""
        keys: list[_Key] = []
        while len(keys) < _MOST:
            portion = await self._archive.marks(room, after=keys[-1][0] if keys else read, limit=_SCAN)
            keys += portion
            if len(portion) < _SCAN:
                return keys
        return await self._latest(room)

    async def _latest(self, room: int) -> list[_Key]:
        rows = await self._archive.read(
            room, Query(), limit=_NEWEST, backwards=True, most_bytes=_NEWEST_BYTES
        )
        return [(row.id, row.peer, row.kind) for row in rows]

    async def _read_upto(self, room: int, keys: list[_Key], me: int) -> int:
        """The newest row that is read because of what the account with the ``peer_key`` ``me`` said (XEP-0430 (Unread
        Messages)); 0: nothing is.
        """
        own = [key for key in keys if key[1] & _PEER == me]
        answered = max((id for id, marked, _ in own if marked & Mark.UNREAD), default=0)
        markers = [id for id, _, kind in own if kind & Kind.MARKER and id > answered][-_MARKERS:]
        read = answered
        if markers:
            for row in await self._archive.read(room, Query(ids=tuple(markers)), limit=_MARKERS):
                if row.stanza:
                    read = max(read, self._told(room, row.id, row.stanza))
        return read

    def _told(self, room: int, marker: int, stanza: bytes) -> int:
        """Up to where ``stanza``, in the row ``marker``, says that one has read.

        XEP-0333#muc: the ids in rooms are those that the room gave.
        """
        rows = (self._ids.row(room, id) for id in displayed(from_bytes(stanza).children))
        return max((row for row in rows if row is not None and row < marker), default=0)
