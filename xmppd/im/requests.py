"""IQs (RFC 6121#8.5, RFC 6120#8.2.3): routed to a resource, or answered here for an account or the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from xmppd.errors import StanzaError
from xmppd.ids import Ids
from xmppd.routing.iq import At, Handler, IqTable, Name, Payload, Request
from xmppd.routing.outbox import Outbox
from xmppd.routing.router import Router, Waiting
from xmppd.sessions.account import Account
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Stanza

Guard = Callable[[Iq, Account | None], Awaitable[None] | None]


class Requests:
    """The ``AccountHandler`` for IQs."""

    def __init__(self, table: IqTable, router: Router, ids: Ids) -> None:
        self._table = table
        self._router = router
        self._ids = ids
        self._guards: dict[Name, Guard] = {}

    def guard(self, payload: Name, guard: Guard) -> None:
        """Let ``guard`` refuse requests with ``payload`` before a resource gets them; it is also asked where there is
        no account, so that its answer does not tell.
        """
        self._guards[payload] = guard

    def accept(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        assert isinstance(stanza, Iq)
        assert stanza.to is not None
        if stanza.to.resource is not None:
            if (guard := self._guard(stanza)) is not None and (waiting := guard(stanza, account)) is not None:
                return self._forward_later(stanza, account, waiting)
            self._forward(stanza, account)
            return None
        own = session is not None and session.account is account
        return self._serve(stanza, At.OWN if own else At.ACCOUNT, account, session)

    def _guard(self, iq: Iq) -> Guard | None:
        payload = iq.payload if iq.type in ("get", "set") else None
        return None if payload is None else self._guards.get(Name(payload.ns, payload.name))

    def _forward(self, iq: Iq, account: Account) -> None:
        assert iq.to is not None
        resource = account.resources.get(iq.to.resource or "")
        if resource is None:
            # RFC 6121#8.5.3.2.3
            raise StanzaError("service-unavailable")
        resource.deliver(iq)

    async def _forward_later(self, iq: Iq, account: Account, waiting: Awaitable[None]) -> None:
        await waiting
        self._forward(iq, account)

    def accept_stranger(self, stanza: Stanza, session: Session | None) -> Waiting:
        assert isinstance(stanza, Iq)
        assert stanza.to is not None
        if stanza.to.resource is not None:
            if (guard := self._guard(stanza)) is not None:
                guard(stanza, None)
            raise StanzaError("service-unavailable")  # RFC 6121#8.5.1
        return self._serve(stanza, At.NOBODY, None, session)

    def accept_server(self, stanza: Stanza, session: Session | None) -> Waiting:
        assert isinstance(stanza, Iq)
        assert stanza.to is not None
        if stanza.to.resource is not None:
            raise StanzaError("service-unavailable")  # RFC 6120#10.4: the server has no resources
        return self._serve(stanza, At.SERVER, None, session)

    def _serve(self, iq: Iq, at: At, account: Account | None, session: Session | None) -> Waiting:
        if iq.type in ("result", "error"):
            return None  # the answer to one of our pushes or pings: that it came is all there is to know
        entry = self._table.find(iq, at)
        if entry is None:
            # RFC 6120#8.4: nobody here understands the payload
            raise StanzaError("service-unavailable")
        payload = iq.payload
        assert payload is not None
        request = Request(iq, entry.payload.parse(payload), at, account, session)
        return self._answer(request, entry.handler, session)

    async def _answer(
        self, request: Request[Payload], handler: Handler[Payload], session: Session | None
    ) -> None:
        outbox = Outbox()
        reply = request.iq.result(await handler(request, outbox))
        if session is not None:
            session.deliver(reply)
        else:
            await self._router.send(reply)
        if outbox.effects:
            await self._router.carry_out(outbox, self._ids.token)
