"""Rooms begin with the first who enters (XEP-0045#createroom)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.settings import RoomConfig
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation, RoomExists, RoomStore


class Creating:
    def __init__(self, rooms: Rooms, store: RoomStore, may_create: Callable[[Jid], bool], most: int) -> None:
        """``may_create``: whether somebody (bare) may make rooms at all. Nobody who owns ``most`` makes another one."""
        self._rooms = rooms
        self._store = store
        self._may_create = may_create
        self._most = most
        self._begun = Counter[Jid]()  # rooms by owner that are not yet in the storage

    async def create(self, jid: Jid, owner: Jid) -> Room:
        """A new room, which its ``owner`` (bare) has to configure before others may enter. Where somebody else was
        faster, the room that he made. ``not-allowed`` for who may not make rooms, or makes too many.
        """
        if not self._may_create(owner):
            raise StanzaError("not-allowed", "there is no such room, and you may not make one")
        self._begun[owner] += 1
        try:
            owned = await self._store.memberships(owner)
            count = sum(each.affiliation is Affiliation.OWNER for each in owned)
            if count + self._begun[owner] > self._most:
                raise StanzaError("not-allowed", f"you own {count} rooms, of at most {self._most}")
            return await self._rooms.create(
                jid, RoomConfig(locked=True), {owner: Affiliated(Affiliation.OWNER)}
            )
        except RoomExists:
            room = await self._rooms.get(jid)
            if room is None:
                raise StanzaError("item-not-found", "the room was destroyed in this moment") from None
            return room
        finally:
            self._begun[owner] -= 1
            if not self._begun[owner]:
                del self._begun[owner]
