"""What moderators, admins and owners do by ``muc#admin``: roles and lists (XEP-0045#moderator, XEP-0045#admin,
XEP-0045#grantowner to #modifyadmin). However many items a request has, they are done all or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final, Self, TypeVar

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.entering import Entering
from xmppd.extensions.xep_0045_muc.lists import Actor, Lists
from xmppd.extensions.xep_0045_muc.names import ADMIN, AFFILIATIONS, ROLES, Role, Status
from xmppd.extensions.xep_0045_muc.nicks import prepared
from xmppd.extensions.xep_0045_muc.presence import Change
from xmppd.extensions.xep_0045_muc.requests import RoomRequest
from xmppd.extensions.xep_0045_muc.rights import (
    check_affiliation,
    check_reads_list,
    check_reads_roles,
    check_role,
)
from xmppd.extensions.xep_0045_muc.roles import Roles
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.jid import Jid
from xmppd.routing.iq import Name
from xmppd.storage.rooms import Affiliated, Affiliation
from xmppd.xml.element import Element, text_element

REASON: Final = 1_000  # characters; the longest reason that is kept and told
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lists somebody asks for."""

    TAG: ClassVar[Name] = Name(ADMIN, "query")
    affiliations: tuple[Affiliation, ...]
    roles: tuple[Role, ...]

    @classmethod
    def parse(cls, element: Element) -> Self:
        items = [(_affiliation(item), _role(item)) for item in element.each("item")]
        affiliations = tuple(affiliation for affiliation, _ in items if affiliation is not None)
        roles = tuple(role for _, role in items if role is not None)
        if not items or len(affiliations) + len(roles) != len(items):
            raise StanzaError("bad-request", "ask for <item affiliation='…'/> or <item role='…'/>")
        if Affiliation.NONE in affiliations or Role.NONE in roles:
            raise StanzaError("bad-request", "there is no list of those who are none")
        return cls(affiliations, roles)


@dataclass(frozen=True, slots=True)
class NewAffiliation:
    """``nick``: what is to be reserved, "": nothing any more, None: what was before."""

    affiliation: Affiliation
    nick: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class NewRole:
    role: Role
    reason: str


@dataclass(frozen=True, slots=True)
class Modified:
    """What is to change: affiliations by bare JID (or domain), or roles by nick."""

    TAG: ClassVar[Name] = Name(ADMIN, "query")
    affiliations: Mapping[Jid, NewAffiliation]
    roles: Mapping[str, NewRole]

    @classmethod
    def parse(cls, element: Element) -> Self:
        affiliations: dict[Jid, NewAffiliation] = {}
        roles: dict[str, NewRole] = {}
        count = 0
        for item in element.each("item"):
            count += 1
            affiliation, role, reason = _affiliation(item), _role(item), reason_of(item)
            nick, jid = item.get("nick"), item.get("jid")
            if role is None and affiliation is not None and jid is not None:
                # XEP-0045#modifyowner: of a full address the bare one counts
                affiliations[Jid.of(jid).bare] = NewAffiliation(affiliation, _nick(nick), reason)
            elif affiliation is None and role is not None and nick:
                roles[_nick(nick) or ""] = NewRole(role, reason)
            else:  # XEP-0045#bizrules-iq
                raise StanzaError("bad-request", "an item has affiliation and jid, or role and nick")
        if not count or len(affiliations) + len(roles) != count or (affiliations and roles):
            raise StanzaError(
                "bad-request", "send items with affiliations, or with roles, each of another person"
            )
        return cls(affiliations, roles)


def _affiliation(item: Element) -> Affiliation | None:
    return _one_of(AFFILIATIONS, item, "affiliation")


def _role(item: Element) -> Role | None:
    return _one_of(ROLES, item, "role")


def _one_of(values: Mapping[str, T], item: Element, attribute: str) -> T | None:
    text = item.get(attribute)
    if text is None:
        return None
    if text not in values:
        raise StanzaError("bad-request", f"{text!r} is no {attribute}; there are {', '.join(values)}")
    return values[text]


def _nick(text: str | None) -> str | None:
    return prepared(text) if text else text


def reason_of(element: Element) -> str:
    """The ``<reason/>`` in ``element``; ``not-acceptable`` for one that is too long."""
    reason = element.child("reason")
    text = "" if reason is None else reason.text()
    if len(text) > REASON:
        raise StanzaError("not-acceptable", f"a reason has at most {REASON} characters")
    return text


class Administration:
    def __init__(self, lists: Lists, roles: Roles, entering: Entering) -> None:
        self._lists = lists
        self._roles = roles
        self._entering = entering

    async def on_get(self, request: RoomRequest[Asked]) -> Element:
        """XEP-0045#modifyvoice, #modifyban, #modifymember, #modifymod, #modifyowner, #modifyadmin."""
        room, asked = request.room, request.payload
        for affiliation in asked.affiliations:
            check_reads_list(room, request.user, affiliation)
        if asked.roles:
            check_reads_roles(room, request.user)
        items = [*_list(room, asked, request.affiliation), *_role_list(room, asked)]
        return Element("query", ADMIN, children=[*items])

    async def on_set(self, request: RoomRequest[Modified]) -> None:
        if request.payload.roles:
            self._set_roles(request)
        else:
            await self._set_affiliations(request)

    def _set_roles(self, request: RoomRequest[Modified]) -> None:
        room, actor = request.room, actor_of(request)
        changes: list[tuple[Occupant, NewRole]] = []
        for nick, new in request.payload.roles.items():
            target = room.occupants.get(nick)
            if target is None:
                raise StanzaError("item-not-found", f"nobody called {nick} is in the room")
            if new.role is not target.role:
                check_role(room, request.user, target, new.role)
                changes.append((target, new))
        if not changes:
            check_reads_roles(room, request.user)  # it may not find out like this who has which role
        for target, new in changes:
            change = Change(actor=actor.nick, reason=new.reason)
            if new.role is Role.NONE:
                request.afterwards(partial(self._kick, room, target, change))
            else:
                request.afterwards(partial(self._roles.set, room, target, new.role, change))

    def _kick(self, room: Room, target: Occupant, change: Change) -> None:
        kicked = Change(codes=frozenset({Status.KICKED}), actor=change.actor, reason=change.reason)
        self._entering.remove(room, target, kicked)

    async def _set_affiliations(self, request: RoomRequest[Modified]) -> None:
        room = request.room
        changes: dict[Jid, Affiliated] = {}
        for user, new in request.payload.affiliations.items():
            check_affiliation(room, request.user, user, new.affiliation)
            nick = room.entry(user).nick if new.nick is None else new.nick
            if new.affiliation < Affiliation.MEMBER:
                nick = ""  # XEP-0045#ban: it is not reserved any more
            changes[user] = Affiliated(new.affiliation, nick, new.reason)
        request.afterwards(await self._lists.keep(room, changes, actor_of(request)))


def actor_of(request: RoomRequest[Modified]) -> Actor:
    """Who asks; without a nick where they are not in the room."""
    occupant = request.occupant or next(iter(request.room.of(request.user)), None)
    return Actor(request.user, "" if occupant is None else occupant.nick)


def _list(room: Room, asked: Asked, reader: Affiliation) -> Iterator[Element]:
    # XEP-0045#bizrules-iq: without role; the nick is the one that is reserved, as in what sets it
    for user, entry in room.affiliations.items():
        if entry.affiliation in asked.affiliations:
            attrs = {"affiliation": entry.affiliation.name.lower(), "jid": str(user)}
            if entry.nick:
                attrs["nick"] = entry.nick
            item = Element("item", ADMIN, attrs)
            if entry.reason and reader >= Affiliation.ADMIN:
                item.children.append(text_element("reason", ADMIN, entry.reason))
            yield item


def _role_list(room: Room, asked: Asked) -> Iterator[Element]:
    """An item for each client, since the address is the full one (XEP-0045#bizrules-iq)."""
    for occupant, client in room.clients():
        if occupant.role in asked.roles:
            attrs = {
                "affiliation": room.affiliation(occupant.user).name.lower(),
                "jid": str(client.jid),
                "nick": occupant.nick,
                "role": occupant.role.name.lower(),
            }
            yield Element("item", ADMIN, attrs)
