"""Two ends of one connection: a transport, and whoever is on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from xmppd import certificates
from xmppd.net.tls import ServerTls, load
from xmppd.net.transport import Flusher, Transport, TransportLimits

DOMAIN = "capulet.example"
SECONDS = 5.0


@dataclass(slots=True)
class Recorder:
    """A ``Receiver`` that keeps what happens."""

    received: bytearray = field(default_factory=bytearray)
    pieces: list[int] = field(default_factory=list)
    overflows: int = 0
    lost: list[Exception | None] = field(default_factory=list)
    on_data: Callable[[bytes], None] | None = None
    on_overflow: Callable[[], None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.pieces.append(len(data))
        self.changed.set()
        if self.on_data is not None:
            self.on_data(data)

    def overflowed(self) -> None:
        self.overflows += 1
        self.changed.set()
        if self.on_overflow is not None:
            self.on_overflow()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)
        self.changed.set()

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not happened():
                self.changed.clear()
                await self.changed.wait()


@dataclass(slots=True)
class Pair:
    transport: Transport
    recorder: Recorder
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def peer_reads(self, count: int) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.reader.readexactly(count)

    async def peer_reads_all(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()


def tcp() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection, not blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


@contextlib.asynccontextmanager
async def pair(
    tls: tuple[ServerTls, ssl.SSLContext] | None = None,
    *,
    send_buffer: int = 2**24,
    linger: float = 5.0,
    peer_buffer: int = 2**16,
    small: bool = False,
) -> AsyncIterator[Pair]:
    """``small``: sockets that buffer little."""
    loop = asyncio.get_running_loop()
    theirs, ours = tcp()
    if small:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    limits = TransportLimits(send_buffer=send_buffer, linger=linger)
    transport = Transport(loop, Flusher(loop), ours, "127.0.0.1", limits)
    recorder = Recorder()
    transport.attach(recorder)
    connecting = asyncio.open_connection(
        sock=theirs, limit=peer_buffer, ssl=tls[1] if tls else None, server_hostname=DOMAIN if tls else None
    )
    if tls is None:
        reader, writer = await connecting
    else:
        (reader, writer), _ = await asyncio.gather(connecting, transport.start_tls(tls[0].context))
    try:
        yield Pair(transport, recorder, reader, writer)
    finally:
        writer.transport.abort()
        transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def contexts(folder: Path, version: ssl.TLSVersion | None = None) -> tuple[ServerTls, ssl.SSLContext]:
    """The server's and a client's; ``version``: the newest that the client speaks."""
    certificates.write(folder / "cert.pem", folder / "key.pem", [DOMAIN])
    client = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    if version is not None:
        client.maximum_version = version
    return load(folder / "cert.pem", folder / "key.pem"), client
