"""When people were last seen: kept when their last available resource goes away, told to those who may see their
presence (XEP-0012, RFC 6121#4.3.2).

It is written behind: people come and go often, and a few seconds of it lost in a crash hurt nobody. Who asks meanwhile
waits until it is written, so that there is one truth.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.clock import Clock, Timer, stamp
from xmppd.errors import StanzaError
from xmppd.im.requests import Requests
from xmppd.im.rosters import Rosters
from xmppd.jid import Jid
from xmppd.routing.disco import Disco, Entity
from xmppd.routing.iq import At, IqTable, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.sessions.account import Account
from xmppd.stanza import Children, Iq, Presence
from xmppd.storage.interfaces import AccountStore, LastSeen, StorageUnavailable
from xmppd.tasks import Tasks
from xmppd.xml.element import Element, text_element

log = logging.getLogger("xmppd.im")

_DELAY: Final = 2.0  # seconds until it is written: what happens meanwhile is one transaction
_BATCH: Final = 200
_STATUS: Final = 1_000  # characters of a status text that are kept


class LastSeenKeeper:
    """Remembers and finds when accounts were last seen."""

    def __init__(self, store: AccountStore, clock: Clock, tasks: Tasks) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._unwritten: dict[Jid, tuple[int, LastSeen]] = {}
        self._timer: Timer | None = None
        self._writing = asyncio.Lock()

    def left(self, account: Account, status: str) -> None:
        """The last available resource of ``account`` is gone now; ``status`` is the text that it left."""
        self._unwritten[account.jid] = (account.id, LastSeen(self._clock.now(), status[:_STATUS]))
        self._arm()

    def _due(self) -> None:
        self._timer = None
        self._tasks.start("write last seen", self.flush())

    async def flush(self) -> None:
        """Write what is not written yet; returns when it is durable, or later will be tried again."""
        async with self._writing:
            while self._unwritten:
                batch = list(islice(self._unwritten.items(), _BATCH))
                try:
                    await asyncio.gather(
                        *(self._store.set_last_seen(owner, seen) for _, (owner, seen) in batch)
                    )
                except StorageUnavailable as err:
                    log.error("when people were last seen cannot be written: %s", err)
                    self._arm()
                    return
                for jid, entry in batch:
                    if self._unwritten[jid] is entry:  # else they came and went once more
                        del self._unwritten[jid]

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(_DELAY, self._due)

    async def of(self, jids: Collection[Jid], asker: Jid) -> dict[Jid, LastSeen]:
        """When the accounts ``jids`` (bare) were last seen; those who block ``asker`` are left out."""
        if not self._unwritten.keys().isdisjoint(jids):
            await self.flush()
        return await self._store.last_seen(jids, unless_blocking=_addresses(asker))

    def presence(self, account: Jid, seen: LastSeen | None, to: Jid) -> Presence:
        """The answer to a probe of ``to`` when no resource of ``account`` (bare) is available (RFC 6121#4.3.2)."""
        children: Children = []
        if seen is not None:
            if seen.status:
                children.append(text_element("status", ns.CLIENT, seen.status))
            children.append(Element("delay", ns.DELAY, {"from": account.domain, "stamp": stamp(seen.at)}))
            children.append(self.query(seen, status=False))  # XEP-0256
        return Presence(type="unavailable", sender=account, to=to, children=children)

    def query(self, seen: LastSeen, *, status: bool = True) -> Element:
        """``seen`` as ``<query xmlns='jabber:iq:last'/>``, with the text that was left if ``status``."""
        seconds = max(0, int(self._clock.now() - seen.at))
        return text_element("query", ns.LAST, seen.status if status else "", {"seconds": str(seconds)})


def _addresses(jid: Jid) -> set[Jid]:
    """What may stand in a block list and mean ``jid`` (XEP-0191#matching)."""
    addresses = {jid, jid.bare, Jid(None, jid.domain)}
    if jid.resource is not None:
        addresses.add(Jid(None, jid.domain, jid.resource))
    return addresses


@dataclass(frozen=True, slots=True)
class LastQuery:
    """``<query xmlns='jabber:iq:last'/>``: how long ago?"""

    TAG: ClassVar[Name] = Name(ns.LAST, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


class LastActivity:
    """XEP-0012: answers for accounts and the server, and guards what goes to clients."""

    def __init__(self, keeper: LastSeenKeeper, rosters: Rosters, clock: Clock) -> None:
        self._keeper = keeper
        self._rosters = rosters
        self._clock = clock
        self._started = clock.monotonic()

    def register(self, iqs: IqTable, requests: Requests, disco: Disco) -> None:
        owner = "last activity"
        iqs.add("get", LastQuery, self.of_account, (At.OWN, At.ACCOUNT), owner)
        iqs.add("get", LastQuery, self.of_nobody, (At.NOBODY,), owner)
        iqs.add("get", LastQuery, self.of_server, (At.SERVER,), owner)
        requests.guard(LastQuery.TAG, self.guard)
        disco.feature(ns.LAST, Entity.SERVER, Entity.ACCOUNT)

    async def of_account(self, request: Request[LastQuery], outbox: Outbox) -> Element:
        """How long ago the account's last resource went away."""
        account = request.account
        assert account is not None
        known = self._rosters.peek(account) or await self._rosters.get(account)
        if request.at is not At.OWN and not known.shows_to(request.sender):
            raise _forbidden()
        if account.available():
            return Element("query", ns.LAST, {"seconds": "0"})  # XEP-0012#offline
        seen = (await self._keeper.of([account.jid], request.sender)).get(account.jid)
        if seen is None:
            raise StanzaError("item-not-found", "nobody was ever seen there")
        return self._keeper.query(seen)

    async def of_nobody(self, request: Request[LastQuery], outbox: Outbox) -> Element:
        raise _forbidden()  # as where there is an account: who asks may not learn which

    async def of_server(self, request: Request[LastQuery], outbox: Outbox) -> Element:
        """How long the server has been running (XEP-0012#server)."""
        return Element("query", ns.LAST, {"seconds": str(int(self._clock.monotonic() - self._started))})

    def guard(self, iq: Iq, account: Account | None) -> Coroutine[None, None, None] | None:
        """``forbidden`` unless the sender of ``iq``, which is for a resource of ``account``, may see its presence.

        XEP-0012#online: then it must not get there.
        """
        if account is None:
            raise _forbidden()
        if iq.sender.bare == account.jid:
            return None
        known = self._rosters.peek(account)
        if known is None:
            return self._guard_later(iq, account)
        if not known.shows_to(iq.sender):
            raise _forbidden()
        return None

    async def _guard_later(self, iq: Iq, account: Account) -> None:
        if not (await self._rosters.get(account)).shows_to(iq.sender):
            raise _forbidden()


def _forbidden() -> StanzaError:
    return StanzaError("forbidden", "only those who may see the presence may know this")
