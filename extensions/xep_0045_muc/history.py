"""What was said before somebody came (XEP-0045#enter-history), out of the room's archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from xmppd import ns
from xmppd.clock import microseconds, stamp
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.reflecting import Reflecting
from xmppd.extensions.xep_0045_muc.room import Attendance, Room
from xmppd.extensions.xep_0045_muc.stored import shown
from xmppd.im.backwards import Backwards
from xmppd.stanza import Message
from xmppd.storage.archive import ArchiveStore, Kind, Query, Row
from xmppd.xml.element import Element, text_element
from xmppd.xml.fragment import from_bytes

_BYTES: Final = 262_144  # of history for one who enters, as it is stored
_LOOKED_AT: Final = 1_000  # rows, of which some are nothing to be shown
# That one has got or read something (XEP-0333, XEP-0184).
_NOTICES: Final = frozenset({"urn:xmpp:chat-markers:0", "urn:xmpp:receipts"})
_NOTICE_NAMES: Final = frozenset({"received", "displayed", "acknowledged"})
_DIGITS: Final = 12
_FAR: Final = 10**12  # seconds: before all that there is


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client wants of the history (XEP-0045#enter-managehistory); None: it did not say. ``since`` is a time in
    microseconds since the epoch.
    """

    stanzas: int | None = None
    chars: int | None = None
    seconds: int | None = None
    since: int | None = None

    @classmethod
    def parse(cls, history: Element | None) -> Self:
        """``bad-request`` for what is no number or no time."""
        if history is None:
            return cls()
        return cls(
            _number(history, "maxstanzas"),
            _number(history, "maxchars"),
            _number(history, "seconds"),
            _time(history, "since"),
        )


def _number(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise StanzaError("bad-request", f"{name} of the history is a number, from 0 on")
    digits = text.lstrip("0")
    return _FAR if len(digits) > _DIGITS else int(digits or "0")


def _time(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    try:
        return microseconds(text)
    except ValueError as err:
        raise StanzaError("bad-request", f"{name} of the history: {err}") from err


class RoomHistory:
    """Gives the history to who enters, and lets nothing be missing or come twice between that and what is said now."""

    def __init__(
        self, archive: ArchiveStore, reflecting: Reflecting, post: Post, now: Callable[[], float]
    ) -> None:
        self._archive = archive
        self._reflecting = reflecting
        self._post = post
        self._now = now

    async def send(self, room: Room, client: Attendance, wanted: Wanted) -> None:
        """Send what was said, then the subject, then what was said meanwhile, which waited in ``client.held``."""
        upto = 0
        try:
            await self._reflecting.begin(room)
            rows = await self._rows(room, wanted)
            if rows:
                upto = rows[-1].id
            for message in self._fitting(room, client, rows, wanted.chars):
                self._post.to_client(client, message)
            await self._reflecting.caught_up(room, upto)
        finally:
            self._post.to_client(client, self._subject(room))
            held, client.held = client.held or (), None
            for said, row in held:
                if row == 0 or row > upto:
                    self._post.to_client(client, said)

    async def _rows(self, room: Room, wanted: Wanted) -> list[Row]:
        most = room.config.history if wanted.stanzas is None else min(wanted.stanzas, room.config.history)
        if most <= 0 or wanted.chars == 0 or not room.config.archived:
            return []
        after = 0
        if wanted.seconds is not None:
            after = int((self._now() - wanted.seconds) * 1e6) - 1
        if wanted.since is not None:
            after = max(after, wanted.since - 1)
        found: list[Row] = []
        size = 0
        rows = Backwards(self._archive, room.id, Query(after=max(after, 0)), most=_LOOKED_AT)
        while portion := await rows.next():
            for row in portion:
                if not _is_shown(row):
                    continue
                size += len(row.stanza)
                if size > _BYTES:
                    return found[::-1]
                found.append(row)
                if len(found) == most:
                    return found[::-1]
        return found[::-1]

    def _fitting(self, room: Room, client: Attendance, rows: list[Row], chars: int | None) -> list[Message]:
        """The newest of ``rows``, as many as have ``chars`` characters together as whole stanzas."""
        messages: list[Message] = []
        for row in reversed(rows):
            message = self._message(room, row)
            if chars is not None:
                chars -= len(message.with_to(client.jid).wire().decode())
                if chars < 0:
                    break
            messages.append(message)
        return messages[::-1]

    def _message(self, room: Room, row: Row) -> Message:
        delay = Element("delay", ns.DELAY, {"from": str(room.jid), "stamp": stamp(row.id / 1e6)})
        return shown(room, row, self._reflecting.name(room, row), delay)

    def _subject(self, room: Room) -> Message:
        """XEP-0045#enter-subject: always, empty where there is none."""
        subject = room.subject
        text = "" if subject is None else subject.text
        children: list[Element | str] = [text_element("subject", ns.CLIENT, text)]
        sender = room.jid
        if subject is not None:
            if subject.nick:
                sender = room.jid.with_resource(subject.nick)
            children.append(Element("delay", ns.DELAY, {"from": str(room.jid), "stamp": stamp(subject.at)}))
        return Message(type="groupchat", sender=sender, to=None, children=children)


def _is_shown(row: Row) -> bool:
    """Whether ``row`` is part of the discussion. A subject is not (XEP-0045#enter-history), nor is that somebody has
    read something; and what was taken back is not spread further (XEP-0424#rules).
    """
    if row.kind & Kind.TOMBSTONE:
        return False
    return b"<body" in row.stanza or not any(_is_notice(child) for child in from_bytes(row.stanza).elements())


def _is_notice(child: Element) -> bool:
    if child.ns == ns.CLIENT:
        return child.name == "subject"
    return child.ns in _NOTICES and child.name in _NOTICE_NAMES
