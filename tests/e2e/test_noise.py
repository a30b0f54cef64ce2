"""Noise over the socket: whatever comes in, a stanza or a stream error comes out, and nothing else happens.

Conversations are taken apart, mixed, damaged and sent, before and after login. A failing run names its seed;
``XMPPD_SEED`` runs it again.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Attack
from tests.support.noise import USERS, Noise
from tests.support.wire import Wire, Wires
from xmppd.xml.parser import StreamEnd

SECONDS, CI_SECONDS, SOAK_SECONDS = 4, 10, 600
MONKEYS = 4


async def monkey(noise: Noise, wires: Wires, going_on: Callable[[], bool]) -> int:
    """One visitor after the other; how many there were."""
    visits = 0
    while going_on():
        visits += 1
        wire: Wire | None = None
        try:
            match noise.choose(1, 1, 1, 4):
                case 0:
                    wire = await wires.connect()
                case 1:
                    wire = await wires.connect(tls=True)
                case 2:
                    wire = await wires.stranger()
                case _:
                    wire = await wires.login(noise.user(), available=noise.choose(1, 1) == 1)
            listening = asyncio.create_task(listen(wire))
            try:
                while going_on() and not listening.done() and noise.choose(1, 9):
                    for piece in noise.pieces(noise.said(logged_in=bool(wire.jid))):
                        await wire.send(piece)
                        await asyncio.sleep(0)
                if noise.choose(1, 1):
                    wire.reset()
            finally:
                listening.cancel()
                await asyncio.wait([listening])
            if not listening.cancelled():
                listening.result()
        except (EOFError, ConnectionError, ssl.SSLError):
            pass
        finally:
            if wire is not None:
                wires.drop(wire)
    return visits


async def listen(wire: Wire) -> None:
    """Read to the end; whatever the server says has to be XML."""
    try:
        while not isinstance(await wire.next(seconds=60), StreamEnd):
            pass
    except EOFError:
        pass


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_noise(attack: Attack, soak: bool) -> None:
    seconds = SOAK_SECONDS if soak else CI_SECONDS if os.environ.get("CI") else SECONDS
    seed = int(os.environ.get("XMPPD_SEED") or random.randrange(10**9))
    print(f"\nXMPPD_SEED={seed}")
    end = time.monotonic() + seconds
    monkeys = [
        monkey(Noise(seed + number), attack.wires, lambda: time.monotonic() < end)
        for number in range(MONKEYS)
    ]
    visits = sum(await asyncio.gather(*monkeys))
    assert visits > seconds, "there were some"
    wire = await attack.wires.login(f"{USERS[0]}/last")
    await wire.ping()
