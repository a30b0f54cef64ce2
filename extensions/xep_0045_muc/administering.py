"""Rooms as those who run the server administer them, by `xmppd room`: with the same steps, in the same turns, as owners
and admins do by ``muc#owner`` and ``muc#admin``, but without asking what they are to the room.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from xmppd.errors import StanzaError, UserError
from xmppd.extensions.xep_0045_muc.admin import REASON
from xmppd.extensions.xep_0045_muc.destroying import Destroying, Farewell
from xmppd.extensions.xep_0045_muc.form import FIELDS
from xmppd.extensions.xep_0045_muc.lists import Lists
from xmppd.extensions.xep_0045_muc.places import Places
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, decoded
from xmppd.jid import Jid
from xmppd.rooms import PAGE, NewRoom, RoomAdministrator, RoomDetails, RoomEntry, RoomLine, RoomPerson
from xmppd.storage.rooms import Affiliated, Affiliation, RoomExists, RoomStore, RoomSummary


class Administering(RoomAdministrator):
    def __init__(
        self,
        hosts: Mapping[str, str],
        store: RoomStore,
        rooms: Rooms,
        places: Places,
        lists: Lists,
        destroying: Destroying,
        exists: Callable[[Jid], Awaitable[bool]],
    ) -> None:
        """``hosts``: the domain that each host of rooms belongs to. ``exists``: whether somebody (bare) may be there;
        False is said of a local address without an account.
        """
        self._hosts = hosts
        self._store = store
        self._rooms = rooms
        self._places = places
        self._lists = lists
        self._destroying = destroying
        self._exists = exists

    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = PAGE
    ) -> Sequence[RoomLine]:
        found: list[RoomLine] = []
        for host in sorted(self._chosen(domain)):
            if after is not None and host < after.domain:
                continue
            begin = after if after is not None and after.domain == host else None
            while len(found) < limit:
                page = await self._store.list(host, after=begin, limit=PAGE)
                found += [
                    line for line in map(self._line, page) if contains in f"{line.jid.local} {line.name}"
                ]
                if len(page) < PAGE:
                    break
                begin = page[-1].jid
        return found[:limit]

    def _chosen(self, domain: str | None) -> Collection[str]:
        if domain is None:
            return self._hosts
        chosen = [host for host, served in self._hosts.items() if domain in (host, served)]
        if not chosen:
            raise UserError(f"{domain} has no rooms; there are rooms on {', '.join(self._hosts)}")
        return chosen

    def _line(self, summary: RoomSummary) -> RoomLine:
        room = self._rooms.peek(summary.jid)
        people = 0 if room is None else len({each.user for each in room.occupants.values()})
        return RoomLine(summary.jid, decoded(summary.config).name, summary.members, people, summary.created)

    async def show(self, jid: Jid) -> RoomDetails:
        room = await self._get(jid)
        settings: dict[str, Any] = msgspec.structs.asdict(room.config)
        settings["password"] = bool(room.config.password)
        settings["people"] = self._places.of(room)
        entries = [
            RoomEntry(user, entry.affiliation, entry.nick, entry.reason)
            for user, entry in sorted(
                room.affiliations.items(), key=lambda item: (-item[1].affiliation, str(item[0]))
            )
        ]
        people = [
            RoomPerson(each.nick, each.role.name.lower(), list(each.clients))
            for each in room.occupants.values()
        ]
        subject = "" if room.subject is None else room.subject.text
        return RoomDetails(room.jid, room.created, settings, subject, entries, people)

    async def create(self, room: NewRoom) -> None:
        self._check_host(room.jid)
        people = {user: Affiliated(Affiliation.MEMBER) for user in room.members}
        people |= {user: Affiliated(Affiliation.OWNER) for user in room.owners}
        with _said_to_people():
            config = _config(room.settings)
        if len(people) > (most := self._places.most(config)):
            raise UserError(f"{len(people)} members are too many: a room holds {most} people; leave some out")
        await self._check_people(people)
        try:
            made = await self._rooms.create(room.jid, config, people)
        except RoomExists as err:
            raise UserError(
                f"{room.jid} is a room already; `xmppd room show {room.jid}` tells of it, "
                "`xmppd room affiliate` changes who is what to it"
            ) from err
        for user in people:
            self._lists.invite(made, user, None, "")

    async def destroy(self, jid: Jid, *, reason: str = "", alternate: Jid | None = None) -> None:
        _check_reason(reason)
        farewell = Farewell(alternate, reason=reason)
        await self._in_turn(jid, partial(self._destroying.destroy, farewell=farewell))

    async def affiliate(
        self, jid: Jid, users: Sequence[Jid], affiliation: Affiliation, *, reason: str = ""
    ) -> None:
        _check_reason(reason)
        if affiliation >= Affiliation.MEMBER:
            await self._check_people(users)

        async def change(room: Room) -> None:
            await self._lists.change(room, {user: _entry(room, user, affiliation, reason) for user in users})

        await self._in_turn(jid, change)

    async def _in_turn(self, jid: Jid, work: Callable[[Room], Awaitable[None]]) -> None:
        room = await self._get(jid)

        async def act() -> None:
            if room.gone:
                raise _no_such_room(jid)
            await work(room)

        waiting = room.turns.take(act)
        if waiting is not None:
            with _said_to_people():
                await waiting

    async def _get(self, jid: Jid) -> Room:
        self._check_host(jid)
        room = await self._rooms.get(jid)
        if room is None:
            raise _no_such_room(jid)
        return room

    def _check_host(self, jid: Jid) -> None:
        if jid.domain not in self._hosts:
            raise UserError(
                f"{jid} is no room of this server: these are name@{' or name@'.join(self._hosts)}"
            )

    async def _check_people(self, users: Collection[Jid]) -> None:
        """Nobody becomes somebody in a room by a slip of the pen, to be impersonated by who registers the account."""
        for user in users:
            if not await self._exists(user):
                raise UserError(f"there is no account {user}; `xmppd user add {user}` makes it")


def _has(line: RoomLine, text: str) -> bool:
    return text in (line.jid.local or "") or text in line.name


def _entry(room: Room, user: Jid, affiliation: Affiliation, reason: str) -> Affiliated:
    nick = room.entry(user).nick if affiliation >= Affiliation.MEMBER else ""
    return replace(room.entry(user), affiliation=affiliation, nick=nick, reason=reason)


def _config(given: Mapping[str, Any]) -> RoomConfig:
    """``given`` over what holds for a room that stays, within the bounds that hold for owners."""
    read: dict[str, Any] = {
        each.setting: each.read(each.values(given[each.setting])) for each in FIELDS if each.setting in given
    }
    return RoomConfig(**{"persistent": True, **read})


def _check_reason(reason: str) -> None:
    if len(reason) > REASON:
        raise UserError(f"the reason has {len(reason)} characters; it may have {REASON}")


def _no_such_room(jid: Jid) -> UserError:
    return UserError(f"there is no room {jid}; `xmppd room list` shows which there are")


@contextmanager
def _said_to_people() -> Iterator[None]:
    """What a client would get as an error, for those who run the server."""
    try:
        yield
    except StanzaError as err:
        raise UserError(err.text or err.condition) from err
