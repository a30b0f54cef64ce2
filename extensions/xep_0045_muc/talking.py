"""Messages in a room: one order for all, archived before anybody sees them (XEP-0045#message, DESIGN I1)."""

from __future__ import annotations

from functools import partial

from xmppd import ns
from xmppd.clock import Clock
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import MUC, OCCUPANT_ID, USER, Role
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.im.archivable import Storing, by_content
from xmppd.im.archiver import Archiver
from xmppd.im.stanza_ids import StanzaIds
from xmppd.routing.router import Waiting
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import NewMessage, NewRow, Placed, peer_key
from xmppd.storage.rooms import Affiliation, RoomStore, Subject
from xmppd.xml.element import Element


class Talking:
    def __init__(
        self, store: RoomStore, archiver: Archiver, ids: StanzaIds, post: Post, clock: Clock
    ) -> None:
        self._store = store
        self._archiver = archiver
        self._ids = ids
        self._post = post
        self._clock = clock

    def on_groupchat(self, room: Room, message: Message, session: Session | None) -> Waiting:
        """A message to all, in the room's turn."""
        occupant = room.attending.get(message.sender)
        if occupant is None:
            raise StanzaError("not-acceptable", "you are not in this room")  # XEP-0045#message
        if (subject := message.child("subject")) is not None and message.child("body") is None:
            return self._set_subject(room, occupant, message, subject.text())
        if occupant.role < Role.PARTICIPANT:
            raise StanzaError("forbidden", "you have no voice in this room")  # XEP-0045#message
        return self._say(room, occupant, message)

    def _say(self, room: Room, occupant: Occupant, message: Message) -> Waiting:
        said = _from(room, occupant, message)
        if not (room.config.archived and by_content(message) is Storing.HISTORY):
            return self._archiver.add(None, partial(self._passed, room, said))
        row = NewRow(room.id, peer_key(occupant.user))
        return self._archiver.add(NewMessage(said.wire(), (row,), 0, 0), partial(self._stored, room, said))

    def _passed(self, room: Room, said: Message, placed: Placed | None) -> None:
        """``said`` is not kept, and what was said before it is stored."""
        self._reflect(room, said, 0)

    def _stored(self, room: Room, said: Message, placed: Placed | None) -> None:
        """``said`` is in the room's archive. Where ``placed`` is None nobody knows: who asks the archive finds out."""
        if placed is not None:
            place = placed.places[0]
            name = self._ids.text(room.id, place.id)
            self._reflect(room, said.identified(room.jid, name, place), place.id)

    def _reflect(self, room: Room, said: Message, row: int) -> None:
        said.wire()  # once for all
        for _, client in room.clients():
            if client.held is not None:
                client.held.append((said, row))
            else:
                self._post.to_client(client, said)

    async def _set_subject(self, room: Room, occupant: Occupant, message: Message, text: str) -> None:
        """XEP-0045#subject-mod."""
        allowed = occupant.role is Role.MODERATOR or (
            room.config.occupants_change_subject and occupant.role is Role.PARTICIPANT
        )
        if not allowed:
            raise StanzaError("forbidden", "only moderators change the subject of this room")
        subject = Subject(text, occupant.nick, self._clock.now()) if text else None
        await self._store.set_subject(room.id, subject)
        room.subject = subject
        await _done(self._say(room, occupant, message))

    def on_private(self, room: Room, message: Message, session: Session | None) -> Waiting:
        """A message to one occupant (XEP-0045#privatemessage)."""
        occupant = room.attending.get(message.sender)
        if occupant is None:
            raise StanzaError("not-acceptable", "you are not in this room")
        assert message.to is not None
        to = room.occupants.get(message.to.resource or "")
        if to is None:
            raise StanzaError("item-not-found", "nobody of that nick is in the room")
        allowed = room.config.private_messages
        if (
            allowed == "none"
            or (allowed == "moderators" and occupant.role < Role.MODERATOR)
            or (allowed == "participants" and occupant.role < Role.PARTICIPANT)
        ) and room.affiliation(occupant.user) is not Affiliation.OWNER:
            raise StanzaError("forbidden", "private messages are not allowed here")
        said = _from(room, occupant, message, Element("x", USER))
        for client in to.clients.values():
            self._post.send(said.with_to(client.jid))
        return None


def _from(room: Room, occupant: Occupant, message: Message, *more: Element) -> Message:
    """``message`` as the room sends it on: from the occupant, without what only the room may say (XEP-0421#id)."""
    children = [
        child
        for child in message.children
        if not (
            isinstance(child, Element)
            and (
                child.ns in (OCCUPANT_ID, MUC, USER)
                or (child.ns == ns.STANZA_ID and child.name == "stanza-id")
            )
        )
    ]
    honest = message if len(children) == len(message.children) else message.with_children(children)
    said = honest.sent_by(occupant.jid)
    for child in (room.id_element(occupant), *more):
        said = said.with_child(child)
    return said


async def _done(waiting: Waiting) -> None:
    if waiting is not None:
        await waiting
