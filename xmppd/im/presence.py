"""Presence (RFC 6121#4, #8.5): what clients send, what comes for accounts, and what a lost connection means."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from functools import partial
from typing import Final

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.errors import StanzaError
from xmppd.im.last_seen import LastSeenKeeper
from xmppd.im.presence_out import Broadcaster, unavailable
from xmppd.im.probes import Probes
from xmppd.im.rosters import KnownRoster, Rosters
from xmppd.im.subscribing import KINDS, Subscribing
from xmppd.jid import Jid
from xmppd.routing.router import Router, Waiting
from xmppd.sessions.account import Account
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import Facts, SessionGone
from xmppd.sessions.session import Session
from xmppd.stanza import Presence, Stanza
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

log = logging.getLogger("xmppd.im")

_RETRY: Final = 30.0  # seconds after which a storage that failed is asked again


class Presences:
    """The ``PresenceSender`` for what clients send, and the ``AccountHandler`` for presence."""

    def __init__(
        self,
        directory: Directory,
        router: Router,
        rosters: Rosters,
        broadcaster: Broadcaster,
        probes: Probes,
        subscribing: Subscribing,
        last_seen: LastSeenKeeper,
        clock: Clock,
        tasks: Tasks,
        facts: Facts,
        *,
        directed: int,
        most_bytes: int,
    ) -> None:
        """``directed``: to how many addresses outside the roster one session may show itself. ``most_bytes``: how
        large a client's presence may be. 0: no bound.
        """
        self._directory = directory
        self._router = router
        self._rosters = rosters
        self._broadcaster = broadcaster
        self._probes = probes
        self._subscribing = subscribing
        self._last_seen = last_seen
        self._clock = clock
        self._tasks = tasks
        self._directed = directed
        self._most_bytes = most_bytes
        facts.on(SessionGone, self._on_gone)

    # What a client sends

    def send(self, session: Session, presence: Presence) -> Waiting:
        """See ``PresenceSender``."""
        type = presence.type
        if self._most_bytes and len(presence.wire()) > self._most_bytes:
            raise StanzaError("policy-violation", f"a presence has at most {self._most_bytes} bytes here")
        if type in KINDS:
            if presence.to is None:
                raise StanzaError("bad-request", f"whom is this {type} for? it has no 'to'")
            return self._subscribing.send(session, presence)
        if presence.to is not None:
            return self._direct(session, presence, presence.to)
        if type == "":
            known = self._rosters.peek(session.account)
            if known is None:
                return self._become_available_later(session, presence)
            return self._become_available(session, presence, known)
        if type == "unavailable":
            return self._leave(session, presence)
        if type == "probe":
            raise StanzaError("bad-request", "whom is this probe for? it has no 'to'")
        return None  # an error to nobody

    async def _become_available_later(self, session: Session, presence: Presence) -> None:
        known = await self._rosters.get(session.account)
        waiting = self._become_available(session, presence, known)
        if waiting is not None:
            await waiting

    def _become_available(self, session: Session, presence: Presence, known: KnownRoster) -> Waiting:
        """``session`` is available, for the first time or in another way (RFC 6121#4.2.2, #4.4.2)."""
        if session.over:
            return None
        account = session.account
        initial = session.presence is None
        self._directory.set_presence(session, self._stamped(presence))
        waiting = self._broadcaster.broadcast(account, presence, known.watchers)
        self._broadcaster.to_own(account, presence)
        if initial:
            greeting = self._probes.greet(session, known)
            return _both(waiting, greeting)
        return waiting

    def _stamped(self, presence: Presence) -> Presence:
        """``presence`` with the time at which it was sent, for those who ask for it later (XEP-0203)."""
        attrs = {"from": presence.sender.domain, "stamp": stamp(self._clock.now())}
        return presence.with_child(Element("delay", ns.DELAY, attrs))

    def _direct(self, session: Session, presence: Presence, to: Jid) -> Waiting:
        """``session`` shows itself to ``to``, or hides from it, whatever the roster says (RFC 6121#4.6)."""
        if presence.type == "":
            self._remember(session, to)
        elif presence.type == "unavailable" and session.directed is not None:
            session.directed.discard(to)
        return self._router.route(presence, session)

    def _remember(self, session: Session, to: Jid) -> None:
        """``to`` has to be told when ``session`` goes away."""
        if session.presence is not None:
            known = self._rosters.peek(session.account)
            if known is not None and known.shows_to(to):
                return  # RFC 6121#4.6.3: it is told anyway
        if session.directed is None:
            session.directed = set()
        if self._directed and len(session.directed) >= self._directed and to not in session.directed:
            raise StanzaError(
                "resource-constraint",
                f"presence can be sent to {self._directed} addresses outside the roster",
            )
        session.directed.add(to)

    # A resource goes away

    def _on_gone(self, fact: SessionGone) -> None:
        """The connection was lost or closed without a word: the server says it (RFC 6121#4.5.2)."""
        session = fact.session
        if session.presence is None and not session.directed:
            return
        waiting = self._leave(session, unavailable(session.jid))
        if waiting is not None:
            self._tasks.start(f"unavailable presence of {session.jid}", _awaited(waiting))

    def _leave(self, session: Session, presence: Presence) -> Waiting:
        """``session`` is not available any more: ``presence`` goes to all who saw it."""
        account = session.account
        was_available = session.presence is not None
        if was_available:
            self._directory.set_presence(session, None)
            if not account.available():
                status = presence.child("status")
                self._last_seen.left(account, "" if status is None else status.text())
        directed, session.directed = session.directed, None
        if not was_available and not directed:
            return None
        known = self._rosters.peek(account)
        if known is None:
            return self._tell_later(session, presence, was_available, directed)
        return self._tell(session, presence, known, was_available, directed)

    async def _tell_later(
        self, session: Session, presence: Presence, was_available: bool, directed: set[Jid] | None
    ) -> None:
        try:
            known = await self._rosters.get(session.account)
        except StorageUnavailable as err:
            log.error("who sees that %s is gone is not known yet: %s", session.jid, err)
            again = partial(self._tell_later, session, presence, was_available, directed)
            self._clock.call_later(
                _RETRY, lambda: self._tasks.start(f"unavailable presence of {session.jid}", again())
            )
            return
        waiting = self._tell(session, presence, known, was_available and not self._is_back(session), directed)
        if waiting is not None:
            await waiting

    def _is_back(self, session: Session) -> bool:
        """Whether ``session``, or what took its place meanwhile, is available: then it told so itself."""
        account = self._broadcaster.connected(session.account.jid)
        resource = account.resources.get(session.jid.resource or "") if account is not None else None
        return resource is not None and resource.presence is not None

    def _tell(
        self,
        session: Session,
        presence: Presence,
        known: KnownRoster,
        was_available: bool,
        directed: set[Jid] | None,
    ) -> Waiting:
        account = session.account
        waiting = None
        if was_available:
            waiting = self._broadcaster.broadcast(account, presence, known.watchers)
            self._broadcaster.to_own(account, presence)
            if account.resources.get(session.jid.resource or "") is session:
                session.deliver(presence.with_to(account.jid))  # RFC 6121#4.5.2: it hears itself leave
        if directed:
            others = [to for to in directed if not (was_available and known.shows_to(to))]
            return _both(waiting, self._tell_directed(session, presence, others))
        return waiting

    async def _tell_directed(self, session: Session, presence: Presence, targets: list[Jid]) -> None:
        """RFC 6121#4.6.3: who got directed presence hears of its end as well."""
        for to in targets:
            copy = self._broadcaster.outgoing(presence.with_to(to), session.account)
            if copy is not None:
                await self._router.send(copy)

    # What comes for an account

    def accept(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        """See ``AccountHandler``: RFC 6121#8.5.2, #8.5.3."""
        assert isinstance(stanza, Presence)
        assert stanza.to is not None
        if stanza.type in KINDS:
            return self._subscribing.receive(account, stanza)
        if stanza.type == "probe":
            return self._probes.answer(account, stanza)
        name = stanza.to.resource
        if name is None:
            for resource in account.available():
                resource.deliver(stanza)
            return None
        addressed = account.resources.get(name)
        if addressed is not None:
            if stanza.type == "error" and isinstance(addressed, Session) and addressed.directed:
                addressed.directed.discard(stanza.sender)  # it did not arrive: its end need not either
            addressed.deliver(stanza)
        return None

    def accept_stranger(self, stanza: Stanza, session: Session | None) -> Waiting:
        """See ``AccountHandler``: RFC 6121#8.5.1."""
        if stanza.type in ("subscribe", "probe"):
            assert stanza.to is not None
            # RFC 6121#3.1.3, #4.3.2: so that whoever asks stops asking
            return self._router.send(
                Presence(type="unsubscribed", sender=stanza.to.bare, to=stanza.sender.bare)
            )
        return None

    def accept_server(self, stanza: Stanza, session: Session | None) -> Waiting:
        """See ``AccountHandler``. The server has no presence, and nobody there can approve a request."""
        return self.accept_stranger(stanza, session) if stanza.type == "subscribe" else None


def _both(first: Waiting, second: Waiting) -> Waiting:
    """To be awaited one after the other."""
    if first is None or second is None:
        return first or second
    return _in_order(first, second)


async def _in_order(first: Awaitable[None], second: Awaitable[None]) -> None:
    await first
    await second


async def _awaited(waiting: Awaitable[None]) -> None:
    await waiting
