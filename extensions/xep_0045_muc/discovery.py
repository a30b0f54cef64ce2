"""What the service and its rooms say about themselves (XEP-0045#entity). Hidden rooms are in no list, and a room for
members tells others no more than what they need to enter it (XEP-0045#security-leaks).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc import registration
from xmppd.extensions.xep_0045_muc.form import ROOM_CONFIG
from xmppd.extensions.xep_0045_muc.names import MUC, OCCUPANT_ID
from xmppd.extensions.xep_0045_muc.requests import RoomRequest, ServiceRequest
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig, decoded
from xmppd.jid import Jid
from xmppd.routing import rsm
from xmppd.routing.disco import Form, Identity, Info, InfoQuery, Item, items_xml
from xmppd.routing.iq import Name
from xmppd.storage.rooms import Affiliation, RoomStore
from xmppd.xml.element import Element

ROOM_INFO: Final = f"{MUC}#roominfo"
STABLE_ID: Final = f"{MUC}#stable_id"
TRAFFIC: Final = f"{MUC}#traffic"

_USUAL: Final = 100  # rooms in a page
_MOST: Final = 500
_READ: Final = 500  # from the storage at a time

_BOTH: Final = (ns.DISCO_INFO, ns.DISCO_ITEMS, MUC, STABLE_ID)
_ROOM: Final = (OCCUPANT_ID, ROOM_INFO, ROOM_CONFIG, registration.NS, registration.FORM)

Condition = Callable[[Room], bool]
FormField = tuple[str, Sequence[str]]
FieldProvider = Callable[[Room], Sequence[FormField]]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What belongs to it, and which part of the list?"""

    TAG: ClassVar[Name] = Name(ns.DISCO_ITEMS, "query")
    node: str
    paging: rsm.Paging
    asks_part: bool

    @classmethod
    def parse(cls, element: Element) -> Self:
        part = element.child("set", rsm.NS)
        return cls(element.attrs.get("node", ""), rsm.Paging.of(element), part is not None)


class RoomFacts:
    """What the parts of the extension, in ``setup``, let rooms say in disco#info."""

    def __init__(self) -> None:
        self.features: list[tuple[str, Condition | None]] = []
        self.fields: list[FieldProvider] = []

    def feature(self, *names: str, when: Condition | None = None) -> None:
        """Rooms have these features, all or those for which ``when`` holds."""
        self.features.extend((name, when) for name in names)

    def form_field(self, provider: FieldProvider) -> None:
        """Add what ``provider`` returns to the form muc#roominfo of a room."""
        self.fields.append(provider)


class Discovery:
    def __init__(self, store: RoomStore, facts: RoomFacts, features: Sequence[str] = ()) -> None:
        """``features``: of the service, beside those that are a matter of course."""
        self._store = store
        self._facts = facts
        self._service = Info(
            (Identity("conference", "text", name="Chat rooms"),),
            tuple(sorted({*_BOTH, rsm.NS, "muc_rooms", *features})),
        )

    # The service

    async def on_service_info(self, request: ServiceRequest[InfoQuery]) -> Element:
        if request.payload.node:
            raise StanzaError("item-not-found", "the service has no such node")  # XEP-0030#errors
        return self._service.xml()

    async def on_service_items(self, request: ServiceRequest[PageQuery]) -> Element:
        """XEP-0045#disco-rooms: those that may be found, by address."""
        query, to = request.payload, request.iq.to
        assert to is not None
        if query.node:
            raise StanzaError("item-not-found", "the service has no such node")
        paging = query.paging
        if paging.index is not None:
            # XEP-0059#jump: what a service need not do
            raise StanzaError("feature-not-implemented", "ask for rooms behind or before one, not by number")
        limit = paging.limit(_USUAL, _MOST)
        if limit == 0:  # XEP-0059#count
            count = 0
            async for _ in self._public(to.domain, None):
                count += 1
            return _page((), rsm.set_element(count=count))
        found, complete = await self._find(to.domain, paging, limit)
        if complete and not query.asks_part:
            return _page(found, None)
        if not found:
            return _page((), rsm.set_element())
        whole = complete and paging.after is None and paging.before is None
        part = rsm.set_element(
            str(found[0].jid),
            str(found[-1].jid),
            count=len(found) if whole else None,
            index=0 if whole else None,
        )
        return _page(found, part)

    async def _find(self, domain: str, paging: rsm.Paging, limit: int) -> tuple[list[Item], bool]:
        """A page, and whether there is nothing behind it (or before it, where it is asked for backwards)."""
        after = _place(paging.after, domain)
        if paging.before is None:
            found: list[Item] = []
            async for item in self._public(domain, after):
                if len(found) == limit:
                    return found, False
                found.append(item)
            return found, True
        before = _place(paging.before or None, domain)
        last = deque[Item](maxlen=limit + 1)
        async for item in self._public(domain, after):
            if before is not None and (item.jid.local or "") >= (before.local or ""):
                break
            last.append(item)
        return list(last)[-limit:], len(last) <= limit

    async def _public(self, domain: str, after: Jid | None) -> AsyncIterator[Item]:
        while rooms := await self._store.list(domain, after=after, limit=_READ):
            for summary in rooms:
                config = decoded(summary.config)
                if config.public and not config.locked:
                    yield Item(summary.jid, name=config.name)
            after = rooms[-1].jid

    # A room

    async def on_room_info(self, request: RoomRequest[InfoQuery]) -> Element:
        room, node = request.room, request.payload.node
        if node:
            return _on_node(request, node)
        if room.config.locked and request.affiliation is not Affiliation.OWNER:
            # XEP-0045#enter-locked: there is none yet
            raise StanzaError("item-not-found", "there is no such room")
        features = {*_BOTH, *_ROOM, *_kinds(room.config)}
        features.update(name for name, when in self._facts.features if when is None or when(room))
        identity = Identity("conference", "text", name=room.config.name or room.jid.local or "")
        return Info((identity,), tuple(sorted(features)), (self._form(room, _inside(request)),)).xml()

    def _form(self, room: Room, inside: bool) -> Form:
        """XEP-0045#registrar-formtype-roominfo. ``inside``: for who may know what is said in the room."""
        config = room.config
        fields: list[FormField] = [
            ("muc#roominfo_description", (config.description,)),
            ("muc#roominfo_lang", (config.lang,)),
            ("muc#roominfo_subjectmod", (_flag(config.occupants_change_subject),)),
            ("muc#roomconfig_changesubject", (_flag(config.occupants_change_subject),)),
            ("muc#roomconfig_allowinvites", (_flag(config.members_invite),)),
            ("muc#roomconfig_allowpm", (config.private_messages,)),
            ("muc#maxhistoryfetch", (str(config.history if config.archived else 0),)),
        ]
        if inside:
            fields.append(("muc#roominfo_occupants", (str(len(room.occupants)),)))
            fields.append(("muc#roominfo_subject", ("" if room.subject is None else room.subject.text,)))
            if config.whois == "anyone":  # else it is not for all to know who is behind a nick
                fields.append(("muc#roominfo_contactjid", _owners(room)))
        for provider in self._facts.fields:
            fields.extend(provider(room))
        return Form(ROOM_INFO, [(name, values) for name, values in fields if any(values)])

    async def on_room_items(self, request: RoomRequest[PageQuery]) -> Element:
        """Who is there, for who is there too; others get an empty list (XEP-0045#disco-roomitems)."""
        room, me, node = request.room, request.occupant, request.payload.node
        if node:
            raise StanzaError("item-not-found", "the room has no such node")
        if me is None:
            return items_xml("", ())
        seen = [each for each in room.occupants.values() if each is me or room.config.shows(each.role)]
        return items_xml("", [Item(each.jid) for each in seen])


def _on_node(request: RoomRequest[InfoQuery], node: str) -> Element:
    if node == registration.NODE:
        return registration.reserved_nick(request.room.entry(request.user)).xml(node)
    if node == TRAFFIC:
        # XEP-0045#impl-service-traffic: nothing is kept from occupants
        raise StanzaError("service-unavailable", "whatever occupants send is passed on")
    raise StanzaError("item-not-found", "the room has no such node")  # XEP-0030#errors


def _inside(request: RoomRequest[InfoQuery]) -> bool:
    """Whether who asks may know what any member may."""
    config, affiliation = request.room.config, request.affiliation
    if affiliation >= Affiliation.MEMBER or request.occupant is not None:
        return True
    return affiliation is Affiliation.NONE and not config.members_only and not config.password


def _kinds(config: RoomConfig) -> tuple[str, ...]:
    """XEP-0045#registrar-features: of each pair of kinds of rooms, which it is."""
    return (
        "muc_public" if config.public else "muc_hidden",
        "muc_membersonly" if config.members_only else "muc_open",
        "muc_moderated" if config.moderated else "muc_unmoderated",
        "muc_nonanonymous" if config.whois == "anyone" else "muc_semianonymous",
        "muc_passwordprotected" if config.password else "muc_unsecured",
        "muc_persistent" if config.persistent else "muc_temporary",
    )


def _owners(room: Room) -> list[str]:
    return sorted(
        str(jid) for jid, entry in room.affiliations.items() if entry.affiliation is Affiliation.OWNER
    )


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _page(items: Sequence[Item], part: Element | None) -> Element:
    query = items_xml("", items)
    if part is not None:
        query.children.append(part)
    return query


def _place(text: str | None, domain: str) -> Jid | None:
    """The room before or behind which a page is, whether or not it is still there."""
    if text is None:
        return None
    jid = Jid.of(text)
    if jid.local is None or jid.domain != domain:
        raise StanzaError("item-not-found", f"{text} is no room of this service")  # XEP-0059#errors
    return jid.bare
