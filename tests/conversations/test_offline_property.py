"""Whatever happens in whatever order: every accepted message is delivered, in the order of its sender, and once.

Romeo's devices come and go while two people write to him and the archive takes its time at every step. Each seed is
another interleaving; what a failing one did is printed. Devices that acknowledge (XEP-0198) lose nothing at all, though
their sessions end with their connections; for others, what was sent in the moment of the cut is gone.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

import pytest

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.xml.element import Element

ROMEO = "romeo@capulet.lit"
DEVICES = ("orchard", "home", "phone")
SENDERS = ("juliet@capulet.lit/balcony", "paris@capulet.lit/street")
SECRET = "<no-store xmlns='urn:xmpp:hints'/>"


class Lazy(HeldBack):
    """Each step takes a few passes of the loop, another number each time."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    async def stop(self, point: str) -> None:
        for _ in range(self._rng.choice((0, 0, 1, 2, 5, 30))):
            await asyncio.sleep(0)
        await super().stop(point)


class Run:
    """One interleaving."""

    def __init__(self, server: Harness, rng: random.Random, *, cuts: bool, acks: bool) -> None:
        self.server = server
        self.rng = rng
        self.cuts = cuts
        self.acks = acks
        self.devices: dict[str, Client] = {}
        self.everybody: list[Client] = []  # every connection of Romeo's there ever was
        self.sent = 0
        self.named: set[int] = set()  # what was sent to one device
        self.secret: set[int] = set()  # what may not be kept, and so may be lost
        self.log: list[str] = []

    async def step(self, senders: list[Client]) -> None:
        rng = self.rng
        kind = rng.choices(
            ("write", "bind", "presence", "read", "leave", "cut", "acknowledge"),
            (10, 2, 4, 2, 1, 1 if self.cuts else 0, 4 if self.acks else 0),
        )[0]
        device = rng.choice(list(self.devices.values())) if self.devices else None
        if kind == "write":
            sender = rng.choice(senders)
            for _ in range(rng.choice((1, 1, 2, 5))):
                self.write(sender)
        elif kind == "bind":
            name = rng.choice(DEVICES)
            if name not in self.devices:
                self.devices[name] = client = await self.server.client(f"{ROMEO}/{name}")
                self.everybody.append(client)
                if self.acks:
                    client.send_nowait("<enable xmlns='urn:xmpp:sm:3'/>")
        elif device is not None:
            self.log.append(f"{kind} {device.jid.resource}")
            if kind == "presence":
                device.send_nowait(rng.choice(PRESENCES))
            elif kind == "read":
                device.stop_reading() if rng.random() < 0.5 else device.read_on()
            elif kind == "leave":
                device.read_on()
                device.send_nowait("<presence type='unavailable'/>")
            elif kind == "acknowledge":
                device.send_nowait(f"<a xmlns='urn:xmpp:sm:3' h='{handled(device)}'/>")
            else:
                del self.devices[device.jid.resource or ""]
                device.cut()
        for _ in range(rng.choice((0, 0, 1, 3, 40))):
            await asyncio.sleep(0)

    def write(self, sender: Client) -> None:
        rng = self.rng
        self.sent += 1
        to = ROMEO
        if rng.random() < 0.2:
            to = f"{ROMEO}/{rng.choice(DEVICES)}"
            self.named.add(self.sent)
        secret = ""
        if rng.random() < 0.2:
            secret = SECRET
            self.secret.add(self.sent)
        self.log.append(f"{sender.jid.local} writes {self.sent} to {to} {'secretly' if secret else ''}")
        sender.send_nowait(
            f"<message to='{to}' type='chat' id='{self.sent}'><body>{self.sent}</body>{secret}</message>"
        )

    def delivered(self) -> list[dict[str, list[int]]]:
        """For each connection: what it got of each sender, in order."""
        return [_messages(client) for client in self.everybody]


def handled(client: Client) -> int:
    """How many stanzas came since it enabled stream management, which it did first."""
    return sum(element.ns == "jabber:client" for element in client.received)


PRESENCES = (
    "<presence/>",
    "<presence/>",
    "<presence><priority>5</priority></presence>",
    "<presence><priority>-1</priority></presence>",
)


def _is_message(element: Element) -> bool:
    return element.name == "message" and element.get("type") != "error"


def _is_new(element: Element) -> bool:
    """Whether it did not come out of the storage."""
    return _is_message(element) and element.child("delay", "urn:xmpp:delay") is None


def _messages(client: Client) -> dict[str, list[int]]:
    found = defaultdict(list)
    for element in client.received:
        if _is_message(element):
            found[element.attrs["from"]].append(int(element.attrs["id"]))
    return found


async def run(seed: int, *, cuts: bool, acks: bool = False) -> None:
    rng = random.Random(seed)
    store = Lazy(rng)
    async with Harness("capulet.lit", wrap=store.wrap) as server:
        await server.account(ROMEO)
        senders = [await server.client(sender) for sender in SENDERS]
        this = Run(server, rng, cuts=cuts, acks=acks)
        for _ in range(120):
            await this.step(senders)
        for device in this.devices.values():
            device.read_on()
        await server.settle()
        for device in this.devices.values():
            await device.send("<presence type='unavailable'/>")
            if acks:
                await device.close()
        last = await server.client(f"{ROMEO}/last", available=False)
        this.everybody.append(last)
        await last.send("<presence/>")
        await server.settle()

        refused = {
            int(element.attrs["id"])
            for sender in senders
            for element in sender.received
            if element.name == "message" and element.get("type") == "error"
        }
        delivered = this.delivered()
        # What was sent in the moment when the connection was lost is gone, without stream management.
        missed = {
            int(element.attrs["id"])
            for client in this.everybody
            for element in client.missed
            if _is_new(element) and not acks
        }
        got = missed | {id for each in delivered for ids in each.values() for id in ids}
        story = "\n".join(this.log)
        assert set(range(1, this.sent + 1)) - refused - this.secret <= got, f"lost\n{story}"
        assert not refused & got, f"refused and delivered\n{story}"
        assert await server.waiting(ROMEO) == 0
        for each in delivered:
            for ids in each.values():
                if cuts or acks:  # what comes again comes in order as well, but perhaps behind what is newer
                    ids = list(dict.fromkeys(ids))
                assert len(ids) == len(set(ids)), f"doubled: {ids}\n{story}"
                # RFC 6121#8.5.3.1: a device that is connected but not available gets what is sent to it, only that
                ids = [id for id in ids if id not in this.named]
                if not cuts and not acks:
                    assert ids == sorted(ids), f"overtaken: {ids}\n{story}"
        if not cuts and not acks:
            kept = [_kept(client) for client in this.everybody]
            assert sum(map(len, kept)) == len(set().union(*kept)), f"kept ones went to two devices\n{story}"


def _kept(client: Client) -> set[int]:
    """What came out of the storage."""
    return {
        int(element.attrs["id"])
        for element in client.received
        if _is_message(element) and not _is_new(element)
    }


@pytest.mark.parametrize("seed", range(40))
async def test_without_cuts_every_message_comes_exactly_once_and_in_order(seed: int) -> None:
    await run(seed, cuts=False)


@pytest.mark.parametrize("seed", range(40))
async def test_with_cuts_every_message_comes_at_least_once(seed: int) -> None:
    await run(seed, cuts=True)


@pytest.mark.parametrize("cuts", [True, False])
@pytest.mark.parametrize("seed", range(20))
async def test_devices_that_acknowledge_lose_nothing(seed: int, cuts: bool) -> None:
    await run(seed, cuts=cuts, acks=True)


async def test_many_more_interleavings(soak: bool) -> None:
    for seed in range(1_000, 11_000 if soak else 1_010):
        await run(seed, cuts=bool(seed % 2), acks=bool(seed & 2))
