"""Where a stanza goes: only its ``to`` decides (RFC 6120#10)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.routing.outbox import Call, Outbox, Push, Send
from xmppd.routing.pipeline import Pipeline
from xmppd.sessions.account import Account
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Message, Presence, Stanza, error_reply

log = logging.getLogger("xmppd.routing")

Waiting = Awaitable[None] | None


class Host(Protocol):
    """Whatever answers for a whole domain: a service such as ``muc.example.org``, or the way to other
    servers.
    """

    def accept(self, stanza: Stanza, session: Session | None) -> Waiting:
        """Take ``stanza``; ``StanzaError`` bounces it. ``session`` is the sender's, if it is one of ours."""


class AccountHandler(Protocol):
    """The rules for one kind of stanza to a local account (RFC 6121#8.5)."""

    def accept(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        """``stanza.to`` is an address of ``account``."""

    def accept_stranger(self, stanza: Stanza, session: Session | None) -> Waiting:
        """``stanza.to`` looks like a local account, but there is none (RFC 6121#8.5.1)."""

    def accept_server(self, stanza: Stanza, session: Session | None) -> Waiting:
        """``stanza.to`` is the server itself."""


class Router:
    """Routes stanzas. ``route`` works at once where it can, so that a stanza costs no task; else it returns
    what to await.
    """

    def __init__(self, domains: Collection[Jid], accounts: Accounts, pipeline: Pipeline) -> None:
        self._domains = frozenset(domain.domain for domain in domains)
        self._accounts = accounts
        self._pipeline = pipeline
        self._handlers: dict[type[Stanza], AccountHandler] = {}
        self._hosts: dict[str, Host] = {}
        self._remote: Host | None = None

    def set_handlers(
        self, *, messages: AccountHandler, presence: AccountHandler, iqs: AccountHandler
    ) -> None:
        """Called once, by the composition root: handlers need the router themselves."""
        self._handlers = {Message: messages, Presence: presence, Iq: iqs}

    def add_host(self, domain: str, host: Host) -> None:
        """Let ``host`` answer for ``domain``; a domain has one owner."""
        if domain in self._hosts or domain in self._domains:
            raise RuntimeError(f"the domain {domain} is taken")
        self._hosts[domain] = host

    def set_remote(self, host: Host) -> None:
        """Let ``host`` take what is for other servers."""
        self._remote = host

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self._hosts)

    def is_local(self, jid: Jid) -> bool:
        """Whether ``jid`` belongs to a domain whose accounts are ours."""
        return jid.domain in self._domains

    def route(self, stanza: Stanza, session: Session | None = None) -> Waiting:
        """Bring ``stanza``, which has a ``to``, to its recipient; ``StanzaError`` when it has to be bounced."""
        to = stanza.to
        assert to is not None
        if to.domain in self._domains:
            if to.local is None:
                return self._handlers[type(stanza)].accept_server(stanza, session)
            account = self._accounts.peek(to.bare)
            if account is None:
                return self._load(stanza, to.bare, session)
            return self._to_account(stanza, account, session)
        host = self._hosts.get(to.domain, self._remote)
        if host is None:
            # RFC 6120#8.3.3.16
            raise StanzaError("remote-server-not-found", f"{to.domain} cannot be reached from here")
        return host.accept(stanza, session)

    def _to_account(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        judged = self._pipeline.inbound(stanza, account)
        if judged is None:
            return None
        return self._handlers[type(judged)].accept(judged, account, session)

    async def _load(self, stanza: Stanza, jid: Jid, session: Session | None) -> None:
        account = await self._accounts.get(jid)
        if account is None:
            waiting = self._handlers[type(stanza)].accept_stranger(stanza, session)
        else:
            waiting = self._to_account(stanza, account, session)
        if waiting is not None:
            await waiting

    # What the server sends by itself

    async def send(self, stanza: Stanza) -> None:
        """Route ``stanza`` on the server's own account: an error it meets goes back to whom it is from."""
        try:
            waiting = self.route(stanza)
            if waiting is not None:
                await waiting
        except StanzaError as err:
            await self.bounce(stanza, err)

    async def bounce(self, stanza: Stanza, error: StanzaError) -> None:
        """Tell the sender of ``stanza`` about ``error``, unless it must not be told."""
        reply = error_reply(stanza, error)
        if reply is None:
            return
        try:
            waiting = self.route(reply)
            if waiting is not None:
                await waiting
        except StanzaError as err:
            log.debug("an error reply found no way back: %s", err.condition)

    async def carry_out(self, outbox: Outbox, new_id: Callable[[], str]) -> None:
        """Tell others what ``outbox`` holds, in order."""
        for effect in outbox.effects:
            match effect:
                case Send(stanza=stanza):
                    await self.send(stanza)
                case Push():
                    effect.deliver(new_id)
                case Call(effect=call):
                    call()
