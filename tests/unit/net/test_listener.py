"""A listening socket: who is let in, and as whom."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.unit.net.parts import SECONDS, Recorder, contexts
from tests.unit.net.test_proxy import IPV4, v2
from xmppd.errors import UserError
from xmppd.net.counter import ConnectionCounter
from xmppd.net.listener import Listener
from xmppd.net.transport import Flusher, Transport, TransportLimits

LIMITS = TransportLimits(send_buffer=2**20, linger=1)


class Door:
    """A listener and what it let in."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        per_address: int = 0,
        trusted: str = "",
        ipv6_only: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.counter = ConnectionCounter("connections", ManualClock())
        self.headers = ConnectionCounter("headers", ManualClock())
        self.inside: asyncio.Queue[tuple[Transport, Recorder]] = asyncio.Queue()
        self._all: list[Transport] = []
        self.listener = Listener(
            loop,
            Flusher(loop),
            host,
            port,
            self._accepted,
            limits=LIMITS,
            per_address=per_address,
            counter=self.counter,
            headers=self.headers,
            trusted=[ip_network(trusted)] if trusted else [],
            ipv6_only=ipv6_only,
        )

    def _accepted(self, transport: Transport) -> None:
        recorder = Recorder()
        transport.attach(recorder)
        self._all.append(transport)
        self.inside.put_nowait((transport, recorder))

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.host, self.listener.port

    async def next(self) -> tuple[Transport, Recorder]:
        return await asyncio.wait_for(self.inside.get(), SECONDS)

    def close(self) -> None:
        self.listener.close()
        for transport in self._all:
            transport.abort()


@contextlib.asynccontextmanager
async def door(host: str = "127.0.0.1", per_address: int = 0, trusted: str = "") -> AsyncIterator[Door]:
    made = Door(host=host, per_address=per_address, trusted=trusted)
    try:
        yield made
    finally:
        made.close()


@contextlib.asynccontextmanager
async def visitor(address: tuple[str, int]) -> AsyncIterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
        yield sock


async def read(sock: socket.socket) -> bytes:
    """One read; nothing where the other side closed."""
    async with asyncio.timeout(SECONDS):
        try:
            return await asyncio.get_running_loop().sock_recv(sock, 1_000)
        except ConnectionError:
            return b""


async def test_a_visitor() -> None:
    async with door() as open_, visitor(open_.address) as sock:
        transport, recorder = await open_.next()
        assert transport.address == "127.0.0.1"
        sock.send(b"hello")
        transport.resume_reading()
        await recorder.until(lambda: recorder.received == b"hello")
        transport.write(b"welcome")
        assert await read(sock) == b"welcome"


@pytest.mark.parametrize("target", ["::1", "127.0.0.1"])
async def test_one_door_for_both_protocols(target: str) -> None:
    async with door("::") as open_, visitor((target, open_.listener.port)):
        transport, _ = await open_.next()
        assert transport.address == target


async def test_a_door_for_each_protocol() -> None:
    async with door("0.0.0.0") as old:
        new = Door(host="::", port=old.listener.port, ipv6_only=True)
        try:
            for target, side in (("::1", new), ("127.0.0.1", old)):
                async with visitor((target, old.listener.port)):
                    transport, _ = await side.next()
                    assert transport.address == target
        finally:
            new.close()


async def test_many_visitors_at_once() -> None:
    async with door() as open_, contextlib.AsyncExitStack() as stack:
        for _ in range(200):
            await stack.enter_async_context(visitor(open_.address))
        for _ in range(200):
            await open_.next()


async def test_an_address_gets_its_share_and_no_more() -> None:
    async with door(per_address=2) as open_, contextlib.AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(visitor(open_.address)) for _ in range(3)]
        assert await read(third) == b""
        assert open_.counter.refused == 1
        transport, _ = await open_.next()
        await open_.next()
        open_.counter.release(transport.address)
        fourth = await stack.enter_async_context(visitor(open_.address))
        await open_.next()
        for sock in (first, second, fourth):
            with pytest.raises(BlockingIOError):
                sock.recv(1)


async def test_a_closed_door() -> None:
    async with door() as open_:
        open_.listener.close()
        open_.listener.close()
        with pytest.raises(ConnectionError):
            async with visitor(open_.address):
                pass


async def test_a_port_that_is_taken() -> None:
    async with door() as open_:
        loop = asyncio.get_running_loop()
        with pytest.raises(UserError, match=rf"127.0.0.1:{open_.listener.port}.*in use.*\[listen\]"):
            Listener(
                loop,
                Flusher(loop),
                *open_.address,
                lambda _: None,
                limits=LIMITS,
                per_address=0,
                counter=open_.counter,
                headers=open_.headers,
            )


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(UserError, match=r"192.0.2.1.*this machine does not have the address"):
        Door(host="192.0.2.1")


# Behind a proxy

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 5222\r\n"


@pytest.mark.parametrize("header", [V1, v2(0x11, IPV4)], ids=["version 1", "version 2"])
@pytest.mark.parametrize("cut", ["whole", "byte by byte", "with more behind it"])
async def test_a_visitor_through_a_proxy(header: bytes, cut: str) -> None:
    loop = asyncio.get_running_loop()
    async with door(trusted="127.0.0.0/8") as open_, visitor(open_.address) as sock:
        match cut:
            case "whole":
                sock.send(header)
            case "byte by byte":
                for byte in header:
                    sock.send(bytes([byte]))
                    for _ in range(3):
                        await asyncio.sleep(0)
            case _:
                await loop.sock_sendall(sock, header + b"<stream>")
        transport, recorder = await open_.next()
        assert transport.address == "192.0.2.7"
        transport.resume_reading()
        sock.send(b"hello")
        expected = b"<stream>hello" if "more" in cut else b"hello"
        await recorder.until(lambda: recorder.received == expected)


async def test_tls_follows_the_header_at_once(tmp_path: Path) -> None:
    """Not a byte more than the header is read: OpenSSL wants to read the rest itself."""
    server, client = contexts(tmp_path)
    async with door(trusted="127.0.0.0/8") as open_, visitor(open_.address) as sock:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client.wrap_bio(incoming, outgoing, server_hostname="capulet.example")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.send(v2(0x11, IPV4) + outgoing.read())
        transport, _ = await open_.next()
        starting = asyncio.create_task(transport.start_tls(server.context))
        incoming.write(await read(sock) + b"")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(await read(sock))
        sock.send(outgoing.read())
        await starting
        assert transport.secure


async def test_the_proxy_speaks_for_itself() -> None:
    """Health checks come from the proxy's own address."""
    async with door(trusted="127.0.0.0/8") as open_, visitor(open_.address) as sock:
        sock.send(v2(0, b"", command=0x20))
        transport, _ = await open_.next()
        assert transport.address == "127.0.0.1"


async def test_connections_that_wait_for_their_header_are_counted_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xmppd.net.listener._PROXY_WAITING", 2)
    async with door(trusted="127.0.0.0/8") as open_, contextlib.AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(visitor(open_.address)) for _ in range(3)]
        assert await read(third) == b""
        assert (open_.headers.held, open_.headers.refused, open_.counter.held) == (2, 1, 0)
        first.send(V1)
        await open_.next()
        assert (open_.headers.held, open_.counter.held) == (1, 1)
        second.shutdown(socket.SHUT_WR)
        assert await read(second) == b""
        assert open_.headers.held == 0


async def test_a_door_that_closes_lets_go_who_waits_before_it() -> None:
    async with door(trusted="127.0.0.0/8") as open_, visitor(open_.address) as sock:
        sock.send(V1[:20])
        for _ in range(10):
            await asyncio.sleep(0)
        assert open_.headers.held == 1
        open_.close()
        assert await read(sock) == b""
        assert open_.headers.held == 0
        assert open_.inside.empty()


async def test_clients_behind_a_proxy_are_counted_one_by_one() -> None:
    async with door(per_address=1, trusted="127.0.0.0/8") as open_, contextlib.AsyncExitStack() as stack:
        socks = [await stack.enter_async_context(visitor(open_.address)) for _ in range(3)]
        for sock, client in zip(socks, ("192.0.2.7", "192.0.2.8", "192.0.2.7"), strict=True):
            sock.send(f"PROXY TCP4 {client} 192.0.2.1 1 2\r\n".encode())
        assert {(await open_.next())[0].address, (await open_.next())[0].address} == {
            "192.0.2.7",
            "192.0.2.8",
        }
        assert await read(socks[2]) == b""


@pytest.mark.parametrize(
    "garbage", [b"<?xml version='1.0'?>", b"\x16\x03\x01", b"PROXY TCP4 x\r\n", bytes(600)]
)
async def test_whoever_comes_from_the_proxy_without_a_header_is_dropped(garbage: bytes) -> None:
    async with door(trusted="127.0.0.0/8") as open_, visitor(open_.address) as sock:
        sock.send(garbage)
        assert await read(sock) == b""
        assert open_.inside.empty()


@pytest.mark.parametrize("begun", [b"", V1[:20], v2(0x11, IPV4)[:20]])
async def test_a_proxy_that_leaves_before_its_header_is_complete(begun: bytes) -> None:
    """It is noticed at once, and costs no time: a socket whose other side is closed is always readable."""
    async with door(trusted="127.0.0.0/8") as open_, visitor(open_.address) as sock:
        if begun:
            sock.send(begun)
            for _ in range(10):
                await asyncio.sleep(0)
        sock.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        assert await read(sock) == b""
        assert time.monotonic() - began < 2, "it did not wait for the time to be over"
        assert open_.inside.empty()


async def test_a_proxy_whose_connection_breaks() -> None:
    async with door(trusted="127.0.0.0/8") as open_:
        async with visitor(open_.address) as sock:
            sock.send(V1[:20])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with visitor(open_.address) as sock:
            sock.send(V1)
            await open_.next()


async def test_a_header_from_elsewhere_is_nothing_special() -> None:
    """Only who is trusted may say who it is."""
    async with door(trusted="10.0.0.0/8") as open_, visitor(open_.address) as sock:
        sock.send(V1)
        transport, recorder = await open_.next()
        assert transport.address == "127.0.0.1"
        transport.resume_reading()
        await recorder.until(lambda: recorder.received == V1)
