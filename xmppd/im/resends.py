"""Which messages may be resends of one that was taken, though its sender does not know that (I2).

A client that lost its connection sends again, in order, what it has no acknowledgement for, and then goes on: once it
has sent something new, all is new. But a receipt may come in front of these, so that is believed only some seconds
after its first message. What trouble with the storage met comes again on the same session.
"""

from __future__ import annotations

from typing import Final

from xmppd import ns
from xmppd.clock import Clock
from xmppd.im.archiver import Archiver
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import origin_key
from xmppd.xml.element import Element

_RESENDING: Final = 30.0  # seconds after the first message of a session


class AlreadyTaken(Exception):
    """The message is a resend of one that was taken (I2): its sender is told nothing else than the first time."""


class Resends:
    """What the archive is told to recognise them by."""

    def __init__(self, archiver: Archiver, clock: Clock, *, seconds: float) -> None:
        """A message that a client sends again within ``seconds`` is recognised."""
        self._archiver = archiver
        self._clock = clock
        self._seconds = seconds

    def of(self, message: Message, session: Session) -> tuple[int, int]:
        """``origin`` and ``check`` of a ``NewMessage`` for what the client of ``session`` sends."""
        origin_id = _origin_id(message)
        if origin_id is None:
            return 0, 0
        assert message.to is not None
        body = message.child("body")
        text = "" if body is None else body.text()
        origin = origin_key(session.account.jid, message.to, message.type, origin_id, text)
        if session.resends_until is None:
            session.resends_until = self._clock.monotonic() + _RESENDING
        if session.resends_until:
            return origin, max(1, int((self._clock.now() - self._seconds) * 1e6))
        return origin, self._archiver.doubtful_since(origin)

    def was_new(self, session: Session) -> None:
        """What was checked turned out to be no resend."""
        if session.resends_until and self._clock.monotonic() >= session.resends_until:
            session.resends_until = 0.0


def _origin_id(message: Message) -> str | None:
    """What the sender's client calls the message for good (XEP-0359#origin-id)."""
    for child in message.children:
        if type(child) is Element and child.ns == ns.STANZA_ID and child.name == "origin-id":
            return child.attrs.get("id") or None
    return None
