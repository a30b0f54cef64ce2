"""XEP-0424: Message Retraction. What somebody takes back is gone from both archives; that it was there is not.

A retraction is archived and delivered like other messages. Behind that, and only where it is the author's, a tombstone
takes the place of the original and of its corrections (XEP-0308), which hold the same secret. Who has not got these yet
does not get them any more. While the storage is away, that is tried again, and what a crash came in between of is done
at the next start: until then the retraction's own row is ``Kind.PENDING``.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, Final, NamedTuple

import msgspec

from xmppd import ns
from xmppd.clock import stamp
from xmppd.config.values import bound
from xmppd.extension import Core, Extension, Setup
from xmppd.im.backwards import Backwards
from xmppd.im.envelope import Envelope
from xmppd.jid import Jid
from xmppd.routing.disco import Entity
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import ArchiveStore, Kind, Mark, Query, Row, peer_key
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.rooms import FIRST_ROOM
from xmppd.xml.element import Element
from xmppd.xml.fragment import from_bytes

log = logging.getLogger("xmppd.im")

NS: Final = ns.RETRACTION
CORRECTION: Final = "urn:xmpp:message-correct:0"

_AGAIN: Final = 10.0  # seconds between two tries
_MOST_WAITING: Final = 100  # retractions in one archive; each may take a while
_BOTH: Final = (Entity.SERVER, Entity.ACCOUNT)

# Ids that can only be written in one way: whoever has another needs not be parsed.
_PLAIN: Final = re.compile(r"[!#-%(-;=?-~]+").fullmatch


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.retraction]``."""

    look_back: Annotated[
        int,
        bound(
            1_000_000, "Messages of a conversation that are looked through for the one that is taken back."
        ),
    ] = 5_000


class Retraction(NamedTuple):
    """In the archive of ``owner`` the message that ``author`` (bare) called ``id`` is taken back, by the message in
    ``row`` that is called ``by``; it was exchanged with ``peer``.
    """

    owner: int
    row: int
    peer: Jid
    author: Jid
    id: str
    by: str


class Found(NamedTuple):
    """A message that is taken back, and what stays of it."""

    row: Row
    envelope: Envelope


class Search(NamedTuple):
    """What is to be replaced: the ``corrections``, and at last the original, whose tombstone tells that all is done
    (``originals``: one, or none where it is not there). That may be a correction itself, of what its author called
    ``corrected``.
    """

    corrections: list[Found]
    originals: tuple[Found, ...] = ()
    corrected: str | None = None


class Retractions:
    """Puts tombstones into archives, one retraction after the other in each."""

    def __init__(self, core: Core, options: Options) -> None:
        self._archive: ArchiveStore = core.stores.archive
        self._pending = core.stores.pending
        self._chat_lists = core.chat_lists
        self._clock = core.clock
        self._tasks = core.tasks
        self._look_back = options.look_back or 2**62
        self._waiting: dict[int, deque[Retraction]] = {}  # by owner

    def asks(self, message: Message) -> bool:
        """Whether something is to be done in the archives that ``message`` comes into."""
        # XEP-0424#tombstones: a tombstone tells what the retraction is called. In what is said privately in a room,
        # addresses do not tell who wrote it (XEP-0424#rules).
        return (
            bool(message.id)
            and _retracted(message.children) is not None
            and not message.has_child_in(ns.MUC_USER)
        )

    def after_sent(self, message: Message, session: Session) -> None:
        if message.row and message.to is not None and self.asks(message):
            self._add(message, session.account.id, message.to)

    def after_received(self, message: Message, account: Account, got: Sequence[Resource]) -> None:
        if message.row and self.asks(message):
            self._add(message, account.id, message.sender)

    async def resume(self) -> None:
        """Do what was begun, or was to be, when the server stopped."""
        after = (0, 0)
        while rows := await self._pending.list(after=after):
            for owner, id in rows:
                if owner >= FIRST_ROOM:
                    return  # what is left to be done in rooms is theirs
                if all(id != one.row for one in self._waiting.get(owner, ())):
                    await self._resume(owner, id)
            after = rows[-1]

    async def _resume(self, owner: int, id: int) -> None:
        for row in await self._archive.read(owner, Query(ids=(id,)), limit=1):
            if not row.stanza:
                continue  # it is damaged
            envelope = Envelope.of(row.stanza)
            original = _retracted(from_bytes(row.stanza).children)
            if original and envelope.id:
                sender, to = Jid.parse(envelope.sender), Jid.parse(envelope.to)
                peer = to if row.peer & Mark.SENT else sender
                self._enqueue(Retraction(owner, id, peer, sender.bare, original, envelope.id))

    def _add(self, message: Message, owner: int, peer: Jid) -> None:
        id, by = _retracted(message.children), message.id
        assert id
        assert by
        self._enqueue(Retraction(owner, message.row, peer, message.sender.bare, id, by))

    def _enqueue(self, retraction: Retraction) -> None:
        waiting = self._waiting.setdefault(retraction.owner, deque())
        if len(waiting) >= _MOST_WAITING:
            log.info("%s takes back many messages at once; one stays for up to an hour", retraction.author)
            return
        waiting.append(retraction)
        if len(waiting) == 1:
            self._start(waiting)

    def _start(self, waiting: deque[Retraction]) -> None:
        self._tasks.start(f"messages that {waiting[0].author} takes back", self._work(waiting))

    async def _work(self, waiting: deque[Retraction]) -> None:
        owner = waiting[0].owner
        while waiting:
            try:
                await self._retract(waiting[0])
                await self._pending.done(owner, waiting[0].row)
            except StorageUnavailable as err:
                log.error(
                    "%d messages that were taken back stay in the archive for now: %s", len(waiting), err
                )
                self._clock.call_later(_AGAIN, partial(self._start, waiting))
                return
            except BaseException:
                del self._waiting[owner]
                raise
            waiting.popleft()
        del self._waiting[owner]

    async def _retract(self, retraction: Retraction) -> None:
        """Replace what belongs to it. Wherever that ends too early, the whole of it can be done again."""
        named = await self._search(retraction, retraction.id)
        found = named.corrections
        if named.corrected is not None:
            whole = await self._search(retraction, named.corrected)
            found += [*whole.corrections, *whole.originals]
        by_row = {each.row.id: each for each in found}
        for each in named.originals:
            by_row.pop(each.row.id, None)  # it comes last
            by_row[each.row.id] = each
        for row, envelope in by_row.values():
            tombstone = _tombstone(envelope, retraction)
            await self._archive.replace(retraction.owner, row.id, tombstone, Kind.TOMBSTONE)
            await self._chat_lists.taken_back(retraction.owner, row)

    async def _search(self, retraction: Retraction, id: str) -> Search:
        """Look for the message ``id`` and its corrections, newest first."""
        needle = id.encode() if _PLAIN(id) else b""
        query = Query(before=retraction.row, peer=peer_key(retraction.peer))
        rows = Backwards(self._archive, retraction.owner, query, most=self._look_back)
        corrections: list[Found] = []
        while portion := await rows.next():
            for row in portion:
                if needle not in row.stanza:
                    continue
                envelope = Envelope.of(row.stanza)
                if Jid.parse(envelope.sender).bare != retraction.author:
                    continue  # XEP-0424#rules: only who wrote a message takes it back
                if row.kind & Kind.TOMBSTONE:
                    if envelope.id == id:
                        return Search(
                            corrections
                        )  # done already; an older one of that name is another message
                    continue
                message = from_bytes(row.stanza)
                if message.child("retract", NS) is not None:
                    continue
                found = Found(row._replace(stanza=b""), envelope)
                if _is_called(message, id):
                    corrected = next((other.get("id") for other in message.each("replace", CORRECTION)), None)
                    return Search(corrections, (found,), corrected)
                if _corrects(message, id):
                    corrections.append(found)
        return Search(corrections)


def _retracted(children: Iterable[Element | str]) -> str | None:
    """What a message with ``children`` takes back; it is asked for every message."""
    for child in children:
        if type(child) is Element and child.ns == NS and child.name == "retract":
            return child.attrs.get("id") or None
    return None


def _is_called(message: Element, id: str) -> bool:
    """XEP-0424#business-id; ``origin-id`` is for clients that let their server choose the ``id``."""
    return message.get("id") == id or any(
        origin.get("id") == id for origin in message.each("origin-id", ns.STANZA_ID)
    )


def _corrects(message: Element, id: str) -> bool:
    return any(replaced.get("id") == id for replaced in message.each("replace", CORRECTION))


def _tombstone(envelope: Envelope, retraction: Retraction) -> bytes:
    """XEP-0424#tombstones: who wrote to whom, and nothing of what."""
    attrs = {"id": retraction.by, "stamp": stamp(retraction.row / 1e6)}
    return Message(
        type=envelope.type,
        sender=Jid.parse(envelope.sender),
        to=Jid.parse(envelope.to),
        id=envelope.id,
        children=[Element("retracted", NS, attrs)],
    ).wire()


def setup(s: Setup, options: Options) -> None:
    retractions = Retractions(s.core, options)
    s.feature(NS, f"{NS}#tombstone", at=_BOTH)  # XEP-0424#disco, XEP-0424#tombstones
    s.after_sent(retractions.after_sent)
    s.after_received(retractions.after_received)
    s.core.messages.set_asks(retractions.asks)
    s.hourly(retractions.resume)


EXTENSION: Final = Extension(
    name="retraction",
    xep="0424",
    version="0.4.2",
    summary="What somebody takes back is removed from both archives.",
    config=Options,
    setup=setup,
)
