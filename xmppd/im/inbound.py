"""What a client of ours sends: stamped, judged by the sender's stages, handed to the router (RFC 6120#8.1,
#10.3).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from xmppd import stanza as stanzas
from xmppd.errors import StanzaError
from xmppd.im.delivery import Delivery
from xmppd.im.forgeries import without_forgeries
from xmppd.im.resends import AlreadyTaken
from xmppd.jid import Jid, JidError
from xmppd.logs import fields
from xmppd.routing.pipeline import Pipeline
from xmppd.routing.router import Router, Waiting
from xmppd.routing.ticket import Ticket
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Message, Presence, error_element
from xmppd.storage.interfaces import NoSuchAccount, StorageUnavailable
from xmppd.xml.element import Element

log = logging.getLogger("xmppd.im")

Sent = Callable[[Message, Session], None]


class PresenceSender(Protocol):
    """The sender's side of presence (RFC 6121#4)."""

    def send(self, session: Session, presence: Presence) -> Waiting:
        """The client of ``session`` sends ``presence``; its ``to`` is None for a broadcast."""


class ClientStanzas:
    """Handles the stanzas of bound clients. Called with each; returns None when done, else what to await."""

    def __init__(
        self, router: Router, pipeline: Pipeline, presence: PresenceSender, delivery: Delivery
    ) -> None:
        self._router = router
        self._delivery = delivery
        self._pipeline = pipeline
        self._presence = presence
        self._sent: list[Sent] = []
        self.failures = 0

    def after_sent(self, hook: Sent) -> None:
        """Call ``hook`` for each message of a client that was accepted, i.e. neither bounced nor dropped."""
        self._sent.append(hook)

    def __call__(self, session: Session, element: Element) -> Waiting:
        try:
            waiting = self._handle(session, element)
        except Exception as err:
            self._answer(session, element, err)
            return None
        if waiting is None or type(waiting) is Ticket:
            return waiting
        return self._guard(session, element, waiting)

    async def _guard(self, session: Session, element: Element, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except Exception as err:
            self._answer(session, element, err)

    def _handle(self, session: Session, element: Element) -> Waiting:
        stanza = without_forgeries(stanzas.parse(element, session.jid, session.lang), self._router.is_local)
        if type(stanza) is Message:
            if stanza.to is None:
                stanza = stanza.with_to(session.jid.bare)  # RFC 6120#10.3.1
            judged = self._pipeline.outbound(stanza, session.account)
            if judged is None:
                return None
            waiting = self._router.route(judged, session)
            if type(waiting) is Ticket:
                waiting.then(partial(self._stored, session, element, judged))
                return waiting
            if self._sent:
                if waiting is not None:
                    return self._then_sent(waiting, judged, session)
                self._tell_sent(judged, session)
            return waiting
        if type(stanza) is Iq and stanza.to is None:
            stanza = stanza.with_to(session.jid.bare)  # RFC 6120#10.3.3
        judged_other = self._pipeline.outbound(stanza, session.account)
        if judged_other is None:
            return None
        if isinstance(judged_other, Presence):
            if session.over:
                return None  # another session has its JID by now: what it looks like is that one's to say
            return self._presence.send(session, judged_other)
        return self._router.route(judged_other, session)

    def _stored(self, session: Session, element: Element, message: Message, error: Exception | None) -> None:
        """``message`` is in the archive, or could not be put there."""
        if isinstance(error, StorageUnavailable):
            self._refuse(session, element, _unavailable())  # the archiver has said why, once for all of them
        elif error is not None:
            self._answer(session, element, error)
        else:
            self._tell_sent(message, session)

    async def _then_sent(self, waiting: Awaitable[None], message: Message, session: Session) -> None:
        await waiting
        self._tell_sent(message, session)

    def _tell_sent(self, message: Message, session: Session) -> None:
        account = session.account
        if message.place is not None and len(account.resources) > 1:
            # XEP-0313: what its other clients see of it has the name that it has in its sender's archive.
            message = self._delivery.identified(message, account, message.place)
        for hook in self._sent:
            hook(message, session)

    def _answer(self, session: Session, element: Element, err: Exception) -> None:
        """Tell the client that its stanza failed (RFC 6120#8.3); what is no ``StanzaError`` is a bug and is
        logged as such.
        """
        if isinstance(err, AlreadyTaken):
            return
        if isinstance(err, StanzaError):
            error = err
        elif isinstance(err, NoSuchAccount):
            error = StanzaError("service-unavailable", "the account was deleted")
        elif isinstance(err, StorageUnavailable):
            log.error("storage: %s", err)
            error = _unavailable()
        else:
            self.failures += 1
            log.error(
                "a stanza failed", exc_info=err, extra=fields(session=session.jid, id=element.attrs.get("id"))
            )
            error = StanzaError("internal-server-error")
        self._refuse(session, element, error)

    def _refuse(self, session: Session, element: Element, error: StanzaError) -> None:
        if element.attrs.get("type") in ("error", "result"):
            return  # RFC 6120#8.3.1
        try:
            by = Jid.parse(element.attrs["to"])
        except (KeyError, JidError):
            by = session.jid.bare
        session.deliver(
            stanzas.KINDS[element.name](
                type="error",
                sender=by,
                to=session.jid,
                id=element.attrs.get("id"),
                children=[error_element(error)],
            )
        )


def _unavailable() -> StanzaError:
    return StanzaError("resource-constraint", "the server cannot store anything right now; try again later")
