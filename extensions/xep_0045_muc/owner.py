"""What owners ask of a room: its settings, and its end (XEP-0045#createroom, #roomconfig, #destroyroom)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import msgspec

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.consequences import Consequences
from xmppd.extensions.xep_0045_muc.destroying import Destroying, Farewell
from xmppd.extensions.xep_0045_muc.form import ConfigForm, Wish
from xmppd.extensions.xep_0045_muc.lists import Actor, Lists
from xmppd.extensions.xep_0045_muc.names import OWNER
from xmppd.extensions.xep_0045_muc.requests import RoomRequest
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, encoded
from xmppd.routing.iq import Name
from xmppd.storage.rooms import Affiliation, RoomStore
from xmppd.xml.element import Element


@dataclass(frozen=True, slots=True)
class AskSettings:
    """``<query xmlns='…muc#owner'/>`` in a get: the form, please."""

    TAG: ClassVar[Name] = Name(OWNER, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Order:
    """``<query xmlns='…muc#owner'/>`` in a set: a form of type submit, or the end of the room; ``what`` is None where
    the owner only breaks off what would have become a form.
    """

    TAG: ClassVar[Name] = Name(OWNER, "query")
    what: Element | Farewell | None

    @classmethod
    def parse(cls, element: Element) -> Self:
        form, destroy = element.child("x", ns.DATA_FORMS), element.child("destroy")
        if (form is None) is (destroy is None):
            raise StanzaError("bad-request", "send either a form of type submit or cancel, or <destroy/>")
        if destroy is not None:
            return cls(Farewell.parse(destroy))
        assert form is not None
        type = form.get("type")
        if type not in ("submit", "cancel"):
            raise StanzaError("bad-request", f"the form is of type submit or cancel, not {type!r}")
        return cls(form if type == "submit" else None)


class Owners:
    def __init__(
        self,
        rooms: Rooms,
        store: RoomStore,
        form: ConfigForm,
        lists: Lists,
        consequences: Consequences,
        destroying: Destroying,
    ) -> None:
        self._rooms = rooms
        self._store = store
        self._form = form
        self._lists = lists
        self._consequences = consequences
        self._destroying = destroying

    async def on_ask(self, request: RoomRequest[AskSettings]) -> Element:
        _require_owner(request)
        return Element("query", OWNER, children=[self._form.blank(request.room)])

    async def on_order(self, request: RoomRequest[Order]) -> None:
        _require_owner(request)
        room, what = request.room, request.payload.what
        if isinstance(what, Farewell):
            await self._destroying.destroy(room, what)
        elif isinstance(what, Element):
            await self._configure(room, self._form.read(what, room), _actor(request))
        elif room.config.locked:
            # XEP-0045#createroom-reserved: who does not configure a new room does not want it
            await self._destroying.destroy(room, Farewell())

    async def _configure(self, room: Room, wish: Wish, actor: Actor) -> None:
        tell: Callable[[], None] | None = None
        if wish.affiliations:
            changes = {
                user: replace(room.entry(user), affiliation=affiliation, reason="")
                for user, affiliation in wish.affiliations.items()
            }
            tell = await self._lists.keep(room, changes, actor)
        try:
            await self._set(room, msgspec.structs.replace(wish.config, locked=False))
        finally:
            if tell is not None:
                tell()
        self._rooms.left(room)  # it may be temporary by now, with nobody in it

    async def _set(self, room: Room, config: RoomConfig) -> None:
        if config != room.config:
            await self._store.configure(room.id, encoded(config))
            self._consequences.draw(room, config)


def _require_owner(request: RoomRequest[AskSettings] | RoomRequest[Order]) -> None:
    if request.affiliation is not Affiliation.OWNER:
        raise StanzaError("forbidden", "only owners of the room do this")  # XEP-0045#roomconfig


def _actor(request: RoomRequest[Order]) -> Actor:
    occupant = request.occupant
    return Actor(request.user, "" if occupant is None else occupant.nick)
