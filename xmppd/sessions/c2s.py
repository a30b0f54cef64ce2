"""A client's connection: the transport on one side, ``Login`` and then the session on the other.

Once a resource is bound, bytes go straight from the transport through the parser to the session: no task, no queue, no
timer per connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from xmppd import ns
from xmppd.clock import Timer
from xmppd.errors import StreamError
from xmppd.jid import Jid, JidError
from xmppd.logs import fields
from xmppd.net.transport import Transport
from xmppd.sessions.clients import ClientServer
from xmppd.sessions.login import Login
from xmppd.sessions.session import Session
from xmppd.stanza import Iq
from xmppd.stream import wire
from xmppd.stream.bound import BoundStream
from xmppd.stream.management import ack
from xmppd.stream.negotiation import STANZAS
from xmppd.xml.element import Element
from xmppd.xml.parser import Event, StreamEnd

log = logging.getLogger("xmppd.c2s")


def accept(server: ClientServer, transport: Transport, *, direct_tls: bool) -> None:
    """Serve a client that connected. ``direct_tls``: it starts with a TLS handshake (XEP-0368), else in the clear."""
    if server.strangers.acquire(transport.address, server.limits.strangers_per_address):
        ClientConnection(server, transport, direct_tls=direct_tls)
    else:
        transport.abort()
        server.counter.release(transport.address)


class ClientConnection:
    """Receives from one transport and is the ``Link`` of one session."""

    __slots__ = (
        "_bytes_left", "_held", "_login", "_refilled", "_server", "_session", "_stanzas_left", "_stream", "_timer",
        "_transport", "heard", "silent", "write",
    )  # fmt: skip

    def __init__(self, server: ClientServer, transport: Transport, *, direct_tls: bool) -> None:
        self._server = server
        self._transport = transport
        self.write = transport.write  # the link's method, without a step between
        self._stream: BoundStream | None = None
        self._session: Session | None = None
        self._held = False  # the session has enough to do
        self._bytes_left = server.limits.bytes_allowance
        self._stanzas_left = server.limits.stanzas_allowance
        self._refilled = server.clock.monotonic()
        self._timer: Timer | None = None  # runs while the client is beyond its rate
        self.heard = True  # since the keepalive looked last
        self.silent = 0  # how often it looked in vain
        server.add(self)
        transport.attach(self)
        self._login: Login | None = Login(server, transport, self, self._bound, direct_tls=direct_tls)

    def _bound(self, session: Session, stream: BoundStream, events: Sequence[Event]) -> None:
        """The client is logged in and has a resource."""
        self._login = None
        self._server.strangers.release(self._transport.address)
        self._stream, self._session = stream, session
        self._refilled = self._server.clock.monotonic()
        self._transport.resume_reading()
        for event in events:
            self._handle(event)

    # The transport's receiver

    def data_received(self, data: bytes) -> None:
        stream, session = self._stream, self._session
        if stream is None or session is None:
            if self._login is not None:
                self._login.receive(data)
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

    def _handle(self, event: object) -> None:
        """Everything on a bound stream that is not an ordinary stanza."""
        session = self._session
        if session is None:
            return
        if isinstance(event, StreamError):
            self._break(event)
        elif isinstance(event, StreamEnd):
            self._close(wire.CLOSE, self._server.resumption.end)  # XEP-0198#closure
        elif isinstance(event, Element):
            if event.ns != ns.CLIENT or event.name not in STANZAS:
                if not self._server.nonzas.handle(session, event):
                    # RFC 6120#4.9.3.24
                    self._break(StreamError("unsupported-stanza-type", f"<{event.name} xmlns='{event.ns}'/>"))
            elif not _is_from(event, session.jid):
                # RFC 6120#8.1.2.1
                self._break(StreamError("invalid-from", f"this stream is {session.jid}"))
            else:
                session.receive(event)
        else:
            self._break(StreamError("bad-format", "the stream was opened already"))

    def _slow_down(self) -> None:
        """The client is beyond its rate: read nothing more until it has earned it again."""
        limits = self._server.limits
        now = self._server.clock.monotonic()
        passed, self._refilled = now - self._refilled, now
        wait = 0.0
        if limits.bytes_per_second:
            earned = self._bytes_left + passed * limits.bytes_per_second
            self._bytes_left = min(limits.bytes_allowance, earned)
            wait = max(wait, -self._bytes_left / limits.bytes_per_second)
        else:
            self._bytes_left = float("inf")
        if limits.stanzas_per_second:
            earned = self._stanzas_left + passed * limits.stanzas_per_second
            self._stanzas_left = min(limits.stanzas_allowance, earned)
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
        log.info("a client does not read", extra=fields(address=self._transport.address))
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        address = self._transport.address
        self._server.discard(self)
        self._server.counter.release(address)
        login, self._login = self._login, None
        if login is not None:
            self._server.strangers.release(address)
            login.lost()
        self._drop_session(self._server.resumption.lost)

    # The session's link

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
        if self._login is not None:
            self._login.fail(error)
        else:
            self._close(wire.stream_error(error), self._server.resumption.end)

    def release(self, error: StreamError) -> None:
        self._close(wire.stream_error(error), _leave)
        if self._transport.pending:
            # Its client does not read, and has come on another network, say. Whoever waits for it is told at once.
            self._transport.abort()

    def _break(self, error: StreamError) -> None:
        """The stream cannot go on. The session can on another one, unless its client does what it must not."""
        resumption = self._server.resumption
        last = resumption.end if error.condition == "policy-violation" else resumption.lost
        self._close(wire.stream_error(error), last)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def check(self) -> None:
        self._transport.check()

    def ping(self) -> None:
        """Ask the client whether it is still there (XEP-0198, or XEP-0199 where it does not do that)."""
        session = self._session
        if session is not None and session.sm is not None:
            self.write(session.sm.request())
        elif session is not None:
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
            self._break(StreamError("connection-timeout", "no sign of life"))

    def remind(self) -> None:
        """Ask for what was not acknowledged, if nobody did."""
        session = self._session
        if session is not None and session.sm is not None and session.sm.may_ask():
            self.write(session.sm.request())

    def _close(self, last: bytes, then: Callable[[Session], None]) -> None:
        """End the stream; what becomes of the session is decided by ``then``."""
        session = self._session
        if session is not None and session.sm is not None and not session.busy:
            last = ack(session.handled - session.sm.base) + last  # so that it need not be sent again
        self._transport.write(last)
        self._drop_session(then)
        self._transport.close()

    def _drop_session(self, then: Callable[[Session], None]) -> None:
        session, self._session = self._session, None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        if session is not None:
            then(session)


def _leave(session: Session) -> None:
    """The session has another connection already."""


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
