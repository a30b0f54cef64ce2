"""What a running server does when accounts are changed by whoever administers them."""

from __future__ import annotations

from xmppd.accounts import AccountEvents
from xmppd.errors import StreamError
from xmppd.im.subscribing import Subscribing
from xmppd.jid import Jid
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import AccountDeleted, Facts, PasswordChanged
from xmppd.sessions.session import Session
from xmppd.storage.interfaces import AccountRecord


class LiveAccounts(AccountEvents):
    """Ends sessions and drops caches before a change is reported as done."""

    def __init__(
        self, accounts: Accounts, directory: Directory, facts: Facts, subscribing: Subscribing
    ) -> None:
        self._accounts = accounts
        self._directory = directory
        self._facts = facts
        self._subscribing = subscribing

    async def on_changed(self, jid: Jid, asker: Session | None) -> None:
        await self._accounts.get(jid)  # with its resources on other nodes
        self._directory.kick(jid, StreamError("reset", "the password was changed"), spare=asker)
        self._facts.tell(PasswordChanged(jid))
        self._accounts.forget(jid)

    async def on_deleting(self, account: AccountRecord, asker: Session | None) -> None:
        known = await self._accounts.get(account.jid)
        self._directory.kick(
            account.jid, StreamError("not-authorized", "the account was deleted"), spare=asker
        )
        if known is not None:
            await self._subscribing.farewell(known)

    async def on_deleted(self, jid: Jid, asker: Session | None) -> None:
        self._directory.kick(jid, StreamError("not-authorized", "the account was deleted"), spare=asker)
        self._facts.tell(AccountDeleted(jid))
        self._accounts.forget(jid)
