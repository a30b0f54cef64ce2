"""Messages for people who are not there (XEP-0160): kept in the storage, delivered when somebody comes back.

Order is kept (I5): from the moment a message for an account is on its way into the storage until everything
kept has been delivered, the account is *busy*, and further messages go through the storage too, behind those
before them. A message that comes while resources are reachable is *live*: when its turn comes it is delivered
as any other, to all of them.

A message is forgotten only after the socket took it; a client that is cut off before gets it again (at least
once; stream management makes it exactly once).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.errors import StanzaError
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.facts import BecameAvailable, Facts, PriorityRaised
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.interfaces import NoSuchAccount, OfflineFull, OfflineMessage, OfflineStore
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

_PAGE: Final = 25
_CHUNK: Final = 65_536  # bytes given to a client before it has to read: many large messages would overflow its buffer
_DAY: Final = 86_400.0

Deliver = Callable[[Message, Account, Sequence[Resource]], None]

# Payloads that are worth nothing later.
_FLEETING: Final = frozenset({ns.CHAT_STATES})


def worth_keeping(message: Message) -> bool:
    """Whether ``message`` is to be kept when nobody is there (XEP-0160#types, XEP-0334)."""
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


class _Work:
    """One busy account: messages on their way in, and whether somebody is being given what is kept."""

    __slots__ = ("arrived", "arriving", "delivering", "live")

    def __init__(self) -> None:
        self.arriving = 0
        self.arrived = 0  # how many came in since the account became busy
        self.delivering = False
        self.live: dict[int, Message] = {}  # by storage id: came while resources were reachable


class Offline:
    """Keeps messages and delivers them when a resource of the account becomes available with a priority that
    is not negative.
    """

    def __init__(
        self,
        store: OfflineStore,
        clock: Clock,
        tasks: Tasks,
        facts: Facts,
        *,
        limit: int,
        days: int,
    ) -> None:
        """At most ``limit`` messages per account (0: any number), for ``days`` (0: for ever)."""
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._limit = limit
        self._seconds = days * _DAY
        self._busy: dict[int, _Work] = {}
        self._deliver: Deliver | None = None
        facts.on(BecameAvailable, self._on_available)
        facts.on(PriorityRaised, self._on_available)

    def set_delivery(self, deliver: Deliver) -> None:
        """Called once: how a live message is delivered."""
        self._deliver = deliver

    def is_busy(self, account: Account) -> bool:
        """Whether a message for ``account`` has to go through the storage to stay behind earlier ones."""
        return account.id in self._busy

    async def keep(self, message: Message, account: Account, *, live: bool = False) -> None:
        """Store ``message``; returns when it is durable. ``service-unavailable`` if there is no room
        (XEP-0160).
        """
        work = self._busy.setdefault(account.id, _Work())
        work.arriving += 1
        now = self._clock.now()
        try:
            kept = message if live else self._delayed(message, account, now)
            id = await self._store.append(
                account.id,
                kept.wire(),
                limit=self._limit,
                expires=now + self._seconds if self._seconds else None,
            )
            if live:
                work.live[id] = message
        except OfflineFull as err:
            raise StanzaError("service-unavailable", "too many messages wait for this account") from err
        except NoSuchAccount as err:
            raise StanzaError("service-unavailable") from err
        finally:
            work.arriving -= 1
            work.arrived += 1
            self._settle(account, work)

    def _delayed(self, message: Message, account: Account, now: float) -> Message:
        """``message`` with the time at which it was taken (XEP-0203), unless it says that already."""
        domain = account.jid.domain
        for child in message.elements():
            if child.ns == ns.DELAY and child.get("from") == domain:
                return message
        return message.with_child(Element("delay", ns.DELAY, {"from": domain, "stamp": stamp(now)}))

    def _settle(self, account: Account, work: _Work) -> None:
        """If nothing is on its way any more, either somebody can take what is kept or the account is idle."""
        if work.delivering or work.arriving:
            return
        session = self._taker(account)
        if session is not None:
            self._start(account, work, session)
        else:
            del self._busy[account.id]

    @staticmethod
    def _taker(account: Account) -> Session | None:
        return next((resource for resource in account.reachable() if isinstance(resource, Session)), None)

    def _on_available(self, fact: BecameAvailable | PriorityRaised) -> None:
        session = fact.session
        if session.priority < 0:
            return  # XEP-0160#flow: only a resource that can get messages gets the kept ones
        work = self._busy.setdefault(session.account.id, _Work())
        if not work.delivering:
            self._start(session.account, work, session)

    def _start(self, account: Account, work: _Work, session: Session) -> None:
        work.delivering = True
        self._tasks.start(f"offline messages of {account.jid}", self._give(account, work, session))

    async def _give(self, account: Account, work: _Work, session: Session) -> None:
        """Deliver everything that is kept to ``session``, page by page, as fast as it reads."""
        after = 0
        try:
            while session.presence is not None and session.priority >= 0:
                arrived = work.arrived
                page = await self._store.load(account.id, now=self._clock.now(), after=after, limit=_PAGE)
                if not page:
                    if work.arrived != arrived:
                        continue  # something was committed while we looked
                    return
                after = page[-1].id
                for chunk in _chunks(page):
                    for message in chunk:
                        self._give_one(message, account, work, session)
                    if not await session.link.drained():
                        return
                    await self._store.discard(account.id, [message.id for message in chunk])
        finally:
            work.delivering = False
            if not work.arriving:  # else ``keep`` settles it
                other = self._taker(account)
                if work.live and other is not None and other is not session:
                    self._start(account, work, other)
                else:
                    self._busy.pop(account.id, None)

    def _give_one(self, kept: OfflineMessage, account: Account, work: _Work, session: Session) -> None:
        live = work.live.pop(kept.id, None)
        if live is not None and self._deliver is not None and (resources := account.reachable()):
            self._deliver(live, account, resources)
        else:
            session.link.write(kept.stanza)


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
