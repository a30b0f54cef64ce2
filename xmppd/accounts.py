"""Administering accounts, whoever asks: the command line with or without a running server, the server's own extensions.

``AccountService`` does the work. What a running server has to do about it (end sessions, drop caches) it does in the
methods of ``AccountEvents``, all of them before the change is reported as done.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from xmppd.clock import Clock
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.interfaces import (
    AccountRecord,
    Credentials,
    NoSuchAccount,
    RosterChange,
    RosterItem,
    Stores,
    Subscription,
)

if TYPE_CHECKING:
    from xmppd.sessions.session import Session

PAGE: Final = 1000
"""Most accounts that one call of ``list``, ``create_many`` or ``existing`` is about."""


class NotServed(UserError):
    """The address is on none of the server's domains."""


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """An account and how much it holds: contacts that its user sees, messages that wait for it. ``retention_days``: how
    long its messages are kept; None: as the server keeps all.
    """

    account: AccountRecord
    contacts: int
    offline_messages: int
    retention_days: int | None


class Accounts(Protocol):
    """What the command line does with accounts. Addresses are bare; each may raise ``StorageUnavailable``."""

    @abstractmethod
    async def existing(self, jids: Sequence[Jid]) -> frozenset[Jid]:
        """Which of ``jids`` are accounts."""

    @abstractmethod
    async def create_many(self, accounts: Sequence[tuple[Jid, Credentials]]) -> None:
        """Create all of ``accounts`` or none: ``AccountExists`` (text: the address), ``NotServed``."""

    @abstractmethod
    async def set_credentials(self, jid: Jid, credentials: Credentials) -> None:
        """Replace the keys of ``jid``; its sessions have ended when this returns. ``NoSuchAccount``."""

    @abstractmethod
    async def set_retention(self, jid: Jid, days: int | None) -> None:
        """Keep the messages of ``jid`` for ``days``, at least 1; None: as the server keeps all. ``NoSuchAccount``."""

    @abstractmethod
    async def delete(self, jid: Jid) -> None:
        """Remove ``jid`` with everything it owns; its sessions have ended when this returns. ``NoSuchAccount``."""

    @abstractmethod
    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = PAGE
    ) -> list[AccountRecord]:
        """As ``AccountStore.list``."""

    @abstractmethod
    async def show(self, jid: Jid) -> AccountDetails:
        """What there is to know about ``jid``; ``NoSuchAccount``."""


class AccountEvents(Protocol):
    """What a running server does when accounts change. Each method returns when it is done.

    ``asker`` is the session that asked for it, if one did: it lives on, and who called ends it.
    """

    @abstractmethod
    async def on_changed(self, jid: Jid, asker: Session | None) -> None:
        """``jid`` has new keys: end its sessions, drop what is cached of it."""

    @abstractmethod
    async def on_deleting(self, account: AccountRecord, asker: Session | None) -> None:
        """``account`` is about to go and still whole: end its sessions, cancel its subscriptions at its contacts."""

    @abstractmethod
    async def on_deleted(self, jid: Jid, asker: Session | None) -> None:
        """``jid`` is gone: drop what is cached of it, end what logged in meanwhile."""


class NobodyIsOnline(AccountEvents):
    """The events of a server that does not run."""

    async def on_changed(self, jid: Jid, asker: Session | None) -> None:
        pass

    async def on_deleting(self, account: AccountRecord, asker: Session | None) -> None:
        pass

    async def on_deleted(self, jid: Jid, asker: Session | None) -> None:
        pass


class AccountService(Accounts):
    """Accounts in ``stores`` on the domains ``domains``; ``hash`` makes keys of a password, ``waiting`` tells how many
    messages wait for the account with an id.
    """

    def __init__(
        self,
        stores: Stores,
        domains: Sequence[Jid],
        hash: Callable[[str], Awaitable[Credentials]],
        events: AccountEvents,
        clock: Clock,
        *,
        waiting: Callable[[int], Awaitable[int]],
    ) -> None:
        self._stores = stores
        self._waiting = waiting
        self._domains = tuple(domain.domain for domain in domains)
        self._hash = hash
        self._events = events
        self._clock = clock

    async def create(self, jid: Jid, password: str) -> None:
        """Create one account: ``AccountExists``, ``NotServed``, or what ``hash`` raises."""
        self._check(jid)
        await self.create_many([(jid, await self._hash(password))])

    async def set_password(self, jid: Jid, password: str) -> None:
        """As ``set_credentials``; also raises what ``hash`` does."""
        await self.set_credentials(jid, await self._hash(password))

    async def existing(self, jids: Sequence[Jid]) -> frozenset[Jid]:
        return frozenset([jid for jid in jids if await self._stores.accounts.get(jid) is not None])

    async def create_many(self, accounts: Sequence[tuple[Jid, Credentials]]) -> None:
        for jid, _ in accounts:
            self._check(jid)
        await self._stores.accounts.create(accounts, now=self._clock.now())

    async def set_credentials(
        self, jid: Jid, credentials: Credentials, *, asker: Session | None = None
    ) -> None:
        """See ``Accounts``; ``asker`` as in ``AccountEvents``."""
        await self._stores.accounts.set_credentials(jid, credentials)
        await self._events.on_changed(jid, asker)

    async def set_retention(self, jid: Jid, days: int | None) -> None:
        await self._stores.preferences.set_days((await self._get(jid)).id, days)

    async def delete(self, jid: Jid, *, asker: Session | None = None) -> None:
        """See ``Accounts``; ``asker`` as in ``AccountEvents``."""
        account = await self._get(jid)
        await self._events.on_deleting(account, asker)
        await self._cancel_subscriptions(account)
        await self._stores.rooms.forget(jid)
        await self._stores.accounts.delete(jid)
        await self._events.on_deleted(jid, asker)

    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = PAGE
    ) -> list[AccountRecord]:
        return await self._stores.accounts.list(domain=domain, contains=contains, after=after, limit=limit)

    async def show(self, jid: Jid) -> AccountDetails:
        account = await self._get(jid)
        roster = await self._stores.rosters.load(account.id)
        preferences = await self._stores.preferences.load(account.id)
        return AccountDetails(
            account,
            contacts=sum(item.listed for item in roster.items.values()),
            offline_messages=await self._waiting(account.id),
            retention_days=None if preferences is None else preferences.days,
        )

    async def _get(self, jid: Jid) -> AccountRecord:
        account = await self._stores.accounts.get(jid)
        if account is None:
            raise NoSuchAccount(str(jid))
        return account

    def _check(self, jid: Jid) -> None:
        if jid.local is None or jid.resource is not None or jid.domain not in self._domains:
            raise NotServed(
                f"{jid} cannot be an account here: accounts are name@domain, "
                f"and the domains of this server are {', '.join(self._domains)}"
            )

    async def _cancel_subscriptions(self, account: AccountRecord) -> None:
        """Nobody here stays subscribed to an address that a stranger may register tomorrow.

        A running server has done it in ``on_deleting``, with the stanzas that it takes; then nothing is left to change.
        """
        roster = await self._stores.rosters.load(account.id)
        for contact in roster.items:
            if contact.domain in self._domains and contact.local is not None:
                owner = await self._stores.accounts.get(contact.bare)
                if owner is not None:
                    await self._stores.rosters.update([RosterChange(owner.id, account.jid, _cancelled)])


def _cancelled(item: RosterItem | None) -> RosterItem | None:
    """``item`` after its contact sent ``unsubscribe`` and ``unsubscribed`` (RFC 6121#3.2, RFC 6121#3.3)."""
    if item is None or not item.listed:
        return None
    return replace(item, subscription=Subscription.NONE, ask=False, approved=False, request=None)
