"""The rooms in a node's memory: those with somebody in them stay, others are cached within a bound."""

from __future__ import annotations

import os
from collections.abc import Mapping

from xmppd.clock import Clock
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, encoded
from xmppd.jid import Jid
from xmppd.sessions.cache import Cache
from xmppd.storage.rooms import Affiliated, NoSuchRoom, RoomStore


class Rooms:
    """Finds rooms by address; the one who creates and destroys them."""

    def __init__(self, store: RoomStore, clock: Clock, *, capacity: int) -> None:
        self._store = store
        self._clock = clock
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
        """The room is no more, with its lists and its history. Nobody is in it."""
        room.gone = True
        await self._store.destroy(room.id)
        self._used.pop(room.jid, None)
        self._cache.forget(room.jid)

    def left(self, room: Room) -> None:
        """Somebody has left ``room``; when nobody is there any more, it is kept in the cache only."""
        if not room.attending and room.turns.idle:
            self._used.pop(room.jid, None)

    async def _load(self, jid: Jid) -> Room:
        record = await self._store.load(jid)
        if record is None:
            raise NoSuchRoom(str(jid))
        return Room(record)

    def _evicted(self, jid: Jid, room: Room) -> None:
        if room.attending or not room.turns.idle:
            self._used[jid] = room
