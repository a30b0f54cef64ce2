"""How much one client may send at once, and in the long run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from functools import partial

import pytest

from tests.support.harness import Harness
from tests.support.process import DOMAIN, ITERATIONS, PASSWORD
from tests.support.wire import Wire
from xmppd.auth.scram import make_credentials
from xmppd.jid import Jid
from xmppd.net.counter import ConnectionCounter
from xmppd.net.listener import Listener
from xmppd.net.transport import Flusher, Transport, TransportLimits
from xmppd.sessions.c2s import accept
from xmppd.sessions.session import Session
from xmppd.xml.element import Element

pytestmark = pytest.mark.interpreted  # of a transport's method, to see when it pauses

# What comes in one wake-up is handled whole: 64 KiB, which are 60 of these.
STANZA = f"<message to='nobody@{DOMAIN}'>{'x' * 1_000}</message>".encode()
WAKE_UP = 65_536 // len(STANZA) + 1
TOML = """
tls.required = false
[limits]
stanzas_per_second = 100
burst_stanzas = 1_000
bytes_per_second = 0
"""


class Sender:
    """A client, and what the server has taken of what it sent."""

    def __init__(self, server: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.taken = 0
        self.wire: Wire
        self._paused = asyncio.Event()
        pause = Transport.pause_reading

        def pause_reading(transport: Transport) -> None:
            pause(transport)
            self._paused.set()

        monkeypatch.setattr(Transport, "pause_reading", pause_reading)

    def take(self, session: Session, element: Element) -> Awaitable[None] | None:
        self.taken += 1
        return None

    async def connect(self, address: tuple[str, int]) -> None:
        self.wire = await Wire.connect(address)
        await self.wire.open()
        await self.wire.authenticate("juliet")
        await self.wire.open()
        await self.wire.bind()

    @contextlib.asynccontextmanager
    async def flooding(self) -> AsyncIterator[None]:
        """The client sends as fast as the server takes it."""
        self._paused.clear()
        sending = asyncio.create_task(self.wire.flood(STANZA * 20_000))
        try:
            yield
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def paused(self) -> None:
        """The server reads no more for now."""
        async with asyncio.timeout(10):
            await self._paused.wait()
        self._paused.clear()


@contextlib.asynccontextmanager
async def sender(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sender]:
    async with Harness(DOMAIN, toml=TOML) as server:
        keys = make_credentials(PASSWORD, ITERATIONS)
        await server.stores.accounts.create([(Jid.parse(f"juliet@{DOMAIN}"), keys)], now=0)
        clients = server.node.clients
        client = Sender(server, monkeypatch)
        clients.inbound = client.take
        loop = asyncio.get_running_loop()
        listener = Listener(
            loop,
            Flusher(loop),
            "127.0.0.1",
            0,
            partial(accept, clients, direct_tls=False),
            limits=TransportLimits(send_buffer=2**20, linger=1),
            per_address=0,
            counter=clients.counter,
            headers=ConnectionCounter("headers", server.clock),
        )
        try:
            await client.connect((listener.host, listener.port))
            yield client
        finally:
            client.wire.abort()
            listener.close()
            for connection in tuple(clients.connections):
                connection.abort()


async def test_no_more_than_a_burst_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sender(monkeypatch) as client:
        client.server.clock.advance(3_600)
        async with client.flooding():
            await client.paused()
            assert 500 <= client.taken <= 1_000 + WAKE_UP


async def test_in_the_long_run_it_is_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sender(monkeypatch) as client, client.flooding():
        await client.paused()
        at_once = client.taken
        for _ in range(20):
            client.server.clock.advance(1)
            await client.paused()
        assert abs(client.taken - at_once - 20 * 100) <= WAKE_UP
