"""XEP-0424: Message Retraction. What somebody takes back is gone from both archives; that it was there is not.

A retraction is archived and delivered like other messages. Behind that, and only where it is the author's, a tombstone
takes the place of the original and of its corrections (XEP-0308), which hold the same secret. Who has not got these yet
does not get them any more. While the storage is away, that is tried again.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Sequence
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
from xmppd.storage.archive import ArchiveStore, Kind, Query, peer_key
from xmppd.storage.interfaces import StorageUnavailable
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
    ``row`` that is called ``by``; it was exchanged with ``peer``. ``followed``: what was named is a correction of it.
    """

    owner: int
    row: int
    peer: Jid
    author: Jid
    id: str
    by: str
    followed: bool = False


class Retractions:
    """Puts tombstones into archives, one retraction after the other in each."""

    def __init__(self, core: Core, options: Options) -> None:
        self._archive: ArchiveStore = core.stores.archive
        self._chat_lists = core.chat_lists
        self._clock = core.clock
        self._tasks = core.tasks
        self._look_back = options.look_back or 2**62
        self._waiting: dict[int, deque[Retraction]] = {}  # by owner

    def after_sent(self, message: Message, session: Session) -> None:
        if message.to is not None and (id := _retracted(message)) is not None:
            self._add(message, id, session.account.id, message.to)

    def after_received(self, message: Message, account: Account, got: Sequence[Resource]) -> None:
        if (id := _retracted(message)) is not None:
            self._add(message, id, account.id, message.sender)

    def _add(self, message: Message, id: str, owner: int, peer: Jid) -> None:
        # XEP-0424#tombstones: the retraction has to be in the archive, and a tombstone tells what it is called
        if not message.row or not message.id:
            return
        waiting = self._waiting.setdefault(owner, deque())
        if len(waiting) >= _MOST_WAITING:
            log.info("%s takes back too many messages at once; one stays in the archive", message.sender)
            return
        waiting.append(Retraction(owner, message.row, peer, message.sender.bare, id, message.id))
        if len(waiting) == 1:
            self._start(waiting)

    def _start(self, waiting: deque[Retraction]) -> None:
        self._tasks.start(f"messages that {waiting[0].author} takes back", self._work(waiting))

    async def _work(self, waiting: deque[Retraction]) -> None:
        owner = waiting[0].owner
        while waiting:
            try:
                corrected = await self._retract(waiting[0])
            except StorageUnavailable as err:
                log.error(
                    "%d messages that were taken back stay in the archive for now: %s", len(waiting), err
                )
                self._clock.call_later(_AGAIN, partial(self._start, waiting))
                return
            except BaseException:
                del self._waiting[owner]
                raise
            done = waiting.popleft()
            if corrected and not done.followed:
                waiting.appendleft(done._replace(id=corrected, followed=True))
        del self._waiting[owner]

    async def _retract(self, retraction: Retraction) -> str | None:
        """Look for the original, newest first, and replace what belongs to it. If it is a correction itself: the id of
        what it corrects.
        """
        archive, owner = self._archive, retraction.owner
        needle = retraction.id.encode() if _PLAIN(retraction.id) else b""
        query = Query(before=retraction.row, peer=peer_key(retraction.peer))
        rows = Backwards(archive, owner, query, most=self._look_back)
        while portion := await rows.next():
            for row in portion:
                if needle not in row.stanza:
                    continue
                envelope = Envelope.of(row.stanza)
                if Jid.parse(envelope.sender).bare != retraction.author:
                    continue  # XEP-0424#rules: only who wrote a message takes it back
                if row.kind & Kind.TOMBSTONE:
                    if envelope.id == retraction.id:
                        return None  # this is done already; an older one of that name is another message
                    continue
                message = from_bytes(row.stanza)
                original = _is_called(message, retraction.id)
                if message.child("retract", NS) is None and (original or _corrects(message, retraction.id)):
                    await archive.replace(owner, row.id, _tombstone(envelope, retraction), Kind.TOMBSTONE)
                    await self._chat_lists.taken_back(owner, row)
                    if original:
                        return next(
                            (replaced.get("id") for replaced in message.each("replace", CORRECTION)), None
                        )
        return None


def _retracted(message: Message) -> str | None:
    """What ``message`` takes back; it is asked for every message."""
    for child in message.children:
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


EXTENSION: Final = Extension(
    name="retraction",
    xep="0424",
    version="0.4.2",
    summary="What somebody takes back is removed from both archives.",
    config=Options,
    setup=setup,
)
