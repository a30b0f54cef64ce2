"""IQs to a room, and messages that ask it for something: by payload, parsed before the handler sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

from xmppd.errors import StanzaError, TakenTwice
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.relay import Relay
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.jid import Jid
from xmppd.routing.iq import P, P_co, Payload
from xmppd.routing.router import Waiting
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Message, Stanza
from xmppd.storage.rooms import Affiliation
from xmppd.xml.element import Element


@dataclass(frozen=True, slots=True)
class RoomRequest(Generic[P_co]):
    """An IQ to ``room``. ``session``: the sender's, if it is one of this node."""

    room: Room
    iq: Iq
    payload: P_co
    session: Session | None
    later: list[Callable[[], None]] = field(default_factory=list)

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call ``call`` behind the answer, in the same turn: what others are told when who asked knows that it was done
        (XEP-0045#kick).
        """
        self.later.append(call)

    @property
    def user(self) -> Jid:
        """Who asks (bare)."""
        return self.iq.sender.bare

    @property
    def occupant(self) -> Occupant | None:
        """As whom the asking client is in the room."""
        return self.room.attending.get(self.iq.sender)

    @property
    def affiliation(self) -> Affiliation:
        return self.room.affiliation(self.user)


@dataclass(frozen=True, slots=True)
class ServiceRequest(Generic[P_co]):
    """An IQ to the service itself."""

    iq: Iq
    payload: P_co
    session: Session | None


RoomHandler = Callable[[RoomRequest[P]], Awaitable[Element | None]]
ServiceHandler = Callable[[ServiceRequest[P]], Awaitable[Element | None]]
MessageHandler = Callable[[Room, Message, Element], Waiting]
_Key = tuple[str, str, str]


class RoomRequests:
    """Filled at start; a second handler for the same refuses to start: ``TakenTwice``."""

    def __init__(self, post: Post, relay: Relay) -> None:
        self._post = post
        self._relay = relay
        self._aside = set[_Key]()
        self._room: dict[_Key, tuple[type[Payload], RoomHandler[Any]]] = {}
        self._service: dict[_Key, tuple[type[Payload], ServiceHandler[Any]]] = {}
        self._messages: dict[tuple[str, str], MessageHandler] = {}

    def room(
        self, type: Literal["get", "set"], payload: type[P], handler: RoomHandler[P], *, aside: bool = False
    ) -> None:
        """Let ``handler`` answer IQs to a room's bare address, in the room's turn; ``aside``: at once, whatever the
        room does, since it only reads, and may take as long as who asks.
        """
        _add(self._room, type, payload, handler)
        if aside:
            self._aside.add((type, payload.TAG.ns, payload.TAG.name))

    def is_aside(self, iq: Iq) -> bool:
        """Whether ``iq``, to a room's bare address, is answered without a turn."""
        return _key(iq) in self._aside

    def service(self, type: Literal["get", "set"], payload: type[P], handler: ServiceHandler[P]) -> None:
        """Let ``handler`` answer IQs to the service."""
        _add(self._service, type, payload, handler)

    def message(self, name: str, ns: str, handler: MessageHandler) -> None:
        """Let ``handler`` act on messages to a room (not of type groupchat) that have a child ``<name xmlns='ns'/>``;
        it gets that too.
        """
        if (name, ns) in self._messages:
            raise TakenTwice("muc", "muc", f"<{name} xmlns='{ns}'/> in a message to a room")
        self._messages[name, ns] = handler

    def to_service(self, stanza: Stanza, session: Session | None) -> Waiting:
        if not isinstance(stanza, Iq):
            if stanza.type in ("error", "unavailable"):
                return None
            raise StanzaError("service-unavailable", "write to a room of this service, not to itself")
        if stanza.type in ("result", "error"):
            return None
        found = self._service.get(_key(stanza))
        if found is None or (stanza.to is not None and stanza.to.resource is not None):
            raise StanzaError("service-unavailable")
        assert stanza.payload is not None
        payload = found[0].parse(stanza.payload)
        return self._answer(stanza, found[1](ServiceRequest(stanza, payload, session)), session)

    def to_room(self, room: Room, iq: Iq, session: Session | None) -> Waiting:
        """An IQ to ``room`` or, through it, to an occupant."""
        assert iq.to is not None
        if iq.to.resource is not None:
            self._relay.on_iq(room, iq)
            return None
        if iq.type in ("result", "error"):
            return None
        found = self._room.get(_key(iq))
        if found is None:
            raise StanzaError("service-unavailable")
        assert iq.payload is not None
        payload = found[0].parse(iq.payload)
        return self._carry_out(RoomRequest(room, iq, payload, session), found[1])

    def on_message(self, room: Room, message: Message, session: Session | None) -> Waiting:
        for child in message.elements():
            handler = self._messages.get((child.name, child.ns))
            if handler is not None:
                return handler(room, message, child)
        raise StanzaError("bad-request", "a message to a room is of type groupchat")

    async def _carry_out(self, request: RoomRequest[Any], handler: RoomHandler[Any]) -> None:
        await self._answer(request.iq, handler(request), request.session)
        for call in request.later:
            call()

    async def _answer(self, iq: Iq, answer: Awaitable[Element | None], session: Session | None) -> None:
        reply = iq.result(await answer)
        if session is not None and not session.over:
            session.deliver(reply)
        else:
            self._post.send(reply)


def _key(iq: Iq) -> _Key:
    payload = iq.payload
    return ("", "", "") if payload is None else (iq.type, payload.ns, payload.name)


def _add(
    table: dict[_Key, tuple[type[Payload], Any]], type: str, payload: type[Payload], handler: object
) -> None:
    key = (type, payload.TAG.ns, payload.TAG.name)
    if key in table:
        raise TakenTwice("muc", "muc", f"iq {type} <{payload.TAG.name} xmlns='{payload.TAG.ns}'/>")
    table[key] = (payload, handler)
