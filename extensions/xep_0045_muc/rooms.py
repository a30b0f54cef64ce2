"""The rooms in a node's memory: those with somebody in them stay, others are cached within a bound."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from functools import partial

from xmppd.clock import Clock
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, encoded
from xmppd.extensions.xep_0045_muc.turns import Turns
from xmppd.jid import Jid
from xmppd.sessions.cache import Cache
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.rooms import Affiliated, NoSuchRoom, RoomStore
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.rooms")


class Rooms:
    """Finds rooms by address; the one who creates and destroys them."""

    def __init__(self, store: RoomStore, clock: Clock, tasks: Tasks, *, capacity: int) -> None:
        """``capacity``: rooms in the cache; those with somebody in them stay in memory beyond it."""
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._used: dict[Jid, Room] = {}  # what the cache had to let go while somebody was in it
        self._cache: Cache[Jid, Room] = Cache(self._load, capacity, self._evicted)

    def peek(self, jid: Jid) -> Room | None:
        """The room ``jid`` (bare) if it is in memory; waits for nothing."""
        return self._used.get(jid) or self._cache.peek(jid)

    async def get(self, jid: Jid) -> Room | None:
        """The room ``jid`` (bare); None where there is none."""
        if (room := self._used.get(jid)) is not None:
            return room
        try:
            return await self._cache.get(jid)
        except NoSuchRoom:
            return None

    def loaded(self) -> Iterator[Room]:
        """All rooms in memory."""
        yield from tuple(self._used.values())
        yield from self._cache.values()

    def forget(self, jid: Jid) -> None:
        """The room ``jid`` (bare), which is not in memory, was changed in the storage: who is loading it loads it once
        more.
        """
        self._cache.forget(jid)

    async def create(self, jid: Jid, config: RoomConfig, affiliations: Mapping[Jid, Affiliated]) -> Room:
        """Make a room. ``RoomExists`` where somebody else was faster."""
        await self._store.create(
            jid, encoded(config), affiliations, secret=os.urandom(16), now=self._clock.now()
        )
        self._cache.forget(jid)
        room = await self.get(jid)
        if room is None:
            raise NoSuchRoom(str(jid))
        return room

    async def destroy(self, room: Room) -> None:
        """The room is no more, with its lists and its history; in its turn. Nobody is in it any more, or will be.

        Where the storage fails, all is as before.
        """
        await room.turns.stored()
        await self._store.destroy(room.id)
        room.gone = True
        self._used.pop(room.jid, None)
        self._cache.forget(room.jid)

    def left(self, room: Room) -> None:
        """Somebody has left ``room``, in its turn. With the last one a temporary room ends (XEP-0045#exit); any other
        is kept in the cache only.
        """
        if not room.attending and not room.gone and (room.jid in self._used or not room.config.persistent):
            room.turns.take(partial(self._vacate, room))

    async def _vacate(self, room: Room) -> None:
        """Nobody is in ``room``, it seems; in its turn, for that may have changed before this came."""
        await room.turns.stored()
        if room.attending or room.gone:
            return
        if not room.config.persistent:
            try:
                await self.destroy(room)
            except StorageUnavailable as err:
                log.error("the empty room %s cannot be destroyed now: %s", room.jid, err)
        elif room.turns.wanted:
            self.left(room)  # somebody has it and waits: later
        else:
            self._used.pop(room.jid, None)

    async def _load(self, jid: Jid) -> Room:
        record = await self._store.load(jid)
        if record is None:
            raise NoSuchRoom(str(jid))
        return Room(record, Turns(f"room {jid}", self._tasks))

    def _evicted(self, jid: Jid, room: Room) -> None:
        if room.attending or not room.turns.idle:
            self._used[jid] = room
