"""Who comes, goes, changes nick or shows something else (XEP-0045#entering to #exit)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.history import RoomHistory, Wanted
from xmppd.extensions.xep_0045_muc.names import MUC, Role, Status
from xmppd.extensions.xep_0045_muc.places import Places
from xmppd.extensions.xep_0045_muc.presence import NOTHING, Announcer, Change
from xmppd.extensions.xep_0045_muc.room import Attendance, Occupant, Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Presence, error_condition
from xmppd.storage.rooms import Affiliation
from xmppd.xml.element import Element

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


class Entering:
    def __init__(self, rooms: Rooms, announcer: Announcer, places: Places, history: RoomHistory) -> None:
        self._rooms = rooms
        self._announcer = announcer
        self._places = places
        self._history = history

    def on_presence(self, room: Room, presence: Presence, session: Session | None) -> Waiting:
        """A presence to ``room``, whose ``to`` is an occupant's address, in the room's turn."""
        occupant = room.attending.get(presence.sender)
        if presence.type == "unavailable":
            if occupant is not None:
                self.leave(room, presence.sender, presence)
            return None
        if presence.type == "error":
            if occupant is not None:
                self.leave(room, presence.sender, change=BROKEN)
            return None
        if presence.type:
            return None  # subscriptions and probes mean nothing to a room
        assert presence.to is not None
        nick = presence.to.resource
        if nick is None:
            raise StanzaError(
                "jid-malformed", "a nick is missing: room@service/nick"
            )  # XEP-0045#enter-nonick
        wants = presence.child(*_MUC_X)
        if occupant is None:
            if wants is None:
                # XEP-0045#enter-gc: who does not say that it speaks this protocol is not let in unawares
                raise StanzaError(
                    "not-acceptable", "you are not in this room; enter it with <x xmlns='…/muc'/>"
                )
            return self._enter(room, presence, session, nick, wants)
        if nick != occupant.nick:
            self._change_nick(room, occupant, presence, nick)
            return None
        client = occupant.clients[presence.sender]
        client.presence = presence
        if wants is not None:
            # It believes that it is not in the room, say after a lost connection: it gets everything again.
            return self._welcome(room, occupant, client, wants, again=True)
        self._announcer.announce(room, occupant)
        return None

    def _enter(
        self, room: Room, presence: Presence, session: Session | None, nick: str, wants: Element
    ) -> Waiting:
        user = presence.sender.bare
        occupant = room.occupants.get(nick)
        self._may_enter(room, user, nick, occupant, wants)
        if occupant is None:
            role = room.role_of(room.affiliation(user))
            occupant = Occupant(presence.to or room.jid, user, role, room.occupant_id(user))
            room.occupants[nick] = occupant
        client = Attendance(presence.sender, session, presence)
        occupant.clients[client.jid] = client
        room.attending[client.jid] = occupant
        if session is not None:
            _visits(session).rooms.add(room)
        return self._welcome(room, occupant, client, wants)

    def _may_enter(self, room: Room, user: Jid, nick: str, occupant: Occupant | None, wants: Element) -> None:
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
            given = wants.child("password", MUC)
            if given is None or given.text() != room.config.password:
                raise StanzaError("not-authorized", "this room asks for a password")  # XEP-0045#enter-pw
        self._places.check_nick(room, user, nick, occupant)
        self._places.check_room(room, user)

    def _welcome(
        self, room: Room, occupant: Occupant, client: Attendance, wants: Element, *, again: bool = False
    ) -> Waiting:
        """XEP-0045#order: presence of the others, its own, history, subject, and what comes from now on."""
        created = room.config.locked and not again
        for other in room.occupants.values():
            if other is not occupant and room.config.shows(other.role):
                self._announcer.tell(room, other, client)
        own = set[Status]()
        if room.config.whois == "anyone":
            own.add(Status.REAL_JIDS)
        if room.config.archived:
            own.add(Status.LOGGED)
        if created:
            own.add(Status.CREATED)
        if not again:
            self._announcer.announce(room, occupant, but={client.jid})
        self._announcer.tell(room, occupant, client, Change(own=frozenset(own)))
        return self._history.send(room, client, Wanted.parse(wants.child("history", MUC)))

    def _change_nick(self, room: Room, occupant: Occupant, presence: Presence, nick: str) -> None:
        """XEP-0045#changenick."""
        taken = room.occupants.get(nick)
        if taken is not None and taken.user == occupant.user and taken is not occupant:
            raise StanzaError("conflict", "another client of yours is here under that nick")
        self._places.check_nick(room, occupant.user, nick, taken)
        client = occupant.clients[presence.sender]
        self._announcer.announce(
            room, occupant, Change(codes=frozenset({Status.NICK_CHANGED}), nick=nick), unavailable=True
        )
        client.presence = presence
        del room.occupants[occupant.nick]
        occupant.jid = Jid(room.jid.local, room.jid.domain, nick)
        occupant.nick = nick
        room.occupants[nick] = occupant
        self._announcer.announce(room, occupant)

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
        change = replace(change, role=Role.NONE)
        if len(occupant.clients) == 1:
            self._announcer.announce(room, occupant, change, unavailable=True)
            del room.occupants[occupant.nick]
        else:
            # XEP-0045#enter-multi: for the others it is still there, by its other clients
            self._announcer.tell(room, occupant, gone, change, unavailable=True)
        del occupant.clients[client], room.attending[client]
        if room.occupants.get(occupant.nick) is occupant:
            self._announcer.announce(room, occupant)
        if gone.session is not None:
            _visits(gone.session).rooms.discard(room)
        self._rooms.left(room)

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


def _visits(session: Session) -> Visits:
    visits = session.get(Visits)
    if visits is None:
        visits = Visits()
        session.put(visits)
    return visits
