"""What was said before somebody came (XEP-0045#enter-history), out of the room's archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from xmppd import ns
from xmppd.clock import stamp
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Attendance, Room
from xmppd.im.stanza_ids import StanzaIds
from xmppd.stanza import Message
from xmppd.storage.archive import ArchiveStore, Query, Row
from xmppd.xml.element import Element, text_element
from xmppd.xml.fragment import from_bytes

_BYTES: Final = 262_144  # of history for one who enters


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client wants of the history; None: it did not say. ``since`` is a row's id, i.e. microseconds."""

    stanzas: int | None = None
    chars: int | None = None
    seconds: int | None = None
    since: int | None = None

    @classmethod
    def parse(cls, history: Element | None) -> Self:
        if history is None:
            return cls()
        return cls(
            _number(history, "maxstanzas"), _number(history, "maxchars"), _number(history, "seconds"), None
        )


def _number(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise StanzaError("bad-request", f"{name} of the history is a number, not {text!r}")
    return int(text)


class RoomHistory:
    def __init__(self, archive: ArchiveStore, ids: StanzaIds, post: Post, now: Callable[[], float]) -> None:
        self._archive = archive
        self._ids = ids
        self._post = post
        self._now = now

    async def send(self, room: Room, client: Attendance, wanted: Wanted) -> None:
        """Send what was said, then the subject, then what was said meanwhile, which waited in ``client.held``."""
        newest = 0
        try:
            for row in await self._rows(room, wanted):
                newest = row.id
                self._post.to_client(client, self._message(room, row))
        finally:
            self._post.to_client(client, self._subject(room))
            held, client.held = client.held or (), None
            for message, row_id in held:
                if row_id == 0 or row_id > newest:
                    self._post.to_client(client, message)

    async def _rows(self, room: Room, wanted: Wanted) -> list[Row]:
        most = room.config.history if wanted.stanzas is None else min(wanted.stanzas, room.config.history)
        if most <= 0 or wanted.chars == 0 or not room.config.archived:
            return []
        after = 0
        if wanted.seconds is not None:
            after = int((self._now() - wanted.seconds) * 1e6)
        if wanted.since is not None:
            after = max(after, wanted.since - 1)
        rows = await self._archive.read(
            room.id, Query(after=after), limit=most, backwards=True, most_bytes=wanted.chars or _BYTES
        )
        return [row for row in rows if row.stanza]

    def _message(self, room: Room, row: Row) -> Message:
        element = from_bytes(row.stanza)
        attrs = {"from": str(room.jid), "stamp": stamp(row.id / 1e6)}
        name = self._ids.text(room.id, row.id)
        return Message(
            type="groupchat",
            sender=room.jid.with_resource(_nick(element, room)),
            to=None,
            id=element.get("id"),
            lang=element.get("xml:lang"),
            children=[
                *element.children,
                Element("stanza-id", ns.STANZA_ID, {"by": str(room.jid), "id": name}),
                Element("delay", ns.DELAY, attrs),
            ],
        )

    def _subject(self, room: Room) -> Message:
        """XEP-0045#subject: always, empty where there is none."""
        subject = room.subject
        children: list[Element | str] = [
            text_element("subject", ns.CLIENT, "" if subject is None else subject.text)
        ]
        sender = room.jid
        if subject is not None:
            if subject.nick:
                sender = room.jid.with_resource(subject.nick)
            children.append(Element("delay", ns.DELAY, {"from": str(room.jid), "stamp": stamp(subject.at)}))
        return Message(type="groupchat", sender=sender, to=None, children=children)


def _nick(message: Element, room: Room) -> str:
    """Of whom a stored message is."""
    return (message.get("from") or "").removeprefix(f"{room.jid}/")
