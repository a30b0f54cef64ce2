"""The accounts in a node's memory: those with resources stay, others are cached within a bound.

There is at most one ``Account`` of an address that anybody may still add resources to: whoever gets one and means to
keep it pins it before doing anything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.cache import Cache
from xmppd.storage.interfaces import AccountStore, NoSuchAccount

Loader = Callable[[Account], Awaitable[None]]


class Accounts:
    """Finds accounts by bare JID. ``peek`` is for the hot path: it never waits."""

    def __init__(self, store: AccountStore, capacity: int) -> None:
        self._store = store
        self._live: dict[Jid, Account] = {}
        self._pins: dict[Jid, int] = {}
        self._cache: Cache[Jid, Account] = Cache(self._load, capacity, self._evicted)
        self._loaders: list[Loader] = []
        self._forgotten: list[Callable[[Jid], None]] = []
        self._changed: list[Callable[[Jid], None]] = []
        self._refreshing: dict[Jid, bool] = {}  # live accounts: whether they changed since it began

    def add_loader(self, loader: Loader) -> None:
        """Call ``loader`` for each account that comes into memory, before anybody sees it, and again when what it
        loads has changed elsewhere.
        """
        self._loaders.append(loader)

    def on_forget(self, listener: Callable[[Jid], None]) -> None:
        """Call ``listener`` with each account that leaves the memory because it changed, became idle or had to make
        room.
        """
        self._forgotten.append(listener)

    def on_change(self, listener: Callable[[Jid], None]) -> None:
        """Call ``listener`` with each account that this node changed in the storage."""
        self._changed.append(listener)

    def peek(self, jid: Jid) -> Account | None:
        """The account ``jid`` (bare) if it is in memory."""
        return self._live.get(jid) or self._cache.peek(jid)

    def current(self, account: Account) -> Account:
        """``account`` may have left the memory meanwhile, and come back as another object. Or it was deleted, and its
        address is somebody else's: then it stays what it was.
        """
        other = self.peek(account.jid)
        return account if other is None or other.id != account.id else other

    async def get(self, jid: Jid) -> Account | None:
        """The account ``jid`` (bare); None where there is none. It is the one that ``peek`` returns right now."""
        account = self._live.get(jid)
        if account is not None:
            return account
        try:
            account = await self._cache.get(jid)
        except NoSuchAccount:
            return None
        return self._live.get(jid) or account

    async def _load(self, jid: Jid) -> Account:
        record = await self._store.get(jid)
        if record is None:
            raise NoSuchAccount(str(jid))
        account = Account(record.id, record.jid)
        for loader in self._loaders:
            await loader(account)
        return account

    def pin(self, account: Account) -> None:
        """``account`` has one more session: keep it. Without waiting for anything since ``get`` returned it."""
        jid = account.jid
        if self._live.setdefault(jid, account) is not account:
            raise RuntimeError(f"two accounts {jid} in memory: one was kept while something else was awaited")
        self._pins[jid] = self._pins.get(jid, 0) + 1

    def unpin(self, account: Account) -> None:
        """``account`` has one session less. After the last one it is read again when it is needed."""
        jid = account.jid
        self._pins[jid] -= 1
        if not self._pins[jid]:
            del self._pins[jid], self._live[jid]
            self.drop(jid)

    def forget(self, jid: Jid) -> None:
        """This node changed the account in the storage: nobody gets what was read before.

        Accounts with resources stay: who changes them changes them in place.
        """
        self.drop(jid)
        for listener in self._changed:
            listener(jid)

    def drop(self, jid: Jid) -> None:
        """As ``forget``, but it was another node that changed it, or it is just not needed any more."""
        if jid in self._live:
            if jid in self._refreshing:
                self._refreshing[jid] = True
            return
        self._cache.forget(jid)
        self._left(jid)

    async def refresh(self, jid: Jid) -> None:
        """Another node changed the account: drop it, or, where it has resources, load again what is kept with it."""
        account = self._live.get(jid)
        if account is None or jid in self._refreshing:
            self.drop(jid)
            return
        again = True
        try:
            while again:
                self._refreshing[jid] = False
                for loader in self._loaders:
                    await loader(account)
                again = self._refreshing[jid]
        finally:
            del self._refreshing[jid]
            if self._live.get(jid) is not account:
                self.drop(jid)  # its last resource left meanwhile

    def _evicted(self, jid: Jid, account: Account) -> None:
        if jid not in self._live:
            self._left(jid)

    def _left(self, jid: Jid) -> None:
        for listener in self._forgotten:
            listener(jid)

    def live(self) -> list[Account]:
        """Every account with resources."""
        return list(self._live.values())
