"""Messages in a room: one order for all, archived before anybody sees them (XEP-0045#message, DESIGN I1)."""

from __future__ import annotations

from functools import partial
from typing import Final

from xmppd import ns
from xmppd.clock import Clock
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import MUC, OCCUPANT_ID, USER, Role
from xmppd.extensions.xep_0045_muc.reflecting import Reflecting
from xmppd.extensions.xep_0045_muc.retracting import Retracting
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.extensions.xep_0045_muc.slow import SlowMode
from xmppd.extensions.xep_0045_muc.stored import to_store
from xmppd.im.archivable import Storing, by_content, counts_as_unread
from xmppd.im.archiver import Archiver
from xmppd.im.forgeries import without_forgeries
from xmppd.im.markers import displayed
from xmppd.im.resends import AlreadyTaken, Resends
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.routing.ticket import Ticket
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import Kind, Mark, NewMessage, NewRow, Placed, peer_key
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.rooms import RoomStore, Subject
from xmppd.xml.element import Element

_MOST_SUBJECT: Final = 4_096  # characters: everybody who enters gets it


class Talking:
    """What occupants say to all."""

    def __init__(
        self,
        store: RoomStore,
        archiver: Archiver,
        resends: Resends,
        reflecting: Reflecting,
        retracting: Retracting,
        slow: SlowMode,
        clock: Clock,
    ) -> None:
        self._store = store
        self._archiver = archiver
        self._resends = resends
        self._reflecting = reflecting
        self._retracting = retracting
        self._slow = slow
        self._clock = clock

    def on_groupchat(self, room: Room, message: Message, session: Session | None) -> Waiting:
        """A message to all, in the room's turn."""
        occupant = room.attending.get(message.sender)
        if occupant is None:
            raise StanzaError("not-acceptable", "you are not in this room")  # XEP-0045#message
        if room.config.locked:
            raise StanzaError("item-not-found", "the room is not configured yet")  # XEP-0045#bizrules-message
        subject = message.child("subject")
        if subject is not None and message.child("body") is None and message.child("thread") is None:
            return self._set_subject(room, occupant, message, subject.text())
        if occupant.role < Role.PARTICIPANT:
            raise StanzaError("forbidden", "you have no voice in this room")  # XEP-0045#message
        self._retracting.check(message)
        return self._say(room, occupant, message, session)

    def _say(self, room: Room, occupant: Occupant, message: Message, session: Session | None) -> Ticket:
        said = as_said(room, occupant, message)
        origin = check = 0
        if session is not None:
            origin, check = self._resends.of(message, session)
        if message.child("body") is not None:
            self._slow.check(room, occupant.user, origin)
        if not (room.config.archived and by_content(message) is Storing.HISTORY):
            return self._archiver.add(None, partial(self._passed, room, said))
        kind = Kind.PENDING if self._retracting.asks(said) else Kind.NONE
        mark = Mark.NONE
        if counts_as_unread(message):
            mark = Mark.UNREAD
        elif displayed(message.children):
            kind |= Kind.MARKER
        row = NewRow(room.id, peer_key(occupant.user) | mark, kind)
        new = NewMessage(to_store(room, said, occupant, message.sender), (row,), origin, check)
        checked = session if check else None
        try:
            ticket = self._archiver.add(new, partial(self._stored, room, said, message.sender, checked))
        except StorageUnavailable:
            self._slow.failed(room, occupant.user)
            raise
        if room.config.slow_seconds:
            ticket.then(partial(self._told, room, occupant.user))
        return ticket

    def _told(self, room: Room, user: Jid, error: Exception | None) -> None:
        """``user`` (bare) may say it again at once, where it was not taken."""
        if isinstance(error, StorageUnavailable):
            self._slow.failed(room, user)

    def _passed(self, room: Room, said: Message, placed: Placed | None) -> None:
        """``said`` is not kept, and what was said before it is stored."""
        self._reflecting.passed(room, said)

    def _stored(
        self, room: Room, said: Message, client: Jid, checked: Session | None, placed: Placed | None
    ) -> Exception | None:
        """``said`` is in the room's archive. Where ``placed`` is None nobody knows. ``checked``: the session of its
        client, if it might have been a resend.
        """
        if placed is None:
            self._reflecting.doubt(room)
            return None
        place = placed.places[0]
        if placed.duplicate:
            self._reflecting.again(room, place, client)
            return AlreadyTaken()
        if checked is not None:
            self._resends.was_new(checked)
        self._reflecting.stored(room, said, place)
        if self._retracting.asks(said):
            self._retracting.taken(room.id, place.id)
        return None

    # The subject

    async def _set_subject(self, room: Room, occupant: Occupant, message: Message, text: str) -> None:
        """XEP-0045#subject-mod. The subject is what the room's own record says; that it changed is history as well."""
        allowed = occupant.role is Role.MODERATOR or (
            room.config.occupants_change_subject and occupant.role is Role.PARTICIPANT
        )
        if not allowed:
            raise StanzaError("forbidden", "only moderators change the subject of this room")
        if len(text) > _MOST_SUBJECT:
            raise StanzaError(
                "policy-violation", f"a subject has {_MOST_SUBJECT} characters at most; this has {len(text)}"
            )
        subject = Subject(text, occupant.nick, self._clock.now())
        await self._store.set_subject(room.id, subject)
        room.subject = subject
        said = as_said(room, occupant, message)
        if not room.config.archived or message.has_child_in(ns.HINTS):
            await self._archiver.add(None, partial(self._passed, room, said))
            return
        row = NewRow(room.id, peer_key(occupant.user))
        new = NewMessage(to_store(room, said, occupant, message.sender), (row,))
        try:
            await self._archiver.add(new, partial(self._changed, room, said))
        except StorageUnavailable:
            # It is the subject all the same: who is there has to know what those see who come.
            self._reflecting.passed(room, said)

    def _changed(self, room: Room, said: Message, placed: Placed | None) -> None:
        if placed is None:
            self._reflecting.doubt(room)
        else:
            self._reflecting.stored(room, said, placed.places[0])


def as_said(room: Room, occupant: Occupant, message: Message, *more: Element) -> Message:
    """``message`` as the room sends it on: from the occupant, without what only the room may say (XEP-0421#id), and
    with what it says.
    """
    honest = without_forgeries(message, lambda speaker: speaker.bare == room.jid)
    children = [child for child in honest.children if not _is_the_rooms(child)]
    if len(children) < len(honest.children):
        honest = honest.with_children(children)
    said = honest.sent_by(occupant.jid)
    for child in (room.id_element(occupant), *more):
        said = said.with_child(child)
    return said


def _is_the_rooms(child: Element | str) -> bool:
    """Whether only a room says ``child``: who somebody is, and what a message is called in its archive."""
    if type(child) is not Element:
        return False
    space = child.ns
    return (
        space in (OCCUPANT_ID, MUC, USER)
        or space.startswith(f"{MUC}#")
        or (space == ns.STANZA_ID and child.name == "stanza-id")
    )
