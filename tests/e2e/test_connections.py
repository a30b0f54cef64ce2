"""Connections that are made to hurt: too many, and too few who go on."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ATTACKED, Attack
from tests.support.process import Address, ServerProcess
from tests.support.wire import HEADER, Wire, Wires
from xmppd import ns
from xmppd.cli.serve import raise_file_limit

HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)


@contextlib.asynccontextmanager
async def connections(
    address: Address, count: int, first: bytes = b"", *, source: str = "127.0.0.1"
) -> AsyncIterator[list[socket.socket]]:
    """So many TCP connections, on each of which ``first`` was sent."""
    loop = asyncio.get_running_loop()
    socks = []
    try:
        for _ in range(count):
            sock = socket.socket()
            socks.append(sock)
            sock.setblocking(False)
            if source != "127.0.0.1":
                sock.bind((source, 0))
            await loop.sock_connect(sock, address)
            if first:
                await loop.sock_sendall(sock, first)
        yield socks
    finally:
        for sock in socks:
            sock.close()


async def closed(sock: socket.socket) -> bool:
    """The server closes ``sock``, now or soon, whatever it says before."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(sock, 65_536):
            pass
    except ConnectionError:
        pass
    return True


def still_open(socks: list[socket.socket]) -> int:
    """How many have neither said nor lost anything."""
    count = 0
    for sock in socks:
        try:
            sock.recv(1)
        except BlockingIOError:
            count += 1
        except ConnectionError:
            pass
    return count


@pytest.fixture(autouse=True)
def many_files() -> None:
    raise_file_limit()


async def test_1000_half_open_connections(attack: Attack) -> None:
    """They are closed when the time to log in is over; until then anybody else gets in."""
    server = attack.server
    begun = HEADER + f"<starttls xmlns='{ns.TLS}'/>"
    async with contextlib.AsyncExitStack() as stack:
        groups = [
            await stack.enter_async_context(connections(*group))
            for group in (
                (server.c2s, 250),
                (server.c2s_tls, 250),
                (server.c2s_tls, 250, HALF_A_HELLO),
                (server.c2s, 250, begun.encode()),
            )
        ]
        wire = await attack.wires.login("mercutio")
        await wire.ping()
        async with asyncio.timeout(ATTACKED["handshake_seconds"] + 5):
            await asyncio.gather(*(closed(sock) for group in groups for sock in group))
        await wire.ping()


async def test_tls_handshakes_without_end(attack: Attack) -> None:
    """300 handshakes, each given up as soon as it is done: the work of a login without the login."""
    for _ in range(300):
        wire = await Wire.connect(attack.server.c2s_tls, tls=attack.server.client_tls())
        wire.abort()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(
        tmp_path,
        accounts=["juliet", "romeo"],
        limits={"connections_per_address": 20, "unauthenticated_per_address": 10},
    )
    with server.running():
        yield server


async def test_no_address_gets_more_than_its_share(small: ServerProcess) -> None:
    async with Wires(small) as wires:
        juliet = await wires.login("juliet", available=True)
        async with connections(small.c2s, 60) as flood:
            await juliet.ping()  # whose connection is older than all of these
            assert still_open(flood) == 10, "so many may be there who have not logged in"
            with pytest.raises((EOFError, ConnectionError)):
                await wires.login("romeo")
            if sys.platform == "linux":  # elsewhere 127.0.0.1 is the only address of its kind
                async with connections(small.c2s, 5, source="127.0.0.2") as others:
                    await juliet.ping()
                    assert still_open(others) == 5
        await juliet.ping()
        for number in range(19):
            await wires.login(f"romeo/{number}")
        async with connections(small.c2s, 1) as one_more:
            await closed(one_more[0])
        await juliet.ping()


async def test_behind_a_proxy_everybody_counts_alone(tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path,
        accounts=["juliet"],
        limits={"connections_per_address": 2},
        listen='proxy_protocol = ["127.0.0.0/8"]',
    )
    with server.running():
        async with Wires(server) as wires:

            async def visit(client: str) -> None:
                preface = f"PROXY TCP4 {client} 192.0.2.100 1024 5223\r\n".encode()
                wire = wires.keep(
                    await Wire.connect(server.c2s_tls, tls=server.client_tls(), preface=preface)
                )
                await wire.open()
                await wire.authenticate("juliet")

            for number in range(6):
                await visit(f"192.0.2.{number // 2}")
            with pytest.raises((ConnectionError, EOFError)):
                await visit("192.0.2.1")
            clear = wires.keep(await Wire.connect(server.c2s, preface=b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"))
            await clear.open()
            unnamed = await wires.connect()
            await unnamed.send(HEADER)
            await unnamed.closed()


async def test_no_files_left(tmp_path: Path) -> None:
    """Without file descriptors nobody gets in; those inside go on, and it heals."""
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"])
    server.expected.append("cannot accept connections")

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    server.start(before=few_files)
    try:
        async with Wires(server) as wires:
            juliet = await wires.login("juliet", available=True)
            async with connections(server.c2s, 100):
                await server.logged("cannot accept connections.*open files")
                await juliet.ping()
                used = server.cpu()
                for _ in range(50):
                    await juliet.ping()
                assert server.cpu() - used < 0.5, "it waits instead of trying again and again"
            romeo = await wires.login("romeo")
            await romeo.ping()
        server.check_log()
    finally:
        server.close()
