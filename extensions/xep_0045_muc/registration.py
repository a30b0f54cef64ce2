"""People register with a room: they become members, and a nick is theirs (XEP-0045#register, #reservednick)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.lists import Actor, Lists
from xmppd.extensions.xep_0045_muc.names import MUC, Role
from xmppd.extensions.xep_0045_muc.nicks import prepared
from xmppd.extensions.xep_0045_muc.requests import RoomRequest
from xmppd.extensions.xep_0045_muc.rights import role_of
from xmppd.extensions.xep_0045_muc.room import NOBODY, Room
from xmppd.jid import Jid
from xmppd.routing.disco import Identity, Info
from xmppd.routing.forms import form_field, submitted
from xmppd.routing.iq import Name
from xmppd.storage.rooms import Affiliated, Affiliation
from xmppd.xml.element import Element, text_element

NS: Final = "jabber:iq:register"
FORM: Final = f"{MUC}#register"
NICK: Final = "muc#register_roomnick"
NODE: Final = "x-roomuser-item"  # of the room; what its service discovery says of the one who asks


@dataclass(frozen=True, slots=True)
class Asking:
    """What is there to fill in?"""

    TAG: ClassVar[Name] = Name(NS, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Registering:
    """``nick``: which one is to be reserved; "": the registration is to be removed."""

    TAG: ClassVar[Name] = Name(NS, "query")
    nick: str

    @classmethod
    def parse(cls, element: Element) -> Self:
        if element.child("remove") is not None:
            return cls("")
        form = element.child("x", ns.DATA_FORMS)
        if form is None:
            raise StanzaError("bad-request", "fill in the form that the room sends")
        nick = submitted(form, FORM).get(NICK, ("",))[0]
        if not nick:
            raise StanzaError("bad-request", f"{NICK} says under which nick you register")
        return cls(prepared(nick))


class Registration:
    def __init__(self, lists: Lists) -> None:
        self._lists = lists

    async def on_get(self, request: RoomRequest[Asking]) -> Element:
        """Whoever is registered may give in another nick by the same form."""
        room, user = request.room, request.user
        _check(room, user)
        entry = room.entry(user)
        children: list[Element | str] = []
        if entry.affiliation >= Affiliation.MEMBER:
            children.append(Element("registered", NS))
            if entry.nick:
                children.append(text_element("username", NS, entry.nick))
        children.append(_blank(entry.nick))
        return Element("query", NS, children=children)

    async def on_set(self, request: RoomRequest[Registering]) -> None:
        room, user, nick = request.room, request.user, request.payload.nick
        entry = room.entry(user)
        if nick:
            _check(room, user)
            member = max(entry.affiliation, Affiliation.MEMBER)
            new = replace(entry, affiliation=member, nick=nick)
        elif entry.affiliation >= Affiliation.MEMBER:
            new = NOBODY  # XEP-0077#usecases-cancel
        else:
            raise StanzaError("registration-required", "you are not registered with this room")
        request.afterwards(await self._lists.keep(room, {user: new}, Actor(user)))


def _check(room: Room, user: Jid) -> None:
    """``not-allowed`` where ``user`` may not register: this is no way into a room for members, nor to a voice."""
    affiliation = room.affiliation(user)
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("not-allowed", "you are banned from this room")
    if affiliation is not Affiliation.NONE:
        return
    if room.config.locked or room.config.members_only:
        raise StanzaError("not-allowed", "admins say who is a member of this room; ask one of them")
    if room.config.moderated and role_of(room, user) < Role.PARTICIPANT:
        # XEP-0045#register: in a moderated room, normally a participant
        raise StanzaError("not-allowed", "who has no voice in this room cannot register with it")


def _blank(nick: str) -> Element:
    value = [text_element("value", ns.DATA_FORMS, nick)] if nick else []
    field = form_field(NICK, "text-single", Element("required", ns.DATA_FORMS), *value)
    field.attrs["label"] = "Desired Nickname"
    form = Element("x", ns.DATA_FORMS, {"type": "form"})
    form.children = [
        text_element("title", ns.DATA_FORMS, "Registration with this room"),
        text_element(
            "instructions", ns.DATA_FORMS, "You become a member, and nobody else has your nick here."
        ),
        form_field("FORM_TYPE", "hidden", text_element("value", ns.DATA_FORMS, FORM)),
        field,
    ]
    return form


def reserved_nick(entry: Affiliated) -> Info:
    """What the room's node ``NODE`` says to somebody with that entry (XEP-0045#reservednick)."""
    return Info((Identity("conference", "text", name=entry.nick),)) if entry.nick else Info()
