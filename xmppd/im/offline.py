"""Messages for people who are not there (XEP-0160): kept in the storage, delivered when somebody comes back.

Order is kept (I5). While what is kept for an account is being given to one of its sessions, the *taker*, the
account is *busy*, and new messages for it stand in line: those that are worth keeping go through the storage, the
others wait in memory behind what was stored before them. When its turn comes, such a message is *live*: it goes, as
it would have at once, to every resource that can get it.

A message is forgotten only after the taker's socket took it; if that is cut off before, the next one gets it again
(at least once; stream management makes it exactly once).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.routing.router import Router
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import BecameAvailable, Facts, KeptElsewhere, PriorityRaised, ReachableElsewhere
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.interfaces import (
    NoSuchAccount,
    OfflineFull,
    OfflineMessage,
    OfflineStore,
    StorageUnavailable,
)
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

log = logging.getLogger("xmppd.im")

_PAGE: Final = 25
_CHUNK: Final = (
    65_536  # bytes given to a client before it has to read: many large messages would overflow its buffer
)
_MOST_PASSING: Final = 200  # messages of one account that stand in line in memory; what comes then goes first
_BEHIND_ALL: Final = 2**63  # no id is larger
_DAY: Final = 86_400.0
_RETRY: Final = 30.0  # seconds after which a storage that failed is asked again

Deliver = Callable[[Message, Account, Sequence[Resource]], None]

# Payloads that are worth nothing later.
_FLEETING: Final = frozenset({ns.CHAT_STATES})
_KEPT_TYPES: Final = frozenset({"normal", "chat"})  # XEP-0160#types


def worth_keeping(message: Message) -> bool:
    """Whether ``message`` is to be kept when nobody is there (XEP-0160#types, XEP-0334)."""
    if message.type not in _KEPT_TYPES:
        return False
    keep = False
    for child in message.elements():
        if child.ns == ns.HINTS:
            if child.name == "no-store":
                return False  # XEP-0334#no-store
            if child.name == "store":
                keep = True  # XEP-0334#store
        elif child.ns not in _FLEETING and child.name != "thread":
            keep = True
    return keep


class _Kept:
    """Stands in an account for which this node kept a message: the node where somebody comes may have looked before."""

    __slots__ = ()


@dataclass(slots=True)
class _Giving:
    """The line of one busy account."""

    taker: Session
    gone: set[Session] = field(default_factory=set)  # they were the taker and did not take everything
    discarding: bool = False  # the taker has what is being forgotten
    arrived: int = 0  # how many were stored since it began
    live: dict[int, Message] = field(default_factory=dict)  # by storage id
    passing: deque[tuple[int, Message]] = field(default_factory=deque)  # behind which id, and what
    arrivals: list[tuple[Session, Message]] = field(default_factory=list)  # from other nodes, behind all
    storing: set[asyncio.Future[None]] = field(default_factory=set)  # what is not known to be durable yet

    def stored(self, id: int, message: Message) -> None:
        """``message`` is behind all that passes by then: callers hear of their ids in the order of these."""
        self.arrived += 1
        self.live[id] = message
        if self.passing and self.passing[-1][0] == _BEHIND_ALL:
            self.passing = deque((min(behind, id - 1), message) for behind, message in self.passing)


class Offline:
    """Keeps messages and delivers them when a resource of the account becomes available with a priority that
    is not negative.
    """

    def __init__(
        self,
        store: OfflineStore,
        accounts: Accounts,
        directory: Directory,
        router: Router,
        clock: Clock,
        tasks: Tasks,
        facts: Facts,
        *,
        limit: int,
        days: int,
    ) -> None:
        """At most ``limit`` messages per account (0: any number), for ``days`` (0: for ever)."""
        self._store = store
        self._accounts = accounts
        self._directory = directory
        self._router = router
        self._clock = clock
        self._tasks = tasks
        self._limit = limit
        self._seconds = days * _DAY
        self._busy: dict[int, _Giving] = {}  # by account id
        self._deliver: Deliver = _nowhere
        self._tell: Deliver = _nowhere
        facts.on(BecameAvailable, self._on_available)
        facts.on(PriorityRaised, self._on_available)
        facts.on(KeptElsewhere, self._on_kept)
        facts.on(ReachableElsewhere, self._on_reachable)

    def set_delivery(self, deliver: Deliver, tell: Deliver) -> None:
        """Called once: how a message is delivered, and who is told that somebody got it, or nobody yet."""
        self._deliver = deliver
        self._tell = tell

    def is_busy(self, account: Account) -> bool:
        """Whether a message for ``account`` has to stand in line to stay behind earlier ones."""
        return account.id in self._busy

    # In

    async def keep(self, message: Message, account: Account) -> None:
        """Store ``message``; returns when it is durable, and whoever came meanwhile is being given it.

        ``service-unavailable`` if there is no room (XEP-0160).
        """
        giving = self._busy.get(account.id)
        if giving is None:
            self._kept(await self._store_it(message, account, self._limit), message, account)
            return
        storing = asyncio.get_running_loop().create_future()
        giving.storing.add(storing)
        try:
            # Whose client is reading right now is not turned away for what it has not read yet.
            self._kept(await self._store_it(message, account, self._limit * 2), message, account)
        finally:
            giving.storing.discard(storing)
            storing.set_result(None)

    async def _store_it(self, message: Message, account: Account, limit: int) -> int:
        now = self._clock.now()
        try:
            return await self._store.append(
                account.id,
                self._delayed(message, account, now).wire(),
                limit=limit,
                expires=now + self._seconds if self._seconds else None,
            )
        except OfflineFull as err:
            raise StanzaError("service-unavailable", "too many messages wait for this account") from err
        except NoSuchAccount as err:
            raise StanzaError("service-unavailable") from err

    def _kept(self, id: int, message: Message, account: Account) -> None:
        giving = self._busy.get(account.id)
        if giving is None:
            # The account may have left the memory meanwhile, and come back as another object.
            account = self._accounts.peek(account.jid) or account
            taker = _taker(account)
            if taker is None:
                self._tell(message, account, ())
                account.put(_Kept())
                self._directory.tell_kept(account)
                return
            giving = self._start(taker)
        giving.stored(id, message)

    def _delayed(self, message: Message, account: Account, now: float) -> Message:
        """``message`` with the time at which it was taken (XEP-0203), unless it says that already; a client's word
        for it was taken out before.
        """
        domain = account.jid.domain
        for child in message.elements():
            if child.ns == ns.DELAY and child.get("from") == domain:
                return message
        return message.with_child(Element("delay", ns.DELAY, {"from": domain, "stamp": stamp(now)}))

    def let_pass(self, message: Message, account: Account) -> None:
        """``message``, which is not to be stored, goes to whom it is for when those before it have gone."""
        giving = self._busy[account.id]
        if len(giving.passing) < _MOST_PASSING:
            giving.passing.append((_BEHIND_ALL, message))
        else:
            self._deliver_live(message, account)

    def hold(self, session: Session, message: Message) -> bool:
        """Whether ``message``, which another node sent to ``session``, waits until all that is kept has gone."""
        giving = self._busy.get(session.account.id)
        if giving is None or len(giving.arrivals) >= _MOST_PASSING:
            return False
        giving.arrivals.append((session, message))
        return True

    # Out

    def _on_available(self, fact: BecameAvailable | PriorityRaised) -> None:
        session = fact.session
        if session.priority < 0:
            return  # XEP-0160#flow: only a resource that can get messages gets the kept ones
        giving = self._busy.get(session.account.id)
        if giving is None:
            self._start(session)
        else:
            giving.gone.discard(session)  # it may be the taker again

    def _on_kept(self, fact: KeptElsewhere) -> None:
        if (giving := self._busy.get(fact.account.id)) is not None:
            giving.arrived += 1
        elif (taker := _taker(fact.account)) is not None:
            self._start(taker)

    def _on_reachable(self, fact: ReachableElsewhere) -> None:
        if fact.account.get(_Kept) is not None:
            fact.account.drop(_Kept)
            self._directory.tell_kept(fact.account)

    def _start(self, taker: Session) -> _Giving:
        giving = self._busy[taker.account.id] = _Giving(taker)
        self._tasks.start(f"offline messages of {taker.account.jid}", self._run(giving))
        return giving

    async def _run(self, giving: _Giving) -> None:
        """Give everything that is kept to the taker, or if that goes away, to the next one."""
        account = giving.taker.account
        got: tuple[Session, ...] = ()
        try:
            while not await self._give(account.id, giving):
                giving.gone.add(giving.taker)
                account = self._accounts.peek(account.jid) or account  # all may have left, and some come back
                taker = _taker(account, giving.gone)
                if taker is None:
                    return
                giving.taker = taker
            got = (giving.taker,)
        except StorageUnavailable as err:
            log.error("what is kept for %s waits: %s", account.jid, err)
            # Else it would get the same ones again and again: that is for its next session.
            if not giving.discarding:
                self._clock.call_later(_RETRY, partial(self._try_again, account.jid))
        finally:
            del self._busy[account.id]
            # It stays kept; or it was given before we were told that it is durable.
            for message in giving.live.values():
                self._tell(message, account, got)
            for _, message in giving.passing:
                self._deliver_live(message, account)
            # Where somebody else is reachable, they got a copy of their own.
            self._arrive(giving.arrivals, account, stays=not got and not account.reachable())

    def _arrive(self, arrivals: Iterable[tuple[Session, Message]], account: Account, *, stays: bool) -> None:
        """Deliver what other nodes sent; where what is before it ``stays`` kept, let it go the way of new messages."""
        late: list[Message] = []
        for session, message in arrivals:
            if message.to == account.jid and (stays or not _can_take(session)):
                late.append(message)
            else:
                session.deliver(message)
        if late:
            self._tasks.start(f"what came for {account.jid} meanwhile", self._send(late))

    async def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            await self._router.send(message)

    def _try_again(self, jid: Jid) -> None:
        """The storage failed while what is kept for ``jid`` was being given; who took it may still be there."""
        account = self._accounts.peek(jid)
        if account is not None and account.id not in self._busy and (taker := _taker(account)) is not None:
            self._start(taker)

    async def _give(self, owner: int, giving: _Giving) -> bool:
        """Deliver what is kept page by page, as fast as the taker reads; False if it does not take it any more."""
        after = 0
        taker = giving.taker
        while _can_take(taker):
            arrived = giving.arrived
            page = await self._store.load(owner, now=self._clock.now(), after=after, limit=_PAGE)
            if page and giving.storing:
                # What the page holds may be known only then as live.
                await asyncio.wait(tuple(giving.storing))
            for chunk in _chunks(page):
                if not _can_take(taker):
                    return False
                for kept in chunk:
                    self._give_one(kept, giving)
                after = chunk[-1].id
                if not await taker.link.drained():
                    return False
                giving.discarding = True
                await self._store.discard(owner, [kept.id for kept in chunk])
                giving.discarding = False
            if not page and giving.arrived == arrived:  # else something was stored while we looked
                return True
        return False

    def _give_one(self, kept: OfflineMessage, giving: _Giving) -> None:
        account = giving.taker.account
        while giving.passing and giving.passing[0][0] < kept.id:
            self._deliver_live(giving.passing.popleft()[1], account)
        live = giving.live.pop(kept.id, None)
        if live is None:
            giving.taker.write(kept.stanza)
        else:
            self._deliver_live(live, account)

    def _deliver_live(self, message: Message, account: Account) -> None:
        """Deliver ``message`` to the resource that it names, if that is there, else to all who can get it."""
        assert message.to is not None
        named = account.resources.get(message.to.resource or "")
        resources = account.reachable() if named is None else (named,)
        if resources:
            self._deliver(message, account, resources)


def _nowhere(message: Message, account: Account, resources: Sequence[Resource]) -> None:
    raise RuntimeError("set_delivery was not called")


def _can_take(session: Session) -> bool:
    return session.presence is not None and session.priority >= 0 and not session.over


def _taker(account: Account, gone: frozenset[Session] | set[Session] = frozenset()) -> Session | None:
    """A session of ``account`` on this node that can get messages and is not among ``gone``."""
    return next(
        (each for each in account.reachable() if isinstance(each, Session) and each not in gone), None
    )


def _chunks(messages: Sequence[OfflineMessage]) -> Iterator[list[OfflineMessage]]:
    """``messages`` in order, in pieces of little more than ``_CHUNK`` bytes."""
    chunk: list[OfflineMessage] = []
    size = 0
    for message in messages:
        chunk.append(message)
        size += len(message.stanza)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
