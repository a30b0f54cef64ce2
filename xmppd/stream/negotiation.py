"""A client's way from the first byte to a bound resource (RFC 6120#4.3, #5, #6, #7), sans-IO.

    HEADER ──▶ OPENED ──▶ TLS ────▶ HEADER           (RFC 6120#5: the stream restarts inside TLS)
                 │  └───▶ SASL ───▶ HEADER           (RFC 6120#6.4.6: and again once authenticated)
                 └──────▶ BINDING ─▶ BOUND        (or XEP-0198#resumption)

Bytes go in by ``receive``. ``next_request`` gives, one at a time, what only the owner can do: choose
features, run TLS, check a password, bind a resource; the owner answers each by the method its docstring
names, then asks for the next. The bytes to send collect in ``take_output``. While a request waits for its
answer nothing more is parsed, so nothing that a client sends too early is acted upon: after ``<starttls/>``
it is an attack (RFC 6120#5.3.1: command injection), and the stream is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from enum import Enum, auto
from typing import Final

from xmppd import ns
from xmppd.errors import SaslError, StanzaError, StreamError
from xmppd.ids import Ids
from xmppd.jid import Jid, JidError
from xmppd.stanza import error_element
from xmppd.stream import wire
from xmppd.stream.bound import BoundStream
from xmppd.stream.management import MODULO, failed, read_count
from xmppd.stream.management import NS as SM
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
from xmppd.xml.element import XML_LANG, Element, text_element
from xmppd.xml.parser import Event, ParserLimits, StreamEnd, StreamHeader, StreamParser
from xmppd.xml.pool import ParserPool
from xmppd.xml.writer import to_bytes

# "<" and "=" of one negotiation, that is its tags and attributes; a login has about 50, a long registration form 200.
# Four bytes make an element or an attribute, which takes 200 bytes of memory and 1 µs to parse: without this bound, one
# stranger could make the server hold a megabyte, and 50 could stop it for a second.
_MOST_MARKUP: Final = 500

STANZAS: Final = frozenset({"message", "presence", "iq"})
_SM_REQUESTS: Final = frozenset({"enable", "resume", "r", "a"})


class Phase(Enum):
    HEADER = auto()
    OPENED = auto()
    TLS = auto()
    SASL = auto()
    BINDING = auto()
    BOUND = auto()
    ENDED = auto()


class Negotiation:
    """One client's stream until it is bound. ``secure`` and ``user`` tell the owner what to offer."""

    def __init__(
        self,
        domains: Collection[Jid],
        ids: Ids,
        limits: ParserLimits,
        *,
        tls_offered: bool,
        tls_required: bool,
        login_attempts: int = 5,
        secure: bool = False,
        resumption: bool = False,
    ) -> None:
        """``limits`` bound what a stranger may send. ``login_attempts``: how often a login may fail (0: any
        number). ``secure``: TLS came first (XEP-0368). ``resumption``: streams may be resumed (XEP-0198).
        """
        self._domains = {str(domain): domain for domain in domains}
        self._ids = ids
        self._limits = limits
        self._tls_offered = tls_offered
        self._tls_required = tls_required
        self._parser = StreamParser(limits)
        self._events: deque[Event] = deque()
        self._out: list[bytes] = []
        self._phase = Phase.HEADER
        self._header: StreamHeader | None = None
        self._header_sent = False
        self._early_iq = False
        self._attempts = 0
        self._markup = 0
        self._most_attempts = login_attempts
        self._resumption = resumption
        self.secure = secure
        self.user: Jid | None = None  # bare, once authenticated
        self.domain: Jid = next(iter(domains))
        self.lang: str | None = None

    def is_over(self) -> bool:
        """Whether the stream is over."""
        return self._phase is Phase.ENDED

    # Bytes

    def receive(self, data: bytes) -> None:
        """Take what the client sent. ``ended`` streams ignore it."""
        if self._phase is Phase.ENDED:
            return
        self._markup += data.count(b"<") + data.count(b"=")
        if self._markup > _MOST_MARKUP:
            self._parser.close()
            self._events.append(StreamError("policy-violation", "that is too much for logging in"))
        else:
            self._events.extend(self._parser.feed(data))

    def take_output(self) -> bytes:
        """What is to be sent now."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def next_request(self) -> Request | None:
        """The next thing that the owner has to do; None: wait for more bytes."""
        while self._events and self._phase is not Phase.ENDED:
            try:
                request = self._handle(self._events.popleft())
            except StreamError as err:
                return self.fail(err)
            if request is not None:
                return request
        return None

    def fail(self, error: StreamError) -> Ended:
        """End the stream with ``error``."""
        if self._phase is not Phase.ENDED:
            if not self._header_sent:
                # RFC 6120#4.9.1.2: an error during set-up still needs our header
                self._open()
            self._out.append(wire.stream_error(error))
            self._end()
        return Ended(error)

    def _end(self) -> None:
        self._phase = Phase.ENDED
        self._events.clear()
        self._parser.close()

    # Answers

    def offer(self, features: Iterable[Element], *, early_iq: bool = False) -> None:
        """Answer to ``Opened``: these features, in this order. ``early_iq``: IQs may be sent before login.

        STARTTLS is added here, and where it is required nothing else is offered before it (RFC 6120#5.3.1).
        """
        offered: list[Element] = []
        self._early_iq = early_iq
        if not self.secure and self._tls_offered:
            required: list[Element | str] = [Element("required", ns.TLS)] if self._tls_required else []
            offered.append(Element("starttls", ns.TLS, children=required))
        if self.secure or not self._tls_required:
            offered += features
        self._out.append(wire.features(offered))

    def proceed(self) -> None:
        """Part of the answer to ``StartTls``: tell the client to begin its handshake."""
        self._out.append(f"<proceed xmlns='{ns.TLS}'/>".encode())

    def secured(self) -> None:
        """TLS is up: forget everything learnt in the clear (RFC 6120#5.4.3.3) and wait for a new header."""
        self.secure = True
        self._restart()

    def challenge(self, data: str) -> None:
        """Send a challenge, base64."""
        self._out.append(to_bytes(text_element("challenge", ns.SASL, data)))

    def succeeded(self, user: Jid, data: str | None) -> None:
        """The client is ``user``; ``data`` (base64) goes with the success. A new header follows."""
        self._out.append(to_bytes(text_element("success", ns.SASL, data or "")))
        self.user = user
        self._restart()

    def failed(self, error: SaslError) -> Ended | None:
        """This attempt failed; the client may try again a few times (RFC 6120#6.4.5)."""
        children: list[Element | str] = [Element(error.condition, ns.SASL)]
        if error.text:
            children.append(text_element("text", ns.SASL, error.text, {XML_LANG: "en"}))
        self._out.append(to_bytes(Element("failure", ns.SASL, children=children)))
        self._phase = Phase.OPENED
        self._attempts += 1
        if self._attempts == self._most_attempts:
            return self.fail(StreamError("policy-violation", "too many failed logins"))
        return None

    def reply(self, answer: bytes) -> None:
        """Answer to ``EarlyIq``."""
        self._out.append(answer)

    def refuse(self, request: Bind, error: StanzaError) -> None:
        """Answer to ``Bind``: not this resource."""
        iq = Element("iq", ns.CLIENT, {"type": "error", "id": request.id}, [error_element(error)])
        self._out.append(to_bytes(iq))

    def bound(
        self, request: Bind, jid: Jid, limits: ParserLimits, pool: ParserPool
    ) -> tuple[BoundStream, list[Event]]:
        """Answer to ``Bind``: the client is ``jid`` (full). The stream that goes on, and what already came in
        on it.

        ``limits`` and ``pool`` are those for people who are logged in.
        """
        bind = Element("bind", ns.BIND, children=[text_element("jid", ns.BIND, str(jid))])
        self._out.append(to_bytes(Element("iq", ns.CLIENT, {"type": "result", "id": request.id}, [bind])))
        return self._go_on(limits, pool)

    def resumed(
        self, request: Resume, handled: int, limits: ParserLimits, pool: ParserPool
    ) -> tuple[BoundStream, list[Event]]:
        """Answer to ``Resume``: ``handled`` of the client's stanzas are done with. See ``bound``."""
        attrs = {"h": str(handled % MODULO), "previd": request.previd}
        self._out.append(to_bytes(Element("resumed", SM, attrs)))
        return self._go_on(limits, pool)

    def not_resumed(self, handled: int | None) -> None:
        """Answer to ``Resume``: there is no such stream. ``handled``: of the client's stanzas, where that is known."""
        attrs = {} if handled is None else {"h": str(handled % MODULO)}
        self._out.append(to_bytes(failed("item-not-found", attrs)))

    def _go_on(self, limits: ParserLimits, pool: ParserPool) -> tuple[BoundStream, list[Event]]:
        self._phase = Phase.BOUND
        assert self._header is not None
        stream = BoundStream(self._parser, pool if self._header.standard else None, limits)
        return stream, list(self._events)

    # What the client may say in which phase

    def _handle(self, event: Event) -> Request | None:
        if isinstance(event, StreamError):
            raise event
        if isinstance(event, StreamEnd):
            if not self._header_sent:
                self._open()
            self._out.append(wire.CLOSE)
            self._end()
            return Ended(None)
        if isinstance(event, StreamHeader):
            self._read_header(event)
            return Opened()
        if event.ns == ns.TLS and event.name == "starttls":
            return self._on_starttls()
        if event.ns == ns.SASL:
            return self._on_sasl(event)
        if event.ns == ns.CLIENT and event.name in STANZAS:
            return self._on_stanza(event)
        if event.ns == SM and self._resumption and event.name in _SM_REQUESTS:
            return self._on_stream_management(event)
        # RFC 6120#4.9.3.24
        raise StreamError("unsupported-stanza-type", f"<{event.name}/> is not understood here")

    def _on_starttls(self) -> Request | None:
        if self.secure or not self._tls_offered or self._phase is not Phase.OPENED:
            # RFC 6120#5.4.2.2
            self._out.append(f"<failure xmlns='{ns.TLS}'/>".encode() + wire.CLOSE)
            self._end()
            return Ended(None)
        if self._events or not self._parser.idle:
            raise StreamError("policy-violation", "nothing may follow <starttls/> before the TLS handshake")
        self._phase = Phase.TLS
        return StartTls()

    def _on_sasl(self, event: Element) -> Request | None:
        if self.user is not None:
            raise StreamError("policy-violation", "the stream is authenticated already")
        if event.name == "auth":
            if self._phase is Phase.SASL:
                # RFC 6120#6.4.4: one ends an attempt by <abort/>. Else a stranger could begin any number of them.
                return self.failed(SaslError("malformed-request", "another attempt is under way"))
            self._phase = Phase.SASL
            return BeginSasl(event.get("mechanism") or "", event.text() or None)
        if event.name == "response" and self._phase is Phase.SASL:
            return ContinueSasl(event.text())
        if event.name == "abort" and self._phase is Phase.SASL:
            return self.failed(SaslError("aborted"))
        return self.failed(SaslError("malformed-request", f"<{event.name}/> is out of place"))

    def _on_stanza(self, event: Element) -> Request | None:
        if self.user is None:
            if event.name == "iq" and self._early_iq and self._phase is Phase.OPENED:
                return EarlyIq(event)
            # RFC 6120#4.9.3.12
            raise StreamError("not-authorized", "log in first")
        bind = event.child("bind", ns.BIND)
        iq_id = event.get("id")
        if event.name != "iq" or event.get("type") != "set" or bind is None or not iq_id:
            # RFC 6120#7.1: nothing but binding is allowed before a resource is bound
            raise StreamError("not-authorized", "bind a resource first")
        resource = bind.child("resource")
        return Bind(iq_id, resource.text() or None if resource is not None else None)

    def _on_stream_management(self, event: Element) -> Resume | None:
        """XEP-0198#enable, #resumption, #errors: only resuming is allowed before a resource is bound, and only to
        those who are logged in.
        """
        if event.name != "resume" or self._phase is not Phase.BINDING:
            self._out.append(to_bytes(failed("unexpected-request")))
            return None
        previd, h = event.get("previd"), read_count(event.get("h"))
        if previd is None or h is None:
            self._out.append(to_bytes(failed("bad-request")))
            return None
        return Resume(previd, h)

    # Headers

    def _read_header(self, header: StreamHeader) -> None:
        self._header = header
        self.lang = header.attrs.get(XML_LANG)
        target = header.attrs.get("to")
        if target is not None:
            try:
                domain = self._domains.get(str(Jid.parse(target)))
            except JidError:
                domain = None
        else:
            domain = next(iter(self._domains.values())) if len(self._domains) == 1 else None
        if domain is not None:
            self.domain = domain
        self._open()
        if header.ns != ns.STREAMS or header.default_ns not in (ns.CLIENT, None):
            # RFC 6120#4.9.3.10
            raise StreamError("invalid-namespace", f"clients speak {ns.CLIENT} inside {ns.STREAMS}")
        if header.name != "stream":
            raise StreamError("bad-format", "a stream starts with <stream:stream>")
        if not _speaks_version_1(header.attrs.get("version", "")):
            # RFC 6120#4.9.3.25
            raise StreamError("unsupported-version", "this server speaks version 1.0")
        if domain is None:
            # RFC 6120#4.9.3.6
            served = " ".join(self._domains)
            raise StreamError(
                "host-unknown",
                f"{target} is not served here; it serves {served}" if target else f"say to= one of {served}",
            )
        self._phase = Phase.OPENED if self.user is None else Phase.BINDING

    def _open(self) -> None:
        to = None
        if self._header is not None and (peer := self._header.attrs.get("from")) is not None:
            try:
                to = Jid.parse(peer)  # RFC 6120#4.7.2: answered in our header
            except JidError:
                to = None
        self._out.append(wire.open_stream(self.domain, self._ids.token(), to, None))
        self._header_sent = True

    def _restart(self) -> None:
        if self._events or not self._parser.idle:
            # Sent before our answer, so meant for the stream that is over now.
            self._events.clear()
            self._events.append(
                StreamError("policy-violation", "data was sent before the stream could restart")
            )
            return
        self._parser.close()
        self._parser = StreamParser(self._limits)
        self._phase = Phase.HEADER
        self._header = None
        self._header_sent = False


def _speaks_version_1(version: str) -> bool:
    """RFC 6120#4.7.5: numbers are compared, and to a client that knows more we answer that we know 1.0."""
    major, dot, minor = version.partition(".")
    return bool(dot) and (major + minor).isdecimal() and int(major[:9] or "0") >= 1
