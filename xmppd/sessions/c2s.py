"""A client's connection: the transport on one side, negotiation and then the session on the other.

While a client negotiates, a task walks it from request to request, as one reads RFC 6120. Once a resource is
bound the task ends, and bytes go straight from the transport through the parser to the session: no task, no
queue, no timer per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from base64 import b64encode
from collections.abc import Collection
from dataclasses import dataclass, field

from xmppd import ns
from xmppd.auth.channel_binding import tls_server_end_point
from xmppd.auth.sasl import Authenticator, Challenge, Exchange, Security, decode_base64
from xmppd.clock import Clock, Timer
from xmppd.errors import SaslError, StanzaError, StreamError
from xmppd.ids import Ids
from xmppd.jid import Jid, JidError
from xmppd.net.listener import ConnectionCounter
from xmppd.net.tls import Certificates, ServerTls
from xmppd.net.transport import Transport
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.sessions.nonzas import Nonzas
from xmppd.sessions.offers import Offers, StreamInfo
from xmppd.sessions.session import Inbound, Session
from xmppd.stanza import Iq, error_element
from xmppd.stream import wire
from xmppd.stream.bound import BoundStream
from xmppd.stream.negotiation import (
    STANZAS,
    BeginSasl,
    Bind,
    ContinueSasl,
    EarlyIq,
    Ended,
    Negotiation,
    Opened,
    Request,
    StartTls,
)
from xmppd.tasks import Tasks
from xmppd.xml.element import Element, text_element
from xmppd.xml.parser import ParserLimits, StreamEnd
from xmppd.xml.pool import ParserPool
from xmppd.xml.writer import to_bytes

log = logging.getLogger("xmppd.c2s")


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds for clients. Rates are per second, with a burst after quiet; 0: no bound."""

    stranger: ParserLimits
    member: ParserLimits
    handshake_seconds: float
    registration_seconds: float
    login_attempts: int
    strangers_per_address: int
    bytes_per_second: int
    burst_bytes: int
    stanzas_per_second: int
    burst_stanzas: int


@dataclass(slots=True)
class ClientServer:
    """What all client connections of a node share."""

    domains: Collection[Jid]
    certificates: Certificates | None
    tls_required: bool
    limits: ClientLimits
    authenticator: Authenticator
    accounts: Accounts
    directory: Directory
    offers: Offers
    nonzas: Nonzas
    inbound: Inbound
    clock: Clock
    ids: Ids
    tasks: Tasks
    counter: ConnectionCounter
    strangers: ConnectionCounter
    pool: ParserPool
    connections: set[ClientConnection] = field(default_factory=set)
    empty: asyncio.Event = field(default_factory=asyncio.Event)  # set when the last connection is gone

    def accept_starttls(self, transport: Transport) -> None:
        """A connection that starts in the clear."""
        self._accept(transport, direct_tls=False)

    def accept_tls(self, transport: Transport) -> None:
        """A connection that starts with a TLS handshake (XEP-0368)."""
        self._accept(transport, direct_tls=True)

    def _accept(self, transport: Transport, *, direct_tls: bool) -> None:
        address = transport.address
        if self.strangers.acquire(address, self.limits.strangers_per_address):
            ClientConnection(self, transport, direct_tls=direct_tls)
        else:
            transport.abort()
            self.counter.release(address)

    async def shut_down(self, error: StreamError, seconds: float) -> None:
        """End every stream with ``error``; who has not closed its side within ``seconds`` is cut off."""
        for connection in tuple(self.connections):
            connection.fail(error)
        if self.connections:
            self.empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.empty.wait(), seconds)
        for connection in tuple(self.connections):
            connection.abort()


class ClientConnection:
    """Receives from one transport and is the ``Link`` of one session."""

    __slots__ = (
        "_bytes_left", "_direct_tls", "_held", "_negotiation", "_refilled", "_server", "_session", "_stanzas_left",
        "_stream", "_timer", "_tls", "_transport", "_wake", "heard", "silent",
    )  # fmt: skip

    def __init__(self, server: ClientServer, transport: Transport, *, direct_tls: bool) -> None:
        self._server = server
        self._transport = transport
        self._direct_tls = direct_tls
        self._negotiation: Negotiation | None = None
        self._stream: BoundStream | None = None
        self._session: Session | None = None
        self._tls: ServerTls | None = None
        self._wake: asyncio.Future[None] | None = None
        self._held = False  # the session has enough to do
        self._bytes_left = float(server.limits.burst_bytes)
        self._stanzas_left = float(server.limits.burst_stanzas)
        self._refilled = server.clock.monotonic()
        self.heard = True  # since the keepalive looked last
        self.silent = 0  # how often it looked in vain
        self._timer: Timer | None = None
        if server.limits.handshake_seconds:
            self._timer = server.clock.call_later(server.limits.handshake_seconds, self._too_slow)
        server.connections.add(self)
        transport.attach(self)
        server.tasks.start(f"negotiation with {transport.address}", self._negotiate())

    # Negotiation

    async def _negotiate(self) -> None:
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
            )
            self._transport.resume_reading()
            exchange: Exchange | None = None
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
                        exchange = await self._login(negotiation, request, None)
                    case ContinueSasl():
                        exchange = await self._login(negotiation, request, exchange)
                    case EarlyIq(element=element):
                        await self._early_iq(negotiation, element)
                    case Bind():
                        if await self._bind(negotiation, request):
                            return
                    case Ended():
                        break
            self._flush(negotiation)
            self._transport.close()
        except StreamError as err:
            self.fail(err)
        except ConnectionError:
            self._transport.abort()
        except Exception:
            log.exception("negotiation with %s failed", self._transport.address)
            self.fail(StreamError("internal-server-error"))
        finally:
            self._stop_timer()
            server.strangers.release(self._transport.address)

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

    async def _login(
        self, negotiation: Negotiation, request: BeginSasl | ContinueSasl, exchange: Exchange | None
    ) -> Exchange | None:
        """One step of a login; the exchange if it goes on."""
        try:
            if isinstance(request, BeginSasl):
                data = None if request.initial is None else decode_base64(request.initial)
                exchange = self._server.authenticator.begin(
                    request.mechanism, negotiation.domain.domain, self._transport.address, self._security()
                )
            else:
                data = decode_base64(request.response)
            assert exchange is not None
            outcome = await exchange.step(data)
        except SaslError as err:
            log.info("login failed address=%s condition=%s", self._transport.address, err.condition)
            if negotiation.failed(err) is not None:
                self._flush(negotiation)
                self._transport.close()
            return None
        if isinstance(outcome, Challenge):
            negotiation.challenge(b64encode(outcome.data).decode())
            return exchange
        final = outcome.data
        negotiation.succeeded(outcome.jid, None if final is None else b64encode(final).decode() or "=")
        return None

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
            since = self._server.clock.monotonic() - self._refilled  # since the client connected
            left = max(0.0, limits.registration_seconds - since)
            self._timer = self._server.clock.call_later(left, self._too_slow)

    async def _bind(self, negotiation: Negotiation, request: Bind) -> bool:
        server = self._server
        assert negotiation.user is not None
        account = await server.accounts.get(negotiation.user)
        if account is None:
            raise StreamError("not-authorized", "the account was deleted")
        if self._transport.is_closed():
            raise ConnectionResetError
        try:
            jid = server.directory.choose(account, request.resource)
        except StanzaError as err:
            negotiation.refuse(request, err)
            return False
        session = Session(
            account,
            jid,
            self,
            server.inbound,
            server.tasks,
            lang=negotiation.lang,
            address=self._transport.address,
            secure=self._transport.secure,
        )
        self._transport.pause_reading()
        await server.directory.bind(session)
        self._stop_timer()
        stream, events = negotiation.bound(request, jid, server.limits.member, server.pool)
        self._flush(negotiation)
        self._negotiation = None
        if self._transport.is_closed():
            server.directory.end(session)
            return True
        self._stream, self._session = stream, session
        self._refilled = server.clock.monotonic()
        self._transport.resume_reading()
        for event in events:
            self._handle(event)
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

    # The transport's receiver

    def data_received(self, data: bytes) -> None:
        stream, session = self._stream, self._session
        if stream is None or session is None:
            self._negotiate_with(data)
            return
        self.heard = True
        self._bytes_left -= len(data)
        for event in stream.feed(data):
            if self._session is not session:
                return  # it ended on an earlier event
            if type(event) is Element:
                self._stanzas_left -= 1
                if event.ns == ns.CLIENT and event.name in STANZAS and "from" not in event.attrs:
                    session.receive(event)
                    continue
            self._handle(event)
        if self._bytes_left < 0 or self._stanzas_left < 0:
            self._slow_down()

    def _negotiate_with(self, data: bytes) -> None:
        if self._negotiation is not None:
            self._negotiation.receive(data)
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)
            else:
                # A password is being checked, or something like it: what else a stranger sends waits outside (I9).
                self._transport.pause_reading()

    def _handle(self, event: object) -> None:
        """Everything on a bound stream that is not an ordinary stanza."""
        session = self._session
        if session is None:
            return
        if isinstance(event, StreamError):
            self.fail(event)
        elif isinstance(event, StreamEnd):
            self._end(wire.CLOSE)
        elif isinstance(event, Element):
            if event.ns != ns.CLIENT or event.name not in STANZAS:
                if not self._server.nonzas.handle(session, event):
                    # RFC 6120#4.9.3.24
                    self.fail(StreamError("unsupported-stanza-type", f"<{event.name} xmlns='{event.ns}'/>"))
            elif not _is_from(event, session.jid):
                # RFC 6120#8.1.2.1
                self.fail(StreamError("invalid-from", f"this stream is {session.jid}"))
            else:
                session.receive(event)
        else:
            self.fail(StreamError("bad-format", "the stream was opened already"))

    def _slow_down(self) -> None:
        """The client is beyond its rate: read nothing more until it has earned it again."""
        limits = self._server.limits
        now = self._server.clock.monotonic()
        passed, self._refilled = now - self._refilled, now
        wait = 0.0
        if limits.bytes_per_second:
            self._bytes_left = min(limits.burst_bytes, self._bytes_left + passed * limits.bytes_per_second)
            wait = max(wait, -self._bytes_left / limits.bytes_per_second)
        else:
            self._bytes_left = float("inf")
        if limits.stanzas_per_second:
            self._stanzas_left = min(
                limits.burst_stanzas, self._stanzas_left + passed * limits.stanzas_per_second
            )
            wait = max(wait, -self._stanzas_left / limits.stanzas_per_second)
        else:
            self._stanzas_left = float("inf")
        if wait > 0:
            self._transport.pause_reading()
            self._timer = self._server.clock.call_later(wait, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if not self._held:
            self._transport.resume_reading()

    def overflowed(self) -> None:
        # No resource-constraint (RFC 6120#4.9.3.17): it would wait behind all that the client does not read.
        log.info("a client does not read address=%s", self._transport.address)
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_timer()
        self._server.connections.discard(self)
        if not self._server.connections:
            self._server.empty.set()
        self._server.counter.release(self._transport.address)
        if self._wake is not None and not self._wake.done():
            self._wake.set_exception(ConnectionResetError())
        self._drop_session()

    # The session's link

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_reading(self) -> None:
        self._held = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._held = False
        if self._timer is None:  # else the rate limit still holds
            self._transport.resume_reading()

    async def drained(self) -> bool:
        return await self._transport.drained()

    def fail(self, error: StreamError) -> None:
        if self._negotiation is not None:
            self._negotiation.fail(error)
            self._flush(self._negotiation)
            self._transport.close()
        else:
            self._end(wire.stream_error(error))

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def ping(self) -> None:
        """Ask the client whether it is still there (XEP-0199)."""
        session = self._session
        if session is not None:
            ping = Element("ping", "urn:xmpp:ping")
            domain = Jid(None, session.jid.domain)
            self.write(
                Iq(
                    type="get", sender=domain, to=session.jid, id=self._server.ids.token(), children=[ping]
                ).wire()
            )

    def give_up(self) -> None:
        """The client has not answered."""
        if self._session is not None:
            self.fail(StreamError("connection-timeout", "no sign of life"))

    def _end(self, last: bytes) -> None:
        self._transport.write(last)
        self._drop_session()
        self._transport.close()

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        if session is not None:
            directory = self._server.directory
            session.finish(lambda: directory.end(session))


def _is_from(event: Element, jid: Jid) -> bool:
    """Whether the stanza's ``from``, if any, is the client's own full or bare JID."""
    text = event.attrs.get("from")
    if text is None:
        return True
    try:
        sender = Jid.parse(text)
    except JidError:
        return False
    return sender == jid or sender == jid.bare
