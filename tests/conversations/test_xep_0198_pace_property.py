"""XEP-0198 with little room, under random interleavings: a device that acknowledges late, sleeps, comes back or begins
anew, while a long line of messages is given to it, misses nothing and gets everything in order.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.stream.management import NS

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@capulet.lit/orchard"
TOML = "[limits]\nsm_queue_stanzas = 10\n[extensions.sm]\nask_every = {}\nmax_resume_seconds = 60"
STANZAS = {"message", "presence", "iq"}


class Slow(HeldBack):
    """Each step takes some passes of the loop."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    async def stop(self, point: str) -> None:
        for _ in range(self._chance.choice((0, 1, 5, 30))):
            await asyncio.sleep(0)
        await super().stop(point)


class Phone:
    """Juliet's device. ``got``: for each of its sessions, which messages came."""

    def __init__(self, server: Harness) -> None:
        self.server = server
        self.client: Client | None = None  # while it has a connection
        self.former: Client | None = None  # the last one that it lost
        self.id = ""  # by which its session is resumed
        self.handled = 0
        self.got: list[list[int]] = []

    async def come(self) -> None:
        if self.id:
            again = self.server.unbound(f"{JULIET}/phone")
            if (await again.resume_nowait(self.id, self.handled)).name == "resumed":
                self.client = again
                return
        self.client, self.id, self.handled = await self.server.client(f"{JULIET}/phone"), "", 0
        self.got.append([])
        self.client.send_nowait(f"<enable xmlns='{NS}' resume='true'/><presence/>")

    def read(self, most: int = 1_000_000) -> None:
        while self.client is not None and self.client.received and most:
            element = self.client.received.pop(0)
            most -= 1
            if element.name == "enabled":
                self.id, self.handled = element.attrs["id"], 0
            elif element.name in STANZAS:
                self.handled += 1
                if element.name == "message":
                    self.got[-1].append(int(element.attrs["id"]))

    def acknowledge(self) -> None:
        if self.client is not None and self.client.error is None and self.id:
            self.client.send_nowait(f"<a xmlns='{NS}' h='{self.handled}'/>")

    def lose(self, *, known: bool) -> None:
        """The connection is gone, which the server may not know yet."""
        self.former = self.client or self.former
        if self.former is not None and known:
            self.former.cut()
        self.client = None


async def play(seed: int) -> None:
    chance = random.Random(seed)
    store = Slow(chance)
    async with Harness(toml=TOML.format(chance.choice((1, 10, 100))), wrap=store.wrap) as server:
        await server.account(JULIET)
        romeo = await server.client(ROMEO)
        phone, sent = Phone(server), 0

        def write(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                romeo.send_nowait(
                    f"<message to='{JULIET}' type='chat' id='{sent}'><body>{sent}</body></message>"
                )
                sent += 1

        write(chance.choice((0, 60, 150)))
        for _ in range(100):
            match chance.choice(("write", "come", "read", "read", "acknowledge", "lose", "wait", "presence")):
                case "write":
                    write(chance.choice((1, 3, 20)))
                case "come" if phone.client is None or chance.random() < 0.2:
                    await phone.come()
                case "read":
                    phone.read(chance.choice((3, 30)))
                case "acknowledge":
                    phone.acknowledge()
                case "lose":
                    phone.lose(known=chance.random() < 0.7)
                case "wait":
                    server.clock.advance(chance.choice((1, 11, 70)))
                case "presence" if phone.client is not None and phone.client.error is None:
                    phone.client.send_nowait(
                        f"<presence><priority>{chance.choice((-1, 0))}</priority></presence>"
                    )
            for _ in range(chance.choice((0, 3, 100))):
                await asyncio.sleep(0)
        phone.lose(known=True)
        server.clock.advance(70)
        await server.settle()
        last = Phone(server)
        await last.come()
        for _ in range(2 + sent // 5):
            await server.pass_by()
            last.read()
            last.acknowledge()
        seen = {id for each in (*phone.got, *last.got) for id in each}
        assert seen == set(range(sent))
        assert await server.waiting(JULIET) == 0
        for got in (*phone.got, *last.got):
            assert got == sorted(set(got))


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_missed_and_all_comes_in_order(seed: int) -> None:
    await play(seed)
