"""Rooms on the control socket: the requests, the end that asks, the end that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct

from xmppd.jid import Jid
from xmppd.rooms import PAGE, NewRoom, RoomAdministrator, RoomDetails, RoomLine
from xmppd.storage.rooms import Affiliation


class ListRooms(Struct, frozen=True, tag_field="op", tag="list_rooms"):
    domain: str | None = None
    contains: str = ""
    after: Jid | None = None
    limit: int = PAGE


class ShowRoom(Struct, frozen=True, tag_field="op", tag="show_room"):
    jid: Jid


class CreateRoom(Struct, frozen=True, tag_field="op", tag="create_room"):
    room: NewRoom


class DestroyRoom(Struct, frozen=True, tag_field="op", tag="destroy_room"):
    jid: Jid
    reason: str = ""
    alternate: Jid | None = None


class Affiliate(Struct, frozen=True, tag_field="op", tag="affiliate"):
    jid: Jid
    users: Sequence[Jid]
    affiliation: Affiliation
    reason: str = ""


RoomRequest = ListRooms | ShowRoom | CreateRoom | DestroyRoom | Affiliate


class ControlRooms(RoomAdministrator):
    """The rooms of a running server, through ``ask``: a request and the type of its answer."""

    def __init__(self, ask: Callable[[RoomRequest, Any], Awaitable[Any]]) -> None:
        self._ask = ask

    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = PAGE
    ) -> Sequence[RoomLine]:
        found: list[RoomLine] = await self._ask(ListRooms(domain, contains, after, limit), list[RoomLine])
        return found

    async def show(self, jid: Jid) -> RoomDetails:
        details: RoomDetails = await self._ask(ShowRoom(jid), RoomDetails)
        return details

    async def create(self, room: NewRoom) -> None:
        await self._ask(CreateRoom(room), None)

    async def destroy(self, jid: Jid, *, reason: str = "", alternate: Jid | None = None) -> None:
        await self._ask(DestroyRoom(jid, reason, alternate), None)

    async def affiliate(
        self, jid: Jid, users: Sequence[Jid], affiliation: Affiliation, *, reason: str = ""
    ) -> None:
        await self._ask(Affiliate(jid, users, affiliation, reason), None)


async def answer(rooms: RoomAdministrator, request: RoomRequest) -> object:
    """Do what ``request`` asks for."""
    match request:
        case ListRooms(domain, contains, after, limit):
            return await rooms.list(domain=domain, contains=contains, after=after, limit=limit)
        case ShowRoom(jid):
            return await rooms.show(jid)
        case CreateRoom(room):
            await rooms.create(room)
        case DestroyRoom(jid, reason, alternate):
            await rooms.destroy(jid, reason=reason, alternate=alternate)
        case Affiliate(jid, users, affiliation, reason):
            await rooms.affiliate(jid, users, affiliation, reason=reason)
    return None
