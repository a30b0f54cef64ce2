"""A raw client over TCP or TLS: a test says which bytes go out, and which XML has to come back.

    juliet = await Wire.login(server, "juliet/balcony")
    await juliet.send("<presence/>")
    await juliet.expect("<presence from='juliet@capulet.example/balcony' to='*'/>")

Nothing waits for longer than ``SECONDS``. ``abort`` every connection at the end; ``Wires`` does it for a whole test.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import socket
import ssl
import struct
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from cryptography import x509

from tests.support.process import DOMAIN, PASSWORD, Address, ServerProcess
from tests.support.scram import ScramExchange
from tests.support.xml import matches, parse, show
from xmppd import ns
from xmppd.errors import StreamError
from xmppd.xml.element import Element
from xmppd.xml.parser import ParserLimits, StreamEnd, StreamHeader, StreamParser

SECONDS: Final = 10.0
_PIECE: Final = 262_144
_LIMITS: Final = ParserLimits(stanza_bytes=2**26, tag_bytes=2**20)
HEADER: Final = (
    f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}' "
    f"to='{DOMAIN}' version='1.0'>"
)

_ids = itertools.count(1)


class LoginFailed(Exception):
    """The server refused; the text is the SASL condition."""


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.jid = ""
        self.header: StreamHeader | None = None
        self.passed: list[Element] = []  # what the last ``until``, ``ask`` or ``ping`` was not looking for
        self._parser = StreamParser(_LIMITS)
        self._events: deque[Element | StreamHeader | StreamEnd] = deque()

    # Connecting

    @classmethod
    async def connect(
        cls,
        address: Address,
        *,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int = 0,
        preface: bytes = b"",
    ) -> Self:
        """``receive_buffer``: bytes that the system buffers for a client that does not read. ``preface`` goes first."""
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(SECONDS):
                await loop.sock_connect(sock, address)
                await loop.sock_sendall(sock, preface)
                reader, writer = await asyncio.open_connection(
                    sock=sock, ssl=tls, server_hostname=DOMAIN if tls else None
                )
        except BaseException:
            sock.close()
            raise
        return cls(reader, writer)

    @classmethod
    async def login(
        cls,
        server: ServerProcess,
        who: str,
        *,
        password: str = PASSWORD,
        mechanism: str = "SCRAM-SHA-256",
        direct_tls: bool = True,
        available: bool = False,
        receive_buffer: int = 0,
    ) -> Self:
        """Log in as ``who`` (``localpart`` or ``localpart/resource``) and bind; ``available``: with presence."""
        user, _, resource = who.partition("/")
        tls = server.client_tls()
        address = server.c2s_tls if direct_tls else server.c2s
        wire = await cls.connect(address, tls=tls if direct_tls else None, receive_buffer=receive_buffer)
        try:
            await wire.open()
            if not direct_tls:
                await wire.starttls(tls)
                await wire.open()
            await wire.authenticate(user, password, mechanism)
            await wire.open()
            await wire.bind(resource)
            if available:
                await wire.send("<presence/>")
                await wire.until(lambda got: got.name == "presence" and got.get("from") == wire.jid)
        except BaseException:
            wire.abort()
            raise
        return wire

    @property
    def certificate(self) -> bytes:
        """The certificate that the server showed on this connection, DER."""
        shown = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(shown, bytes)
        return shown

    @property
    def end_point(self) -> bytes:
        """RFC 5929#4.1: the hash of that certificate, by the hash function of its signature."""
        algorithm = x509.load_der_x509_certificate(self.certificate).signature_hash_algorithm
        assert algorithm is not None
        name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
        return hashlib.new(name, self.certificate).digest()

    # Bytes

    def write(self, data: str | bytes) -> None:
        """Send without waiting for the server to take it."""
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def send(self, data: str | bytes) -> None:
        self.write(data)
        await self.writer.drain()

    async def flood(self, data: bytes) -> bool:
        """Send much, as fast as the server takes it; False if it closed the connection meanwhile."""
        try:
            for start in range(0, len(data), _PIECE):
                await self.send(data[start : start + _PIECE])
        except ConnectionError:
            return False
        return True

    def half_close(self) -> None:
        """Say that nothing more will come (TCP only)."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection: the server gets a RST."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:  # else the server was faster
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.writer.transport.abort()

    def stop_reading(self) -> None:
        """What the server sends from now on stays in the network and in its own buffers."""
        self._transport.pause_reading()

    def read_on(self) -> None:
        self._transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport:
        transport = self.writer.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    # What comes back

    async def next(self, seconds: float = SECONDS) -> Element | StreamHeader | StreamEnd:
        """What the server says next; ``EOFError`` where it closed the connection."""
        async with asyncio.timeout(seconds):
            while not self._events:
                try:
                    data = await self.reader.read(65_536)
                except (ConnectionError, ssl.SSLError) as err:
                    raise EOFError(f"the connection was cut: {err}") from err
                if not data:
                    raise EOFError("the server closed the connection")
                for event in self._parser.feed(data):
                    if isinstance(event, StreamError):
                        raise AssertionError(f"the server sent bad XML: {event} in {data[:1000]!r}")
                    self._events.append(event)
        return self._events.popleft()

    async def receive(self, seconds: float = SECONDS) -> Element:
        """The next element; ``EOFError`` where the server closed the stream or the connection."""
        event = await self.next(seconds)
        if isinstance(event, StreamEnd):
            raise EOFError("the server closed the stream")
        assert isinstance(event, Element), f"{self.jid} got {event}, not a stanza"
        return event

    async def expect(self, xml: str, seconds: float = SECONDS) -> Element:
        """The next element, which has to be ``xml``; ``*`` stands for any value."""
        (wanted,) = parse(xml)
        got = await self.receive(seconds)
        assert matches(wanted, got), f"{self.jid} got\n  {show(got)}\ninstead of\n  {show(wanted)}"
        return got

    async def until(self, wanted: Callable[[Element], bool], seconds: float = SECONDS) -> Element:
        """The next element that is ``wanted``; those before it are passed over, and are then in ``passed``."""
        self.passed.clear()
        try:
            async with asyncio.timeout(seconds):
                while not wanted(got := await self.receive(seconds)):
                    self.passed.append(got)
        except TimeoutError as late:
            last = "".join(f"\n  {show(got)[:500]}" for got in self.passed[-5:])
            raise AssertionError(
                f"{self.jid} waited in vain, {len(self.passed)} others came, the last being{last}"
            ) from late
        return got

    async def error(self, seconds: float = SECONDS) -> str:
        """The server ends the stream with an error and closes; the condition. Stanzas before it are passed over."""
        condition = ""
        async with asyncio.timeout(seconds):
            while True:
                event = await self.next(seconds)
                if isinstance(event, Element) and (event.name, event.ns) == ("error", ns.STREAMS):
                    condition = next(child.name for child in event.elements() if child.ns == ns.STREAM_ERRORS)
                elif isinstance(event, StreamEnd):
                    break
            await self.closed(seconds)
        return condition

    async def closed(self, seconds: float = SECONDS) -> None:
        """The server says nothing more and closes the connection."""
        try:
            event = await self.next(seconds)
        except EOFError:
            return
        raise AssertionError(f"the server did not close, it said {event}")

    # Streams

    async def open(self, header: str = HEADER) -> Element:
        """Open a stream (RFC 6120#4.3), again after TLS and login; the features."""
        self._parser.close()
        self._parser = StreamParser(_LIMITS)
        await self.send(header)
        opened = await self.next()
        assert isinstance(opened, StreamHeader), f"the server began with {opened}"
        self.header = opened
        features = await self.receive()
        assert (features.name, features.ns) == ("features", ns.STREAMS), show(features)
        return features

    async def starttls(self, tls: ssl.SSLContext) -> None:
        await self.send(f"<starttls xmlns='{ns.TLS}'/>")
        await self.expect(f"<proceed xmlns='{ns.TLS}'/>")
        async with asyncio.timeout(SECONDS):
            await self.writer.start_tls(tls, server_hostname=DOMAIN)

    async def authenticate(
        self,
        user: str,
        password: str = PASSWORD,
        mechanism: str = "SCRAM-SHA-256",
        binding: tuple[str, bytes] | None = None,
    ) -> None:
        """Log in; ``LoginFailed`` says why not. -PLUS binds to what this connection shows unless ``binding`` says."""
        if mechanism == "PLAIN":
            await self.send(_sasl("auth", f"\0{user}\0{password}".encode(), mechanism))
            await self._success()
            return
        if mechanism.endswith("-PLUS") and binding is None:
            binding = ("tls-server-end-point", self.end_point)
        exchange = ScramExchange(mechanism, user, password, binding)
        await self.send(_sasl("auth", exchange.first(), mechanism))
        challenge = await self.receive()
        if challenge.name != "challenge":
            raise LoginFailed(next(challenge.elements()).name)
        await self.send(_sasl("response", exchange.final(b64decode(challenge.text()))))
        exchange.verify(await self._success())

    async def _success(self) -> bytes:
        answer = await self.receive()
        if answer.name != "success":
            raise LoginFailed(next(answer.elements()).name)
        return b64decode(answer.text())

    async def bind(self, resource: str = "") -> str:
        """Bind ``resource``, or any; the full JID."""
        wanted = f"<resource>{resource}</resource>" if resource else ""
        result = await self.ask(f"<bind xmlns='{ns.BIND}'>{wanted}</bind>", type="set")
        bound = result.child("bind", ns.BIND)
        assert bound is not None
        jid = bound.child("jid")
        assert jid is not None
        self.jid = jid.text()
        return self.jid

    async def ask(
        self, payload: str, *, type: str = "get", to: str = "", seconds: float = SECONDS
    ) -> Element:
        """Send an IQ and wait for its answer, which has to be a result; what comes before it is passed over."""
        answer = await self.request(payload, type=type, to=to, seconds=seconds)
        assert answer.get("type") == "result", show(answer)
        return answer

    async def request(
        self, payload: str, *, type: str = "get", to: str = "", seconds: float = SECONDS
    ) -> Element:
        """As ``ask``, but the answer may be an error."""
        id = f"w{next(_ids)}"
        target = f" to='{to}'" if to else ""
        await self.send(f"<iq type='{type}' id='{id}'{target}>{payload}</iq>")
        return await self.until(lambda got: got.name == "iq" and got.get("id") == id, seconds)

    async def ping(self, seconds: float = SECONDS) -> None:
        """Ask the server for a sign of life; when it is there, all that was sent before has been handled."""
        await self.ask("<ping xmlns='urn:xmpp:ping'/>", to=DOMAIN, seconds=seconds)


class Wires:
    """Every connection of one test: ``async with Wires(server) as wires: juliet = await wires.login("juliet")``."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self._open: list[Wire] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wire in self._open:
            wire.abort()
        for wire in self._open:
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await wire.writer.wait_closed()

    def keep(self, wire: Wire) -> Wire:
        self._open.append(wire)
        return wire

    def drop(self, wire: Wire) -> None:
        """Done with it before the test is."""
        wire.abort()
        self._open.remove(wire)

    async def login(
        self,
        who: str,
        *,
        available: bool = False,
        receive_buffer: int = 0,
        mechanism: str = "SCRAM-SHA-256",
        direct_tls: bool = True,
    ) -> Wire:
        return self.keep(
            await Wire.login(
                self.server,
                who,
                available=available,
                receive_buffer=receive_buffer,
                mechanism=mechanism,
                direct_tls=direct_tls,
            )
        )

    async def connect(self, *, tls: bool = False, direct: bool = False) -> Wire:
        """``direct``: to the port that begins with TLS, whether or not we do (``tls``)."""
        address = self.server.c2s_tls if tls or direct else self.server.c2s
        return self.keep(await Wire.connect(address, tls=self.server.client_tls() if tls else None))

    async def stranger(self) -> Wire:
        """Inside TLS with an open stream, not logged in."""
        wire = await self.connect(tls=True)
        await wire.open()
        return wire


def _sasl(name: str, data: bytes, mechanism: str = "") -> str:
    attribute = f" mechanism='{mechanism}'" if mechanism else ""
    return f"<{name} xmlns='{ns.SASL}'{attribute}>{b64encode(data).decode() or '='}</{name}>"
