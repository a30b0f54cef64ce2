"""Brings what is said in a room to all who are in it, in the order of the room's archive.

Each row tells which one was the newest before it (``Place.prev``). Where that one was not shown, since the storage lost
its answer and nobody knew that it is there, what is missing is read from the archive first: everybody sees the same,
as soon as it is known (DESIGN I3).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Attendance, Room
from xmppd.extensions.xep_0045_muc.stored import shown
from xmppd.im.archiver import Archiver
from xmppd.im.stanza_ids import StanzaIds
from xmppd.jid import Jid
from xmppd.stanza import Message, Place
from xmppd.storage.archive import ArchiveStore, Query, Row
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

_AGAIN: Final = 10.0  # seconds between two tries to read what is missing
_STEP: Final = 50  # rows that are read at once
_STEP_BYTES: Final = 262_144


class Talk:
    """How far all in a room have seen what is said. ``seen``: the newest row; None: not known yet. ``waiting``: what
    came, with its row (0: none), while what is missing before it is read; None: nothing is missing.
    """

    __slots__ = ("seen", "waiting")

    def __init__(self) -> None:
        self.seen: int | None = None
        self.waiting: deque[tuple[Message, int]] | None = None

    def has_seen(self, row: int) -> None:
        if self.seen is None or row > self.seen:
            self.seen = row


class Reflecting:
    """The only one who shows the messages of rooms to those who are in them."""

    def __init__(
        self,
        archive: ArchiveStore,
        archiver: Archiver,
        ids: StanzaIds,
        post: Post,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._archive = archive
        self._archiver = archiver
        self._ids = ids
        self._post = post
        self._clock = clock
        self._tasks = tasks
        self._talks = WeakKeyDictionary[Room, Talk]()

    def stored(self, room: Room, said: Message, place: Place) -> None:
        """``said``, without the name that it has there, is at ``place`` in the archive of ``room``."""
        said = said.identified(room.jid, self._ids.text(room.id, place.id), place)
        talk = self._talk(room)
        if talk.waiting is not None:
            talk.waiting.append((said, place.id))
        elif talk.seen is not None and place.prev > talk.seen:
            self._start(room, talk, (said, place.id))
        else:
            talk.seen = place.id
            self._show(room, said, place.id)

    def passed(self, room: Room, said: Message) -> None:
        """``said`` is not stored, and its turn has come."""
        talk = self._talk(room)
        if talk.waiting is not None:
            talk.waiting.append((said, 0))
        else:
            self._show(room, said, 0)

    def doubt(self, room: Room) -> None:
        """Something may be in the archive of which its writer did not hear: look for it, once the storage may be back,
        even if nothing comes that would tell of it.
        """
        self._clock.call_later(_AGAIN, partial(self.look_again, room))

    def look_again(self, room: Room) -> None:
        talk = self._talk(room)
        if talk.waiting is None and talk.seen is not None and room.attending:
            self._start(room, talk)

    def again(self, room: Room, place: Place, client: Jid) -> None:
        """What ``client`` said is at ``place`` already, and it does not know: it gets it again. Nobody else does, who
        has it.
        """
        talk = self._talk(room)
        if talk.seen is not None and place.id > talk.seen:
            self.look_again(room)
        else:
            self._tasks.start(f"{client} hears itself again", self._repeat(room, place.id, client))

    async def begin(self, room: Room) -> None:
        """Somebody enters: find out what was said at last, unless that is known."""
        talk = self._talk(room)
        if talk.seen is None:
            newest = (await self._archive.newest([room.id])).get(room.id, 0)
            await self._archiver.heard()
            talk.has_seen(newest)

    async def caught_up(self, room: Room, row: int) -> None:
        """Somebody has read the archive up to ``row``. What of that is still missing for the others, they get now, so
        that it does not come to him again.
        """
        await self._archiver.heard()
        talk = self._talk(room)
        if talk.seen is not None and row > talk.seen and talk.waiting is None:
            talk.waiting = deque()
            await self._catch_up(room, talk)

    def name(self, room: Room, row: Row) -> str:
        """What ``row`` of the archive of ``room`` is called."""
        return self._ids.text(room.id, row.id)

    # What is missing

    def _start(self, room: Room, talk: Talk, *first: tuple[Message, int]) -> None:
        talk.waiting = deque(first)
        self._tasks.start(f"what was missed in {room.jid}", self._catch_up(room, talk))

    async def _catch_up(self, room: Room, talk: Talk) -> None:
        assert talk.seen is not None
        try:
            while rows := await self._archive.read(
                room.id, Query(after=talk.seen), limit=_STEP, most_bytes=_STEP_BYTES
            ):
                for row in rows:
                    if row.stanza:
                        self._show(room, self._late(room, row), row.id)
                    talk.seen = row.id
        except StorageUnavailable:
            # What waits must not overtake it, and while the storage is away there is little of that.
            self._clock.call_later(_AGAIN, partial(self._try_again, room, talk))
            return
        waiting, talk.waiting = talk.waiting or deque(), None
        for said, row_id in waiting:
            if row_id == 0 or row_id > talk.seen:
                self._show(room, said, row_id)
                talk.seen = max(talk.seen, row_id)

    def _try_again(self, room: Room, talk: Talk) -> None:
        self._tasks.start(f"what was missed in {room.jid}", self._catch_up(room, talk))

    def _late(self, room: Room, row: Row) -> Message:
        delay = Element("delay", ns.DELAY, {"from": str(room.jid), "stamp": stamp(row.id / 1e6)})
        return shown(room, row, self.name(room, row), delay)

    async def _repeat(self, room: Room, id: int, client: Jid) -> None:
        try:
            rows = await self._archive.read(room.id, Query(ids=(id,)), limit=1)
        except StorageUnavailable:
            return  # it is told nothing, as if its connection had been lost once more
        occupant = room.attending.get(client)
        if occupant is None or not rows or not rows[0].stanza:
            return
        self._give(occupant.clients[client], shown(room, rows[0], self.name(room, rows[0])), id)

    def _show(self, room: Room, said: Message, row: int) -> None:
        said.wire()  # once for all
        for _, client in room.clients():
            self._give(client, said, row)

    def _give(self, client: Attendance, said: Message, row: int) -> None:
        if client.held is not None:
            client.held.append((said, row))
        else:
            self._post.to_client(client, said)

    def _talk(self, room: Room) -> Talk:
        talk = self._talks.get(room)
        if talk is None:
            talk = self._talks[room] = Talk()
        return talk
