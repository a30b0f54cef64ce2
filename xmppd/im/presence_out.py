"""Brings the presence of an account to those who may see it (RFC 6121#4.2.2, #4.4.2, #4.5.2).

Contacts on our domains get it at once, in one pass over the roster, without waiting and without a task: the cost of
one delivery is what a presence server lives on. What is for other servers is returned as something to await.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.routing.outbox import Outbox
from xmppd.routing.pipeline import Pipeline
from xmppd.routing.router import Router, Waiting
from xmppd.sessions.account import Account
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.stanza import Presence


class Broadcaster:
    """Each method passes the stages of both sides, so that nobody hears of, or from, whom they block."""

    def __init__(self, accounts: Accounts, directory: Directory, router: Router, pipeline: Pipeline) -> None:
        self._accounts = accounts
        self._directory = directory
        self._router = router
        self._pipeline = pipeline

    def connected(self, contact: Jid) -> Account | None:
        """The account ``contact`` (bare) if it is in memory, as it is while it has resources on this node; its
        resources are complete.
        """
        return self._accounts.peek(contact)

    def has_to_be_sent(self, contact: Jid) -> bool:
        """Whether what is for ``contact``, which is not in memory, takes the way over the router: it is on another
        server, or may have resources on another node.
        """
        return not self._router.is_local(contact) or self._directory.may_be_elsewhere(contact)

    def outgoing(self, presence: Presence, sender: Account) -> Presence | None:
        """What the stages of ``sender`` leave of ``presence``; a bounce is as nothing, since no client sent it."""
        try:
            return self._pipeline.outbound(presence, sender)
        except StanzaError:
            return None

    def incoming(self, presence: Presence, recipient: Account) -> Presence | None:
        """The same for the stages of ``recipient``."""
        try:
            return self._pipeline.inbound(presence, recipient)
        except StanzaError:
            return None

    def broadcast(self, account: Account, presence: Presence, contacts: Iterable[Jid]) -> Waiting:
        """Tell each of ``contacts`` (bare) of ``presence`` of a resource of ``account``."""
        presence.wire()  # renders what all copies share
        outgoing, connected = self.outgoing, self.connected
        elsewhere: list[Presence] = []
        for contact in contacts:
            recipient = connected(contact)
            if recipient is None:
                if self.has_to_be_sent(contact):
                    elsewhere.append(presence.with_to(contact))
            elif recipient.resources:
                copy = outgoing(presence.with_to(contact), account)
                if copy is not None:
                    self.deliver(copy, recipient)
        return self._send_out(account, elsewhere) if elsewhere else None

    async def _send_out(self, account: Account, stanzas: Iterable[Presence]) -> None:
        for stanza in stanzas:
            if (judged := self.outgoing(stanza, account)) is not None:
                await self._router.send(judged)

    def deliver(self, presence: Presence, recipient: Account) -> None:
        """Give ``presence`` to each available resource of ``recipient``, if it wants it (RFC 6121#4.2.3, #8.5.2.1)."""
        wanted = self.incoming(presence, recipient)
        if wanted is not None:
            for resource in recipient.available():
                resource.deliver(wanted)

    def to_own(self, account: Account, presence: Presence) -> None:
        """Tell each available resource of ``account`` of ``presence`` of one of them.

        That one is told as well: everybody sees their own presence (RFC 6121#4.2.2, #4.4.2).
        """
        copy = presence.with_to(account.jid)
        for resource in account.available():
            resource.deliver(copy)

    # For one contact, when a subscription changes

    def show(self, account: Account, contact: Jid, outbox: Outbox) -> None:
        """Tell ``contact`` (bare) the current presence of each available resource (RFC 6121#3.1.5)."""
        for resource in account.available():
            if resource.presence is not None:
                self._tell(account, resource.presence, contact, outbox)

    def hide(self, account: Account, contact: Jid, outbox: Outbox) -> None:
        """Tell ``contact`` that each available resource is gone (RFC 6121#3.2.2)."""
        for resource in account.available():
            self._tell(account, unavailable(resource.jid), contact, outbox)

    def _tell(self, account: Account, presence: Presence, contact: Jid, outbox: Outbox) -> None:
        # XEP-0191#block: whom the user blocks gets no answer, whatever it sends
        copy = self.outgoing(presence.with_to(contact), account)
        if copy is None:
            return
        if (recipient := self.connected(contact)) is not None:
            outbox.call(partial(self.deliver, copy, recipient))
        elif self.has_to_be_sent(contact):
            outbox.send(copy)


def unavailable(sender: Jid) -> Presence:
    """The resource ``sender`` (full) is gone."""
    return Presence(type="unavailable", sender=sender, to=None)
