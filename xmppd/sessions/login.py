"""A client's way to a bound resource, walked from request to request as one reads RFC 6120: TLS, SASL,
binding.

``Negotiation`` says what comes next; here it is done. The walk is a task that ends once a resource is bound,
or when the client fails or takes too long.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Callable, Sequence

from xmppd import ns
from xmppd.auth.channel_binding import tls_server_end_point
from xmppd.auth.sasl import Challenge, Exchange, Security, decode_base64
from xmppd.clock import Timer
from xmppd.errors import SaslError, StanzaError, StreamError
from xmppd.jid import Jid
from xmppd.logs import fields
from xmppd.net.tls import ServerTls
from xmppd.net.transport import Transport
from xmppd.sessions.clients import ClientServer
from xmppd.sessions.link import Link
from xmppd.sessions.offers import StreamInfo
from xmppd.sessions.resumption import NotResumable
from xmppd.sessions.session import Session
from xmppd.stanza import error_element
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.stream.bound import BoundStream
from xmppd.stream.negotiation import Negotiation
from xmppd.stream.requests import (
    BeginSasl,
    Bind,
    ContinueSasl,
    EarlyIq,
    Ended,
    Opened,
    Request,
    Resume,
    StartTls,
)
from xmppd.xml.element import Element, text_element
from xmppd.xml.parser import Event
from xmppd.xml.writer import to_bytes

log = logging.getLogger("xmppd.c2s")

Bound = Callable[[Session, BoundStream, Sequence[Event]], None]


class Login:
    """Walks one client. ``bound`` gets the session with its stream and what the client had sent by then."""

    def __init__(
        self, server: ClientServer, transport: Transport, link: Link, bound: Bound, *, direct_tls: bool
    ) -> None:
        """``link`` is what the session will write to."""
        self._server = server
        self._transport = transport
        self._link = link
        self._bound = bound
        self._direct_tls = direct_tls
        self._negotiation: Negotiation | None = None  # None until a direct TLS handshake is done
        self._tls: ServerTls | None = None
        self._exchange: Exchange | None = None
        self._wake: asyncio.Future[None] | None = None
        self._began = server.clock.monotonic()
        self._timer: Timer | None = None
        if server.limits.handshake_seconds:
            self._timer = server.clock.call_later(server.limits.handshake_seconds, self._too_slow)
        server.logins.add(self)
        server.tasks.start(f"login from {transport.address}", self._walk())

    # What the connection tells

    def receive(self, data: bytes) -> None:
        """The client sent ``data``."""
        if self._negotiation is not None:
            self._negotiation.receive(data)
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)
            else:
                # A password is being checked, or something like it: what else a stranger sends waits outside
                # (I9).
                self._transport.pause_reading()

    def fail(self, error: StreamError) -> None:
        """End the stream with ``error``."""
        if self._negotiation is not None:
            self._negotiation.fail(error)
            self._flush(self._negotiation)
        self._transport.close()

    def revoke(self, jid: Jid, error: StreamError) -> None:
        """What the client proved, or is about to prove, of the account ``jid`` counts no more."""
        if self._negotiation is not None and self._negotiation.user == jid:
            self.fail(error)
        elif self._exchange is not None and self._exchange.account == jid:
            self._exchange.revoked = True

    def lost(self) -> None:
        """The connection is gone."""
        self._stop_timer()
        if self._wake is not None and not self._wake.done():
            self._wake.set_exception(ConnectionResetError())

    # The walk

    async def _walk(self) -> None:
        server = self._server
        try:
            if self._direct_tls and not await self._handshake():
                return
            negotiation = self._negotiation = Negotiation(
                server.domains,
                server.ids,
                server.limits.stranger,
                tls_offered=server.certificates is not None,
                tls_required=server.tls_required,
                login_attempts=server.limits.login_attempts,
                secure=self._direct_tls,
                resumption=server.resumption.offered,
            )
            self._transport.resume_reading()
            while True:
                request = await self._next_request(negotiation)
                match request:
                    case Opened():
                        self._offer(negotiation)
                    case StartTls():
                        negotiation.proceed()
                        self._flush(negotiation)
                        self._transport.pause_reading()
                        if not await self._handshake():
                            return
                        negotiation.secured()
                        self._transport.resume_reading()
                    case BeginSasl():
                        self._exchange = None
                        await self._login(negotiation, request)
                    case ContinueSasl():
                        await self._login(negotiation, request)
                    case EarlyIq(element=element):
                        await self._early_iq(negotiation, element)
                    case Bind():
                        if await self._bind(negotiation, request):
                            return
                    case Resume():
                        if await self._resume(negotiation, request):
                            return
                    case Ended():
                        break
            self._flush(negotiation)
            self._transport.close()
        except StreamError as err:
            self.fail(err)
        except ConnectionError:
            self._transport.abort()
        except StorageUnavailable as err:
            log.error("negotiation with %s failed: %s", self._transport.address, err)
            self.fail(StreamError("internal-server-error", "the storage does not answer; try again"))
        except Exception:
            log.exception("negotiation with %s failed", self._transport.address)
            self.fail(StreamError("internal-server-error"))
        finally:
            self._stop_timer()
            server.logins.discard(self)

    async def _next_request(self, negotiation: Negotiation) -> Request:
        while (request := negotiation.next_request()) is None:
            self._flush(negotiation)
            if self._transport.is_closed():
                raise ConnectionResetError
            self._transport.resume_reading()
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return request

    def _flush(self, negotiation: Negotiation) -> None:
        out = negotiation.take_output()
        if out:
            self._transport.write(out)

    async def _handshake(self) -> bool:
        certificates = self._server.certificates
        if certificates is None:
            self._transport.abort()
            return False
        self._tls = certificates.current
        try:
            await self._transport.start_tls(self._tls.context)
        except OSError as err:
            log.debug("TLS handshake with %s failed: %s", self._transport.address, err)
            self._transport.abort()
            return False
        return True

    def _security(self) -> Security:
        # The hash of the certificate served in this very handshake, not of the one that is current by now.
        binding = tls_server_end_point(self._tls.certificate) if self._tls is not None else None
        return Security(
            tls=self._transport.secure,
            channel_bindings={} if binding is None else {"tls-server-end-point": binding},
        )

    def _info(self, negotiation: Negotiation) -> StreamInfo:
        return StreamInfo(negotiation.domain, self._transport.address, negotiation.secure, negotiation.user)

    def _offer(self, negotiation: Negotiation) -> None:
        offers = self._server.offers
        info = self._info(negotiation)
        if negotiation.user is not None:
            optional: list[Element | str] = [Element("optional", ns.SESSION)]
            negotiation.offer(
                [
                    Element("bind", ns.BIND),
                    Element("session", ns.SESSION, children=optional),
                    *offers.features(info),
                ]
            )
            return
        authenticator = self._server.authenticator
        security = self._security()
        mechanisms = authenticator.mechanisms(security)
        features: list[Element] = []
        if mechanisms:
            names: list[Element | str] = [text_element("mechanism", ns.SASL, name) for name in mechanisms]
            features.append(Element("mechanisms", ns.SASL, children=names))
        if bindings := authenticator.channel_bindings(security):
            # XEP-0440#sasl-cb-type
            types: list[Element | str] = [
                Element("channel-binding", ns.SASL_CB, {"type": type}) for type in bindings
            ]
            features.append(Element("sasl-channel-binding", ns.SASL_CB, children=types))
        negotiation.offer([*features, *offers.features(info)], early_iq=offers.early_iqs)

    async def _login(self, negotiation: Negotiation, request: BeginSasl | ContinueSasl) -> None:
        """One step of a login."""
        try:
            if isinstance(request, BeginSasl):
                data = None if request.initial is None else decode_base64(request.initial)
                self._exchange = self._server.authenticator.begin(
                    request.mechanism, negotiation.domain.domain, self._transport.address, self._security()
                )
            else:
                data = decode_base64(request.response)
            assert self._exchange is not None
            outcome = await self._exchange.step(data)
        except SaslError as err:
            log.info("login failed", extra=fields(address=self._transport.address, condition=err.condition))
            if negotiation.failed(err) is not None:
                self._flush(negotiation)
                self._transport.close()
            return
        if negotiation.is_over():
            return  # by a signal from elsewhere, such as the node's end
        if isinstance(outcome, Challenge):
            negotiation.challenge(b64encode(outcome.data).decode())
            return
        final = outcome.data
        negotiation.succeeded(outcome.jid, None if final is None else b64encode(final).decode() or "=")

    async def _early_iq(self, negotiation: Negotiation, iq: Element) -> None:
        handler = self._server.offers.early_handler(iq)
        try:
            if handler is None:
                raise StanzaError("not-allowed", "log in first")
            self._give_time_to_fill_in()
            reply = await handler(self._info(negotiation), iq)
        except StanzaError as err:
            reply = Element(
                "iq", ns.CLIENT, {"type": "error", "id": iq.get("id") or ""}, [error_element(err)]
            )
        negotiation.reply(to_bytes(reply))

    def _give_time_to_fill_in(self) -> None:
        """A person fills in a registration form, which takes longer than any program (DESIGN I9)."""
        limits, timer = self._server.limits, self._timer
        if timer is None or 0 < limits.registration_seconds < limits.handshake_seconds:
            return
        timer.cancel()
        self._timer = None
        if limits.registration_seconds:
            since = self._server.clock.monotonic() - self._began
            left = max(0.0, limits.registration_seconds - since)
            self._timer = self._server.clock.call_later(left, self._too_slow)

    async def _bind(self, negotiation: Negotiation, request: Bind) -> bool:
        server = self._server
        assert negotiation.user is not None
        account = await server.accounts.get(negotiation.user)
        if account is None:
            raise StreamError("not-authorized", "the account was deleted")
        if negotiation.is_over() or self._transport.is_closed():
            return True  # the node stops, or the account has got another password
        try:
            jid = server.directory.choose(account, request.resource)
        except StanzaError as err:
            negotiation.refuse(request, err)
            return False
        session = Session(
            account,
            jid,
            self._link,
            server.inbound,
            server.tasks,
            lang=negotiation.lang,
            address=self._transport.address,
            secure=self._transport.secure,
        )
        self._transport.pause_reading()
        await server.directory.bind(session)
        self._stop_timer()
        if session.over or negotiation.is_over() or self._transport.is_closed():
            server.directory.end(session)  # displaced, kicked or cut off in the same moment
            return True
        stream, events = negotiation.bound(request, jid, server.limits.member, server.pool)
        self._flush(negotiation)
        self._bound(session, stream, events)
        return True

    async def _resume(self, negotiation: Negotiation, request: Resume) -> bool:
        """XEP-0198#resumption: the client goes on with a session that it has, instead of binding a resource."""
        server, transport = self._server, self._transport
        assert negotiation.user is not None
        account = await server.accounts.get(negotiation.user)
        if account is None:
            raise StreamError("not-authorized", "the account was deleted")
        if negotiation.is_over() or transport.is_closed():
            return True
        transport.pause_reading()
        try:
            resumed = await server.resumption.take(account, request.previd, request.h)
        except NotResumable as err:
            negotiation.not_resumed(err.handled)
            return False  # and the client may bind a resource
        if negotiation.is_over() or transport.is_closed():
            return True  # it sleeps on
        self._stop_timer()
        session = resumed.session
        session.lang = negotiation.lang
        session.address = transport.address
        session.secure = transport.secure
        stream, events = negotiation.resumed(request, resumed.handled, server.limits.member, server.pool)
        self._flush(negotiation)
        server.resumption.go_on(session, self._link)
        self._bound(session, stream, events)
        return True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._negotiation is None:
            self._transport.abort()  # not even through the TLS handshake
        else:
            self.fail(StreamError("connection-timeout", "log in faster"))
