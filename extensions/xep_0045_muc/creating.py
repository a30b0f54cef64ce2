"""Rooms begin with the first who enters (XEP-0045#createroom)."""

from __future__ import annotations

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.settings import RoomConfig
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation, RoomExists


class Creating:
    def __init__(self, rooms: Rooms, may_create: object = None) -> None:
        self._rooms = rooms

    async def create(self, jid: Jid, owner: Jid) -> Room:
        """A new room, which its ``owner`` (bare) has to configure before others may enter. Where somebody else was
        faster, the room that he made.
        """
        try:
            return await self._rooms.create(
                jid, RoomConfig(locked=True), {owner: Affiliated(Affiliation.OWNER)}
            )
        except RoomExists:
            room = await self._rooms.get(jid)
            if room is None:
                raise StanzaError("item-not-found", "the room was destroyed in this moment") from None
            return room
