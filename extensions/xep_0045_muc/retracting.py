"""What is taken back in a room, by its author (XEP-0424) or a moderator (XEP-0425): a tombstone takes its place.

The retraction is a message of the room as any other, archived and shown to all; its row is ``Kind.PENDING`` until the
tombstone, and those of the corrections (XEP-0308), which hold the same secret, are in place. That is tried again while
the storage is away, and what a crash came in between of is done at the next start.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import OCCUPANT_ID, USER
from xmppd.extensions.xep_0045_muc.stored import author_of
from xmppd.im.backwards import Backwards
from xmppd.im.stanza_ids import StanzaIds
from xmppd.jid import Jid, escape_attribute
from xmppd.stanza import Message
from xmppd.storage.archive import ArchiveStore, Kind, PendingStore, Query, Row, peer_key
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.rooms import FIRST_ROOM
from xmppd.tasks import Tasks
from xmppd.xml.element import XML_LANG, Element
from xmppd.xml.fragment import from_bytes

log = logging.getLogger("xmppd.im")

MODERATION: Final = "urn:xmpp:message-moderate:1"
_CORRECTION: Final = "urn:xmpp:message-correct:0"
_AGAIN: Final = 10.0  # seconds between two tries
_LOOK_BACK: Final = 5_000  # messages of one author


class Retracting:
    """Puts tombstones into the archives of rooms, one after the other."""

    def __init__(
        self, archive: ArchiveStore, pending: PendingStore, ids: StanzaIds, clock: Clock, tasks: Tasks
    ) -> None:
        self._archive = archive
        self._pending = pending
        self._ids = ids
        self._clock = clock
        self._tasks = tasks
        self._waiting = deque[tuple[int, int]]()  # (room, row)

    def check(self, message: Message) -> None:
        """``forbidden`` where what somebody says to all claims to be a moderator's doing: only the room says that
        (XEP-0425#rules).
        """
        retract = message.child("retract", ns.RETRACTION)
        if retract is not None and retract.child("moderated", MODERATION) is not None:
            raise StanzaError("forbidden", "ask the room to retract what others said, with <moderate/>")

    def asks(self, said: Message) -> bool:
        """Whether something is to be done in the archive that ``said`` comes into."""
        if not said.has_child_in(ns.RETRACTION):
            return False
        retract = said.child("retract", ns.RETRACTION)
        # XEP-0424#tombstones: a tombstone tells what the retraction is called
        return retract is not None and bool(retract.get("id")) and bool(said.id)

    def taken(self, room: int, row: int) -> None:
        """The retraction in ``row`` of the archive of ``room`` is durable."""
        self._waiting.append((room, row))
        if len(self._waiting) == 1:
            self._start()

    async def resume(self) -> None:
        """Do what was begun, or was to be, when the server stopped."""
        after = (FIRST_ROOM - 1, 2**63 - 1)
        while rows := await self._pending.list(after=after):
            for each in rows:
                if each not in self._waiting:
                    self.taken(*each)
            after = rows[-1]

    def _start(self) -> None:
        self._tasks.start("what was taken back in rooms", self._work())

    async def _work(self) -> None:
        while self._waiting:
            room, row = self._waiting[0]
            try:
                await self._retract(room, row)
                await self._pending.done(room, row)
            except StorageUnavailable as err:
                log.error("%d messages that were taken back in rooms stay: %s", len(self._waiting), err)
                self._clock.call_later(_AGAIN, self._start)
                return
            except Exception:
                log.exception("a message that was taken back in a room stays")
            self._waiting.popleft()

    async def _retract(self, room: int, id: int) -> None:
        """Put the tombstones of the retraction in the row ``id``. Wherever that ends, it can be done again."""
        row = await self._read(room, id)
        if row is None:
            return
        retraction = from_bytes(row.stanza)
        retract = retraction.child("retract", ns.RETRACTION)
        named = None if retract is None else self._ids.row(room, retract.get("id") or "")
        target = None if named is None or named >= id else await self._read(room, named)
        if retract is None or target is None or target.kind & Kind.TOMBSTONE:
            return
        author, by = author_of(target.stanza), author_of(row.stanza)
        if author is None or (by is not None and by.bare != author.bare):
            return  # XEP-0424#rules: only who wrote a message takes it back; the room itself does what moderators want
        retracted = _retracted(retraction, retract, id)
        for each in [
            *await self._related(room, id, target, author),
            target,
        ]:  # the one that tells that all is done last
            await self._archive.replace(room, each.id, _tombstone(retracted, each), Kind.TOMBSTONE)

    async def _related(self, room: int, before: int, target: Row, author: Jid) -> list[Row]:
        """The corrections of ``target``; or, where it is one, the original and the other ones."""
        id = _called(from_bytes(target.stanza))
        if not id:
            return []
        needle = escape_attribute(id).encode()
        found: list[Row] = []
        query = Query(before=before, peer=peer_key(author))
        rows = Backwards(self._archive, room, query, most=_LOOK_BACK)
        while portion := await rows.next():
            for row in portion:
                if row.id == target.id or needle not in row.stanza or row.kind & Kind.TOMBSTONE:
                    continue
                message = from_bytes(row.stanza)
                if _called(message) == id and message.child("retract", ns.RETRACTION) is None:
                    found.append(row)
                    if message.child("replace", _CORRECTION) is None:
                        return found  # the original; who uses an id twice means the newest
        return found

    async def _read(self, room: int, id: int) -> Row | None:
        rows = await self._archive.read(room, Query(ids=(id,)), limit=1)
        return rows[0] if rows and rows[0].stanza else None


def _called(message: Element) -> str | None:
    """What the author of ``message`` called it, or, if it is a correction, what it corrects."""
    replaced = message.child("replace", _CORRECTION)
    return message.get("id") if replaced is None else replaced.get("id")


def _retracted(retraction: Element, retract: Element, row: int) -> Element:
    """What stands in a tombstone (XEP-0424#tombstones, XEP-0425#tombstones)."""
    attrs = {"id": retraction.attrs["id"], "stamp": stamp(row / 1e6)}
    return Element("retracted", ns.RETRACTION, attrs, list(retract.elements()))


def _tombstone(retracted: Element, row: Row) -> bytes:
    """Who said it, and nothing of what."""
    message = from_bytes(row.stanza)
    kept: list[Element | str] = [
        *message.each("occupant-id", OCCUPANT_ID),
        retracted,
        *message.each("x", USER),
    ]
    return Message(
        type="groupchat",
        sender=Jid.parse(message.attrs["from"]),
        to=None,
        id=message.get("id"),
        lang=message.get(XML_LANG),
        children=kept,
    ).wire()
