"""Who comes, goes, changes nick or shows something else (XEP-0045#entering to #exit)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final, Self

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.history import RoomHistory, Wanted
from xmppd.extensions.xep_0045_muc.names import MUC, USER, Role, Status
from xmppd.extensions.xep_0045_muc.nicks import prepared
from xmppd.extensions.xep_0045_muc.places import Places
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.presence import NOTHING, Announcer, Change, kick, shown
from xmppd.extensions.xep_0045_muc.room import Attendance, Occupant, Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Presence, error_condition
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.rooms import Affiliation
from xmppd.xml.element import Element

log = logging.getLogger("xmppd.rooms")

_MUC_X: Final = ("x", MUC)
BROKEN: Final = Change(codes=frozenset({Status.KICKED, Status.ERROR}))
# XEP-0045#impl-service-ghosts: what tells that a client is gone, rather than that it did not like something
_LOST: Final = frozenset(
    {
        "gone",
        "item-not-found",
        "recipient-unavailable",
        "redirect",
        "remote-server-not-found",
        "remote-server-timeout",
        "service-unavailable",
    }
)


class Visits:
    """Kept with a session: the rooms that it is in, to leave them when it ends."""

    __slots__ = ("rooms",)

    def __init__(self) -> None:
        self.rooms: set[Room] = set()


@dataclass(frozen=True, slots=True)
class _Request:
    """Presence of a client that wants to enter, or to be told everything once more. ``nick``: as the room writes it.
    ``asked``: as the client did.
    """

    presence: Presence
    asked: str
    nick: str
    password: str
    wanted: Wanted

    @classmethod
    def parse(cls, presence: Presence, x: Element) -> Self:
        """``StanzaError`` for what is no nick, or no request for history; before anything is done."""
        asked = _nick_asked(presence)
        password = x.child("password", MUC)
        return cls(
            presence,
            asked,
            prepared(asked),
            "" if password is None else password.text(),
            Wanted.parse(x.child("history", MUC)),
        )


def check_request(presence: Presence) -> None:
    """``StanzaError`` where ``presence``, which wants to enter some room, would enter none."""
    x = presence.child(*_MUC_X)
    assert x is not None
    _Request.parse(presence, x)


class Entering:
    def __init__(
        self, rooms: Rooms, announcer: Announcer, places: Places, history: RoomHistory, post: Post
    ) -> None:
        self._rooms = rooms
        self._announcer = announcer
        self._places = places
        self._history = history
        self._post = post

    def on_presence(self, room: Room, presence: Presence, session: Session | None) -> Waiting:
        """A presence to ``room``, whose ``to`` may be an occupant's address, in the room's turn."""
        occupant = room.attending.get(presence.sender)
        if presence.type:
            # Subscriptions and probes mean nothing to a room (XEP-0045#bizrules-presence).
            if occupant is not None and presence.type == "unavailable":
                self.leave(room, presence.sender, presence)
            elif occupant is not None and presence.type == "error":
                self.leave(room, presence.sender, change=BROKEN)
            return None
        if (
            session is not None
            and occupant is not None
            and occupant.clients[presence.sender].session is not session
        ):
            # Its address belonged to another session before, which is over and has not left yet.
            self.leave(room, presence.sender)
            occupant = None
        try:
            return self._show(room, occupant, presence, session)
        except StanzaError:
            if session is not None and (occupant is None or occupant.jid != presence.to):
                _hide(session, presence.to)
            raise

    def _show(
        self, room: Room, occupant: Occupant | None, presence: Presence, session: Session | None
    ) -> Waiting:
        x = presence.child(*_MUC_X)
        request = None if x is None else _Request.parse(presence, x)
        if occupant is None:
            if request is None:
                self.turn_away(presence, session)
                return None
            return self._enter(room, request, session)
        return self._update(room, occupant, presence, request)

    def turn_away(self, presence: Presence, session: Session | None) -> None:
        """Who sent ``presence`` without asking to enter is not in the room: it should know (XEP-0045#enter-gc)."""
        _nick_asked(presence)
        if session is not None:
            _hide(session, presence.to)
        self._post.send(kick(presence))

    def _update(
        self, room: Room, occupant: Occupant, presence: Presence, request: _Request | None
    ) -> Waiting:
        """``occupant`` has another nick, shows something else or, with ``request``, wants to know everything again."""
        asked = _nick_asked(presence)
        nick = prepared(asked)
        client = occupant.clients[presence.sender]
        own = frozenset({Status.NICK_ASSIGNED}) if nick != asked else frozenset[Status]()
        if nick != occupant.nick:
            occupant = self._change_nick(room, occupant, client, presence, nick, own)
        else:
            differs = shown(presence) != shown(client.presence)
            occupant.show(client, presence)
            if request is None:
                self._announcer.announce(room, occupant, Change(own=own))
            elif differs:
                # XEP-0045#bizrules-presence
                self._announcer.announce(room, occupant, but={client.jid})
        if request is None:
            return None
        # It believes that it is not in the room, say after a lost connection: it gets everything again
        # (XEP-0045#enter-muc).
        if client.held is None:
            client.held = []
        return self._welcome(room, occupant, client, request)

    def _enter(self, room: Room, request: _Request, session: Session | None) -> Waiting:
        sender = request.presence.sender
        user, nick = sender.bare, request.nick
        occupant = room.like(nick)
        self._may_enter(room, user, nick, occupant, request)
        if occupant is None:
            role = room.role_of(room.affiliation(user))
            occupant = Occupant(room.address(nick), user, role, room.occupant_id(user))
            room.occupants[nick] = occupant
        client = Attendance(sender, session, request.presence)
        occupant.clients[client.jid] = client
        room.attending[client.jid] = occupant
        if session is not None:
            _visits(session).rooms.add(room)
            if occupant.nick != request.asked:
                _hide(session, request.presence.to)
        self._announcer.announce(room, occupant, but={client.jid})
        return self._welcome(room, occupant, client, request)

    def _may_enter(
        self, room: Room, user: Jid, nick: str, occupant: Occupant | None, request: _Request
    ) -> None:
        affiliation = room.affiliation(user)
        if affiliation is Affiliation.OUTCAST:
            raise StanzaError("forbidden", "you are banned from this room")  # XEP-0045#enter-banned
        if room.config.locked and affiliation is not Affiliation.OWNER:
            # XEP-0045#enter-locked
            raise StanzaError("item-not-found", "the room is not configured yet")
        if room.config.members_only and affiliation is Affiliation.NONE:
            # XEP-0045#enter-members
            raise StanzaError("registration-required", "this room is for members")
        if room.config.password and affiliation is not Affiliation.OWNER:
            right = compare_digest(request.password.encode(), room.config.password.encode())
            if not right:
                raise StanzaError("not-authorized", "this room asks for a password")  # XEP-0045#enter-pw
        self._places.check_nick(room, user, nick, occupant)
        self._places.check_room(room, user)

    async def _welcome(self, room: Room, occupant: Occupant, client: Attendance, request: _Request) -> None:
        """XEP-0045#enter-pres: presence of the others, its own, history, subject, and what comes from now on."""
        for other in room.occupants.values():
            if other is not occupant and room.config.shows(other.role):
                self._announcer.tell(room, other, client)
        own = set[Status]()
        if room.config.whois == "anyone":
            own.add(Status.REAL_JIDS)
        if room.config.archived:
            own.add(Status.LOGGED)
        if room.config.locked:
            own.add(Status.CREATED)
        if occupant.nick != request.asked:
            own.add(Status.NICK_ASSIGNED)
        change = Change(own=frozenset(own))
        self._announcer.tell(room, occupant, client, change, id=request.presence.id)
        try:
            await self._history.send(room, client, request.wanted)
        except StorageUnavailable as err:
            # All else is told, and it asks for what it lacks as it does after any gap (XEP-0313).
            log.warning("%s enters %s without its history: %s", client.jid, room.jid, err)

    def _change_nick(
        self,
        room: Room,
        occupant: Occupant,
        client: Attendance,
        presence: Presence,
        nick: str,
        own: frozenset[Status],
    ) -> Occupant:
        """XEP-0045#changenick, for all clients that share the old one; who it is now. Under a nick that its user has
        here by another client already, these are one from now on.
        """
        taken = room.like(nick)
        self._places.check_nick(room, occupant.user, nick, taken)
        if taken is not None and taken is not occupant:
            nick = taken.nick
        change = Change(codes=frozenset({Status.NICK_CHANGED}), nick=nick)
        self._announcer.announce(room, occupant, change, unavailable=True)
        if client.session is not None:
            _hide(client.session, occupant.jid)
        del room.occupants[occupant.nick]
        if taken is None or taken is occupant:
            taken = occupant
            taken.rename(room.address(nick))
            room.occupants[nick] = taken
        else:
            taken.clients.update(occupant.clients)
            room.attending.update(dict.fromkeys(occupant.clients, taken))
        taken.show(client, presence)
        self._announcer.announce(room, taken, Change(own=own))
        return taken

    def leave(
        self,
        room: Room,
        client: Jid,
        presence: Presence | None = None,
        change: Change = NOTHING,
    ) -> None:
        """``client`` is not in the room any more; ``presence`` is what it said at last, ``change`` why."""
        occupant = room.attending[client]
        gone = occupant.clients[client]
        if presence is not None:
            gone.presence = presence
        if len(occupant.clients) == 1:
            self.remove(room, occupant, change)
            return
        # XEP-0045#enter-conflict: for the others it is still there, by its other clients
        self._announcer.part(room, gone, replace(change, role=Role.NONE))
        del occupant.clients[client]
        self._forget(room, occupant, gone)
        self._announcer.announce(room, occupant)

    def remove(self, room: Room, occupant: Occupant, change: Change) -> None:
        """All clients of ``occupant`` leave at once: it was kicked or banned, or is no member any more. There is no
        moment at which it looks as if it stayed (XEP-0045#revokemember).
        """
        if room.config.locked and len(room.occupants) == 1:
            # XEP-0045#createroom-reserved: the room ends with who did not configure it
            change = replace(change, destroyed=Element("destroy", USER))
        self._announcer.announce(room, occupant, replace(change, role=Role.NONE), unavailable=True)
        del room.occupants[occupant.nick]
        for client in occupant.clients.values():
            self._forget(room, occupant, client)
        self._rooms.left(room)

    def dismiss(self, room: Room, change: Change) -> None:
        """All leave at once, and each client is told of itself alone: the room ends, or its service does."""
        change = replace(change, role=Role.NONE)
        for occupant, client in tuple(room.clients()):
            self._announcer.tell(room, occupant, client, change, unavailable=True)
        for occupant, client in tuple(room.clients()):
            self._forget(room, occupant, client)
        room.occupants.clear()
        self._rooms.left(room)

    def _forget(self, room: Room, occupant: Occupant, client: Attendance) -> None:
        del room.attending[client.jid]
        if client.session is not None:
            _visits(client.session).rooms.discard(room)
            _hide(client.session, occupant.jid)

    def on_error(self, room: Room, message: Message) -> None:
        """A message of the room came back: who cannot be reached is not there any more
        (XEP-0045#impl-service-ghosts).
        """
        if message.sender in room.attending and error_condition(message) in _LOST:
            self.leave(room, message.sender, change=BROKEN)

    def visited(self, session: Session) -> tuple[Room, ...]:
        """The rooms that ``session`` is in."""
        visits = session.get(Visits)
        return () if visits is None else tuple(visits.rooms)

    def lost(self, room: Room, session: Session) -> None:
        """``session`` is over: it leaves ``room``, in the room's turn."""
        occupant = room.attending.get(session.jid)
        if occupant is not None and occupant.clients[session.jid].session is session:
            self.leave(room, session.jid)


def _nick_asked(presence: Presence) -> str:
    assert presence.to is not None
    nick = presence.to.resource
    if nick is None:
        # XEP-0045#enter-muc
        raise StanzaError("jid-malformed", "a nick is missing: room@service/nick")
    return nick


def _hide(session: Session, address: Jid | None) -> None:
    """``session`` is not shown at ``address`` any more: its end is not told there (RFC 6121#4.6.3), and it does not
    count for how many may see it.
    """
    if session.directed is not None and address is not None:
        session.directed.discard(address)


def _visits(session: Session) -> Visits:
    visits = session.get(Visits)
    if visits is None:
        visits = Visits()
        session.put(visits)
    return visits
