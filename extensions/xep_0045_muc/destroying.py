"""Rooms end: by their owner (XEP-0045#destroyroom), or, if they are temporary, with the last
who leaves (rooms.py), of which a crash may have kept the server.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from xmppd.extensions.xep_0045_muc.entering import Entering
from xmppd.extensions.xep_0045_muc.names import USER
from xmppd.extensions.xep_0045_muc.presence import Change
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.settings import decoded
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.storage.rooms import Affiliation, RoomStore
from xmppd.xml.element import Element, text_element

_PAGE: Final = 500  # rooms looked at a time


@dataclass(frozen=True, slots=True)
class Farewell:
    """What those in a room hear at its end: where they meet from now on, with which ``password``, and why; each None or
    "" where it is not said.
    """

    venue: Jid | None = None
    password: str = ""
    reason: str = ""

    @classmethod
    def parse(cls, destroy: Element) -> Self:
        """``destroy``: ``<destroy xmlns='…muc#owner'/>``. ``jid-malformed`` where the venue is no address."""
        venue = destroy.get("jid")
        password, reason = destroy.child("password"), destroy.child("reason")
        return cls(
            None if venue is None else Jid.of(venue),
            "" if password is None else password.text(),
            "" if reason is None else reason.text(),
        )

    def xml(self) -> Element:
        children: list[Element | str] = []
        if self.password:
            children.append(text_element("password", USER, self.password))
        if self.reason:
            children.append(text_element("reason", USER, self.reason))
        return Element("destroy", USER, {} if self.venue is None else {"jid": str(self.venue)}, children)


class Destroying:
    def __init__(self, rooms: Rooms, store: RoomStore, entering: Entering) -> None:
        self._rooms = rooms
        self._store = store
        self._entering = entering

    async def destroy(self, room: Room, farewell: Farewell) -> None:
        """The end of ``room``, in its turn. Each client there is told of itself alone (XEP-0045#destroyroom)."""
        await self._rooms.destroy(room)
        end = Change(affiliation=Affiliation.NONE, destroyed=farewell.xml())
        self._entering.dismiss(room, end)

    async def sweep(self, domains: Collection[str]) -> None:
        """End temporary rooms of ``domains`` (of the service) that a crash left behind: nobody will leave them."""
        for domain in domains:
            after: Jid | None = None
            while page := await self._store.list(domain, after=after, limit=_PAGE):
                for summary in page:
                    if not decoded(summary.config).persistent:
                        await self._end_left_over(summary.jid)
                after = page[-1].jid

    async def _end_left_over(self, jid: Jid) -> None:
        room = await self._rooms.get(jid)
        if room is not None:
            waiting = room.turns.take(partial(self._end_if_empty, room))
            if waiting is not None:
                await waiting

    def _end_if_empty(self, room: Room) -> Waiting:
        if room.gone or room.attending or room.config.persistent:
            return None
        return self._rooms.destroy(room)
