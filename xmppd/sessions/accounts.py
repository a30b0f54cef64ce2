"""The accounts in a node's memory: those with resources stay, others are cached within a bound."""

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
        self._cache: Cache[Jid, Account] = Cache(self._load, capacity)
        self._loaders: list[Loader] = []
        self._forgotten: list[Callable[[Jid], None]] = []

    def add_loader(self, loader: Loader) -> None:
        """Call ``loader`` for each account that comes into memory, before anybody sees it."""
        self._loaders.append(loader)

    def on_forget(self, listener: Callable[[Jid], None]) -> None:
        """Call ``listener`` with each account that leaves the memory because it changed or became idle."""
        self._forgotten.append(listener)

    def peek(self, jid: Jid) -> Account | None:
        """The account ``jid`` (bare) if it is in memory."""
        return self._live.get(jid) or self._cache.peek(jid)

    async def get(self, jid: Jid) -> Account | None:
        """The account ``jid`` (bare); None where there is none."""
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
        """The account has resources: keep it."""
        self._live[account.jid] = account

    def unpin(self, account: Account) -> None:
        """The last resource is gone: from now on the account is read again when it is needed."""
        self._live.pop(account.jid, None)
        self.forget(account.jid)

    def forget(self, jid: Jid) -> None:
        """What is cached is out of date. Accounts with resources stay: who changes them changes them in
        place.
        """
        if jid in self._live:
            return
        self._cache.forget(jid)
        for listener in self._forgotten:
            listener(jid)

    def live(self) -> list[Account]:
        """Every account with resources."""
        return list(self._live.values())
