"""Binds and ends sessions: the one place where an account's resources change, here and as told by other
nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from xmppd.cluster.interfaces import (
    Bus,
    Changed,
    Deliver,
    Displace,
    End,
    Envelope,
    Forget,
    Gone,
    Kept,
    Registry,
    ResourceEntry,
)
from xmppd.errors import StanzaError, StreamError
from xmppd.ids import Ids
from xmppd.jid import Jid, JidError
from xmppd.sessions.account import Account, Trait
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.asleep import Asleep
from xmppd.sessions.facts import (
    BecameAvailable,
    BecameUnavailable,
    ChangedElsewhere,
    Facts,
    KeptElsewhere,
    PriorityRaised,
    ReachableElsewhere,
    RosterChanged,
    SessionBound,
    SessionGone,
)
from xmppd.sessions.session import Session
from xmppd.stanza import Presence, Stanza
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.sessions")

_CONFLICT: Final = "the resource was bound by another connection"

Hold = Callable[[Session, Stanza], bool]
Lost = Callable[[Stanza], None]


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
        tasks: Tasks,
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
        self._tasks = tasks
        self._limit = resources_per_account
        self._sessions: dict[Session, str] = {}  # and their connection ids
        self._hold: Hold | None = None
        self._lost: Lost | None = None
        accounts.add_loader(self._load_resources)
        accounts.on_forget(self._release)
        accounts.on_change(self._tell_changed)
        facts.on(RosterChanged, lambda fact: self._tell_changed(fact.account))
        bus.join(node, self._receive)

    def close(self) -> None:
        """The node is no more."""
        self._bus.leave(self.node)

    def set_arrivals(self, hold: Hold, lost: Lost) -> None:
        """Called once. ``hold`` may take what another node sent to a session, to deliver it later, and says whether
        it did; ``lost`` gets what came for a session that is gone.
        """
        self._hold = hold
        self._lost = lost

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
        full = self._limit and len(account.resources) >= self._limit and jid.resource not in account.resources
        if full and _longest_asleep(account) is None:
            raise StanzaError("resource-constraint", f"an account may have {self._limit} resources at a time")
        return jid

    async def bind(self, session: Session) -> None:
        """``session`` takes its JID; whoever had it is ended with ``conflict`` (RFC 6120#7.7.2.2: the newest
        wins). Where there are too many now, the one that has been without a connection for longest makes room.
        """
        account = session.account
        name = session.jid.resource
        assert name is not None
        self._accounts.pin(account)
        self._sessions[session] = self._ids.token()
        before = account.resources.get(name)
        account.resources[name] = session
        if isinstance(before, Session):
            before.link.fail(StreamError("conflict", _CONFLICT))
            self.end(before)  # now, whatever of its client is still being handled
        if len(account.resources) > self._limit > 0 and (longest := _longest_asleep(account)) is not None:
            self.end(longest)
        try:
            await self._registry.bind(self._entry(session))
        except BaseException:
            self.end(session)
            raise
        if not session.over:
            self._facts.tell(SessionBound(session))

    def end(self, session: Session) -> None:
        """``session`` is over. What others have to be told is told by who listens for ``SessionGone``."""
        if session not in self._sessions:
            return
        account = session.account
        self._registry.unbind(self._entry(session))
        del self._sessions[session]
        session.over = True
        name = session.jid.resource or ""
        if account.resources.get(name) is session:
            del account.resources[name]
        self._facts.tell(SessionGone(session))
        self._accounts.unpin(account)

    def set_presence(self, session: Session, presence: Presence | None) -> None:
        """``session`` broadcast ``presence``; None: it became unavailable. One that is over can only become that."""
        if session.over and presence is not None:
            return
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
        """End every session that ``account`` (bare) has, but ``spare``; how many there were.

        Those on other nodes, as far as the account is in memory here, end a little later.
        """
        known = self._accounts.peek(account)
        ended = 0
        for resource in tuple(known.resources.values()) if known else ():
            if resource is spare:
                continue
            if isinstance(resource, Session):
                resource.link.fail(error)
            elif isinstance(resource, RemoteResource):
                entry = resource.entry
                self._bus.send(entry.node, End(entry.jid, entry.connection, error.condition, error.text))
            ended += 1
        return ended

    def tell_kept(self, account: Account) -> None:
        """A message was kept for ``account``: let the nodes of its resources look whether one of them can take it."""
        nodes = {
            resource.entry.node for resource in account.reachable() if isinstance(resource, RemoteResource)
        }
        for node in sorted(nodes):
            self._bus.send(node, Kept(account.jid))

    def may_be_elsewhere(self, account: Jid) -> bool:
        """Whether ``account`` (bare), which is not in memory here, may have resources on other nodes."""
        return self._registry.may_know(account)

    # What other nodes tell

    async def _load_resources(self, account: Account) -> None:
        entries = await self._registry.load(account.jid, self.node)
        for entry in entries:
            self._put(account, entry)

    def _put(self, account: Account, entry: ResourceEntry) -> None:
        """There is a resource on another node. A session here goes only when the registry displaces it: what was told
        of its predecessor may come late.
        """
        name = entry.jid.resource
        known = account.resources.get(name or "")
        if name is None or entry.node == self.node or isinstance(known, Session):
            return
        account.elsewhere = True
        account.resources[name] = RemoteResource(entry, self._bus)
        if _can_get_messages(entry) and not (
            isinstance(known, RemoteResource) and _can_get_messages(known.entry)
        ):
            self._facts.tell(ReachableElsewhere(account))

    def _release(self, account: Jid) -> None:
        self._registry.release(account, self.node)

    def _tell_changed(self, account: Jid) -> None:
        self._registry.tell(account, Forget(account), but=self.node)

    def _receive(self, envelope: Envelope) -> None:
        match envelope:
            case Deliver(to=to, stanza=stanza):
                self._arrive(to, stanza)
            case Displace(jid=jid, connection=connection):
                self._displaced(jid, connection)
            case End(jid=jid, connection=connection, condition=condition, text=text):
                session = self._local(jid)
                if session is not None and self._sessions[session] == connection:
                    session.link.fail(StreamError(condition, text))
            case Changed(entry=entry):
                account = self._accounts.peek(entry.jid.bare)
                if account is not None:
                    self._put(account, entry)
                else:
                    self._accounts.drop(entry.jid.bare)  # it may be being loaded: then once more
            case Gone(entry=entry):
                account = self._accounts.peek(entry.jid.bare)
                if account is not None:
                    known = account.resources.get(entry.jid.resource or "")
                    if isinstance(known, RemoteResource) and known.entry.connection == entry.connection:
                        del account.resources[entry.jid.resource or ""]
                else:
                    self._accounts.drop(entry.jid.bare)
            case Forget(account=jid):
                if (account := self._accounts.peek(jid)) is not None:
                    self._facts.tell(ChangedElsewhere(account))
                self._tasks.start(f"refresh {jid}", self._accounts.refresh(jid))
            case Kept(account=jid):
                if (account := self._accounts.peek(jid)) is not None:
                    self._facts.tell(KeptElsewhere(account))

    def _arrive(self, to: Jid, stanza: Stanza) -> None:
        session = self._local(to)
        if session is None:
            if self._lost is not None:
                self._lost(stanza)
        elif self._hold is None or not self._hold(session, stanza):
            session.deliver(stanza)

    def _displaced(self, jid: Jid, connection: str) -> None:
        """The name belongs to a session on another node now, which ``Changed`` will tell of."""
        session = self._local(jid)
        if session is not None and self._sessions[session] == connection:
            session.link.fail(StreamError("conflict", _CONFLICT))
            self.end(session)

    def _local(self, jid: Jid) -> Session | None:
        account = self._accounts.peek(jid.bare)
        resource = account.resources.get(jid.resource or "") if account is not None else None
        return resource if isinstance(resource, Session) else None


def _longest_asleep(account: Account) -> Session | None:
    asleep = [
        (resource.link.since, resource)
        for resource in account.resources.values()
        if isinstance(resource, Session) and isinstance(resource.link, Asleep)
    ]
    return min(asleep, key=lambda each: each[0])[1] if asleep else None


def _can_get_messages(entry: ResourceEntry) -> bool:
    return entry.presence is not None and entry.priority >= 0
