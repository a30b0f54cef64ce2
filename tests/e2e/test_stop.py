"""How a server ends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import Wire, Wires
from xmppd.cli.serve import raise_file_limit

USERS = [f"user{number}" for number in range(500)]


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """Signals and the end of connections are where event loops differ."""
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"], uvloop=request.param)
    with server.running():
        yield server


async def stop(server: ServerProcess) -> float:
    """SIGTERM; the seconds until the server has ended, which has to be with 0."""
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0
    return time.monotonic() - began


async def test_sigterm_says_goodbye_on_every_stream(server: ServerProcess) -> None:
    async with Wires(server) as wires:
        juliet = await wires.login("juliet", available=True)
        romeo = await wires.login("romeo", direct_tls=False)
        stranger = await wires.stranger()
        clear = await wires.connect()
        await clear.open()
        silent = await wires.connect()
        ending = asyncio.create_task(stop(server))
        for wire in (juliet, romeo, stranger, clear, silent):
            assert await wire.error() == "system-shutdown"
            wire.abort()
        assert await ending < 2


async def test_sigint_ends_it_too(server: ServerProcess) -> None:
    server.signal(signal.SIGINT)
    assert await server.ended() == 0


async def test_what_was_sent_before_the_end_is_kept(server: ServerProcess) -> None:
    """Also what the server had not even looked at yet when it was told to stop, as far as it acknowledged it."""
    async with Wires(server) as wires:
        juliet = await wires.login("juliet")
        for number in range(200):
            await juliet.send(
                f"<message type='chat' to='romeo@{DOMAIN}' id='m{number}'><body>{number}</body></message>"
            )
        await juliet.ping()
        await stop(server)
    server.start()
    async with Wires(server) as wires:
        romeo = await wires.login("romeo")
        await romeo.send("<presence/>")
        for number in range(200):
            message = await romeo.until(lambda got: got.name == "message")
            assert message.get("id") == f"m{number}"


@pytest.mark.slow
async def test_500_clients_and_one_that_never_reads_do_not_hold_it_up(tmp_path: Path) -> None:
    raise_file_limit()
    server = ServerProcess(tmp_path, accounts=[*USERS, "deaf"])
    with server.running():
        async with Wires(server) as wires:
            deaf = await wires.login("deaf/ears", receive_buffer=4_096)
            deaf.stop_reading()
            people = []
            for start in range(0, len(USERS), 20):
                names = USERS[start : start + 20]
                people += await asyncio.gather(*[wires.login(name, available=True) for name in names])
            body = "x" * 100_000
            for _ in range(30):  # more than fits into its socket, less than the server holds for it
                await people[0].send(
                    f"<message type='headline' to='{deaf.jid}'><body>{body}</body></message>"
                )
            await people[0].ping()
            ending = asyncio.create_task(stop(server))
            conditions = await asyncio.gather(*[goodbye(wire) for wire in people])
            assert set(conditions) == {"system-shutdown"}
            seconds = await ending
            print(f"\n500 clients and a deaf one: stopped after {seconds:.1f} s")
            assert seconds < 5


async def goodbye(wire: Wire) -> str:
    condition = await wire.error()
    wire.abort()
    return condition


async def test_sigterm_while_nobody_can_say_goodbye(tmp_path: Path) -> None:
    """Half-open connections do not hold it up either."""
    server = ServerProcess(tmp_path)
    with server.running():
        async with Wires(server) as wires:
            for _ in range(20):
                await wires.connect()
                await wires.connect(direct=True)
            assert await stop(server) < 5


async def test_without_a_bound_stopping_takes_as_long_as_the_clients_need(tmp_path: Path) -> None:
    """Who reads late still gets all that was sent to it, though the others are gone long since."""
    limits = {"shutdown_seconds": 0, "close_seconds": 0}
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"], limits=limits)
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.login("juliet", receive_buffer=4_096)
            juliet.stop_reading()
            romeo = await wires.login("romeo")
            headline = f"<message type='headline' to='{juliet.jid}'><body>{'x' * 100_000}</body></message>"
            for _ in range(30):  # more than fits into her socket, less than the server holds for her
                await romeo.send(headline)
            await romeo.ping()
            ending = asyncio.create_task(stop(server))
            assert await goodbye(romeo) == "system-shutdown"
            juliet.read_on()
            for _ in range(30):
                assert (await juliet.receive()).name == "message"
            assert not ending.done()
            assert await goodbye(juliet) == "system-shutdown"
            await ending
