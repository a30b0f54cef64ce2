"""Binds and ends sessions: the one place where an account's resources change, here and as told by other
nodes.
"""

from __future__ import annotations

import logging

from xmppd.cluster.interfaces import (
    Bus,
    Changed,
    Deliver,
    Displace,
    Envelope,
    Forget,
    Gone,
    Registry,
    ResourceEntry,
)
from xmppd.errors import StanzaError, StreamError
from xmppd.ids import Ids
from xmppd.jid import Jid, JidError
from xmppd.sessions.account import Account, Trait
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.facts import (
    BecameAvailable,
    BecameUnavailable,
    Facts,
    PriorityRaised,
    SessionBound,
    SessionGone,
)
from xmppd.sessions.session import Session
from xmppd.stanza import Presence, Stanza

log = logging.getLogger("xmppd.sessions")


class RemoteResource:
    """Stands for a resource on another node; what it is given goes there by the bus."""

    __slots__ = ("_bus", "entry")

    def __init__(self, entry: ResourceEntry, bus: Bus) -> None:
        self.entry = entry
        self._bus = bus

    @property
    def jid(self) -> Jid:
        return self.entry.jid

    @property
    def presence(self) -> Presence | None:
        return self.entry.presence

    @property
    def priority(self) -> int:
        return self.entry.priority

    @property
    def traits(self) -> Trait:
        return Trait(self.entry.traits)

    def deliver(self, stanza: Stanza) -> None:
        self._bus.send(self.entry.node, Deliver(self.entry.jid, stanza))


class Directory:
    """The sessions of this node, and through the registry those of all others."""

    def __init__(
        self,
        node: str,
        accounts: Accounts,
        registry: Registry,
        bus: Bus,
        facts: Facts,
        ids: Ids,
        *,
        resources_per_account: int,
    ) -> None:
        """``resources_per_account``: at most so many at once (0: any number)."""
        self.node = node
        self._accounts = accounts
        self._registry = registry
        self._bus = bus
        self._facts = facts
        self._ids = ids
        self._limit = resources_per_account
        self._sessions: dict[Session, str] = {}  # and their connection ids
        accounts.add_loader(self._load_resources)
        accounts.on_forget(self._release)
        bus.join(node, self._receive)

    @property
    def sessions(self) -> list[Session]:
        """Every session of this node."""
        return list(self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)

    # Sessions of this node

    def choose(self, account: Account, resource: str | None) -> Jid:
        """The full JID for a client of ``account`` that asks for ``resource``, or for any.

        ``StanzaError``: ``bad-request`` for a name that is none, ``resource-constraint`` beyond the limit
        (RFC 6120#7.6.2, #7.7.2).
        """
        try:
            jid = account.jid.with_resource(resource if resource is not None else self._ids.token())
        except JidError as err:
            raise StanzaError("bad-request", str(err)) from err
        if self._limit and len(account.resources) >= self._limit and jid.resource not in account.resources:
            raise StanzaError("resource-constraint", f"an account may have {self._limit} resources at a time")
        return jid

    async def bind(self, session: Session) -> None:
        """``session`` takes its JID; whoever had it is ended with ``conflict`` (RFC 6120#7.7.2.2: the newest
        wins).
        """
        account = session.account
        name = session.jid.resource
        assert name is not None
        before = account.resources.get(name)
        account.resources[name] = session
        self._accounts.pin(account)
        if isinstance(before, Session):
            before.link.fail(StreamError("conflict", "the resource was bound by another connection"))
            self.end(before)
        self._sessions[session] = self._ids.token()
        await self._registry.bind(self._entry(session))
        self._facts.tell(SessionBound(session))

    def end(self, session: Session) -> None:
        """``session`` is over. What others have to be told is told by who listens for ``SessionGone``."""
        if session in self._sessions:
            self._remove(session)

    def _remove(self, session: Session) -> None:
        account = session.account
        self._registry.unbind(self._entry(session))
        del self._sessions[session]
        name = session.jid.resource or ""
        if account.resources.get(name) is session:
            del account.resources[name]
        self._facts.tell(SessionGone(session))
        if not any(isinstance(resource, Session) for resource in account.resources.values()):
            self._accounts.unpin(account)

    def set_presence(self, session: Session, presence: Presence | None) -> None:
        """``session`` broadcast ``presence``; None: it became unavailable."""
        before, priority = session.presence, session.priority
        session.presence = presence
        session.priority = presence.priority if presence is not None else 0
        self.changed(session)
        if presence is None:
            if before is not None:
                self._facts.tell(BecameUnavailable(session))
        elif before is None:
            self._facts.tell(BecameAvailable(session))
        elif priority < 0 <= session.priority:
            self._facts.tell(PriorityRaised(session))

    def add_trait(self, session: Session, trait: Trait) -> None:
        if not session.traits & trait:
            session.traits |= trait
            self.changed(session)

    def drop_trait(self, session: Session, trait: Trait) -> None:
        if session.traits & trait:
            session.traits &= ~trait
            self.changed(session)

    def changed(self, session: Session) -> None:
        """Tell other nodes what ``session`` is like now."""
        if session in self._sessions:
            self._registry.update(self._entry(session))

    def _entry(self, session: Session) -> ResourceEntry:
        return ResourceEntry(
            session.jid,
            self.node,
            self._sessions[session],
            session.presence,
            session.priority,
            session.traits.value,
        )

    def kick(self, account: Jid, error: StreamError, *, spare: Session | None = None) -> int:
        """End every session that ``account`` (bare) has on this node, but ``spare``; how many there were."""
        known = self._accounts.peek(account)
        sessions = [
            each
            for each in (known.resources.values() if known else ())
            if isinstance(each, Session) and each is not spare
        ]
        for session in sessions:
            session.link.fail(error)
        return len(sessions)

    # What other nodes tell

    async def _load_resources(self, account: Account) -> None:
        for entry in await self._registry.load(account.jid, self.node):
            if entry.node != self.node and entry.jid.resource is not None:
                account.resources[entry.jid.resource] = RemoteResource(entry, self._bus)

    def _release(self, account: Jid) -> None:
        self._registry.release(account, self.node)

    def _receive(self, envelope: Envelope) -> None:
        match envelope:
            case Deliver(to=to, stanza=stanza):
                session = self._local(to)
                if session is not None:
                    session.deliver(stanza)
            case Displace(jid=jid, connection=connection):
                session = self._local(jid)
                if session is not None and self._sessions[session] == connection:
                    session.link.fail(StreamError("conflict", "the resource was bound by another connection"))
            case Changed(entry=entry):
                account = self._accounts.peek(entry.jid.bare)
                if account is not None and entry.jid.resource is not None:
                    account.resources[entry.jid.resource] = RemoteResource(entry, self._bus)
            case Gone(entry=entry):
                account = self._accounts.peek(entry.jid.bare)
                if account is not None:
                    known = account.resources.get(entry.jid.resource or "")
                    if isinstance(known, RemoteResource) and known.entry.connection == entry.connection:
                        del account.resources[entry.jid.resource or ""]
            case Forget(account=jid):
                self._accounts.forget(jid)

    def _local(self, jid: Jid) -> Session | None:
        account = self._accounts.peek(jid.bare)
        resource = account.resources.get(jid.resource or "") if account is not None else None
        return resource if isinstance(resource, Session) else None
