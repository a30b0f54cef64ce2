"""Silence: white space counts as a sign of life, a client that is gone without a word is found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import Wire, Wires

AFTER, TIMEOUT = 0.6, 0.4  # seconds


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(
        tmp_path,
        accounts=["juliet", "romeo"],
        limits={"ping_after_seconds": AFTER, "ping_timeout_seconds": TIMEOUT, "close_seconds": 0.5},
    )
    with server.running():
        yield server


async def test_who_is_silent_is_asked_and_then_given_up(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        romeo = await wires.login("romeo", available=True)
        juliet = await wires.login("juliet", available=True)
        await juliet.send(f"<presence type='subscribed' to='romeo@{DOMAIN}'/>")
        await juliet.ping()
        await romeo.send(f"<presence type='subscribe' to='juliet@{DOMAIN}'/>")
        await romeo.until(lambda got: got.name == "presence" and got.get("from") == juliet.jid)
        began = time.monotonic()
        talking = asyncio.create_task(breathe(romeo.send))
        try:
            await juliet.until(lambda got: got.child("ping", "urn:xmpp:ping") is not None)
            asked = time.monotonic() - began
            assert await juliet.error() == "connection-timeout"
            gone = time.monotonic() - began
            await romeo.until(lambda got: got.get("type") == "unavailable" and got.get("from") == juliet.jid)
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        assert AFTER * 0.7 < asked < AFTER + 1
        assert AFTER + TIMEOUT * 0.7 < gone < AFTER + TIMEOUT + 1
        await romeo.ping()


async def breathe(send: Callable[[str], Awaitable[None]]) -> None:
    """White space between stanzas (RFC 6120#4.6.1), each tenth of a second."""
    while True:
        await send(" ")
        await asyncio.sleep(0.1)  # the test is about this time


async def test_whoever_answers_stays(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet = await wires.login("juliet")
        for _ in range(2):
            asked = await juliet.until(lambda got: got.child("ping", "urn:xmpp:ping") is not None)
            assert (asked.get("type"), asked.get("from"), asked.get("to")) == ("get", DOMAIN, juliet.jid)
            await juliet.send(f"<iq type='result' to='{DOMAIN}' id='{asked.get('id')}'/>")
        await juliet.ping()


async def test_a_connection_that_was_reset_is_found_long_before_it_is_asked(tmp_path: Path) -> None:
    """uvloop says nothing of a reset that comes while bytes wait to be read."""
    server = ServerProcess(
        tmp_path, accounts=["juliet"], limits={"ping_after_seconds": 60, "ping_timeout_seconds": 0.4}
    )
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.login("juliet", available=True)
            for _ in range(8):
                other = await wires.login("juliet", available=True)
                await other.send("<message><body>I am hur")
                other.reset()
                gone = await juliet.until(lambda got: got.get("type") == "unavailable", seconds=3)
                assert gone.get("from") == other.jid


async def test_a_client_that_no_longer_reads_is_found(server: ServerProcess) -> None:
    """The connection is up, nobody is behind it."""
    async with Wires(server) as wires:
        juliet = await wires.login("juliet/balcony", available=True)
        juliet.stop_reading()
        romeo = await wires.login("romeo", available=True)
        await romeo.send(f"<presence to='{juliet.jid}'/>")
        began = time.monotonic()
        while await reachable(romeo, juliet.jid):
            assert time.monotonic() - began < AFTER + TIMEOUT + 2
            await romeo.send(" ")
            await asyncio.sleep(0.05)  # the test is about this time


async def reachable(wire: Wire, full: str) -> bool:
    """Whether a session with this address is there, alive or not; asked in a way that needs no answer of its client."""
    await wire.send(
        f"<message type='normal' to='{full}' id='probe'><store xmlns='urn:xmpp:hints'/></message>"
    )
    await wire.ping()
    return not any(got.get("id") == "probe" for got in wire.passed)


async def test_a_device_that_is_stuck_holds_up_the_others_only_until_it_is_found(
    server: ServerProcess,
) -> None:
    """It was being given what was kept. The others get the rest of that, and what came since, in order."""
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        for number in range(120):
            await romeo.send(
                f"<message type='chat' to='juliet@{DOMAIN}' id='{number}'><body>{'x' * 60_000}</body></message>"
            )
        await romeo.ping(seconds=20)
        phone = await wires.login("juliet/phone", receive_buffer=4_096)
        phone.stop_reading()
        await phone.send("<presence/>")
        laptop = await wires.login("juliet/laptop")
        await laptop.send("<presence/>")
        await romeo.send(
            f"<message type='chat' to='juliet@{DOMAIN}' id='120'><body>Where art thou?</body></message>"
        )
        breathing = asyncio.create_task(breathe(laptop.send))
        try:
            got: list[int] = []
            while not got or got[-1] != 120:
                message = await laptop.until(lambda got: got.name == "message", seconds=AFTER + TIMEOUT + 5)
                got.append(int(message.get("id") or ""))
        finally:
            breathing.cancel()
            await asyncio.gather(breathing, return_exceptions=True)
        assert got == list(range(got[0], 121))
