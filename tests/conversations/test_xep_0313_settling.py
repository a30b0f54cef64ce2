"""Devices that read the history, wait for messages, acknowledge them or not, and go in any order: what one of them has
for certain comes to nobody again, and everything else comes (DESIGN I3, XEP-0313#business-storeret-user-archives).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import RSM
from xmppd.im.results import MAM
from xmppd.xml.element import Element

JULIET = "juliet@capulet.lit"
SECRET = "<no-permanent-store xmlns='urn:xmpp:hints'/>"  # is delivered, but no history
ACTS = ("say", "come", "read", "show", "hide", "close", "cut", "acknowledge", "wait")
WEIGHTS = (30, 10, 12, 10, 6, 2, 8, 8, 3)


@dataclass
class Device:
    client: Client
    acknowledges: bool
    count: int = 0  # stanzas that it got
    unsure: set[str] = field(default_factory=set)  # of messages: those that it did not acknowledge

    def take(self) -> set[str]:
        """Take what came; what the server knows this device to have."""
        got, self.client.received = self.client.received, []
        certain: set[str] = set()
        for stanza in got:
            self.count += stanza.ns == "jabber:client"
            if stanza.name == "message" and (shown := stanza.child("result", MAM)) is not None:
                certain.add(_id(next(next(shown.elements()).each("message", "jabber:client"))))
            elif stanza.name == "message":
                (self.unsure if self.acknowledges else certain).add(_id(stanza))
        return certain


def _id(message: Element) -> str:
    return message.attrs["id"]


class Play:
    def __init__(self, server: Harness, chance: random.Random, romeo: Client) -> None:
        self._server = server
        self._chance = chance
        self._romeo = romeo
        self._devices: list[Device] = []
        self._count = 0
        self.sent: set[str] = set()
        self.certain: set[str] = set()

    async def act(self) -> None:
        chance = self._chance
        self._take()
        [act] = chance.choices(ACTS, WEIGHTS)
        if act == "say":
            await self._say()
        elif act == "come" and len(self._devices) < 4:
            self._devices.append(await self._device())
        elif act == "wait":
            await self._server.advance(chance.choice([1, 20, 700]))
        elif self._devices:
            await self._act_with(chance.choice(self._devices), act)
        self._take()
        self._server.clock.advance(1)

    async def _act_with(self, device: Device, act: str) -> None:
        client, chance = device.client, self._chance
        match act:
            case "read":
                await self._read(device)
            case "show":
                await client.send(f"<presence><priority>{chance.choice([0, 0, 1, -1])}</priority></presence>")
            case "hide":
                await client.send("<presence type='unavailable'/>")
            case "acknowledge" if device.acknowledges:
                await client.send(f"<a xmlns='urn:xmpp:sm:3' h='{device.count}'/>")
                self.certain |= device.unsure
                device.unsure.clear()
            case "close" | "cut":
                self._devices.remove(device)
                if act == "cut":
                    client.cut()
                else:
                    await client.close()
                await self._server.settle()

    async def _say(self) -> None:
        self._count += 1
        id, chance = str(self._count), self._chance
        to = (
            str(chance.choice(self._devices).client.jid)
            if self._devices and chance.random() < 0.3
            else JULIET
        )
        hint = SECRET if chance.random() < 0.5 else ""
        await self._romeo.send(f"<message to='{to}' type='chat' id='{id}'><body>text</body>{hint}</message>")
        self._romeo.expect_nothing()
        self.sent.add(id)

    async def _device(self) -> Device:
        self._count += 1
        client = await self._server.client(f"{JULIET}/device{self._count}")
        acknowledges = self._chance.random() < 0.6
        if acknowledges:
            await client.enable()
        client.received.clear()
        return Device(client, acknowledges)

    async def _read(self, device: Device) -> None:
        """Some or all pages of the history, from one of its ends."""
        chance = self._chance
        size, backwards = chance.choice([1, 2, 50]), chance.random() < 0.3
        place = "<before/>" if backwards else ""
        for _ in range(chance.choice([1, 2, 99])):
            asked = f"<set xmlns='{RSM}'><max>{size}</max>{place}</set>"
            await device.client.send(f"<iq type='set' id='q'><query xmlns='{MAM}'>{asked}</query></iq>")
            answer = next(stanza for stanza in reversed(device.client.received) if stanza.name == "iq")
            self.certain |= device.take()
            fin = next(answer.elements())
            if fin.get("complete") == "true":
                break
            [page] = fin.each("set", RSM)
            names = {child.name: child.text() for child in page.elements()}
            place = f"<before>{names['first']}</before>" if backwards else f"<after>{names['last']}</after>"

    def _take(self) -> None:
        for device in self._devices:
            self.certain |= device.take()

    async def end(self) -> None:
        """All are cut off and do not come back; a new device gets what nobody has for certain, and only that."""
        for device in self._devices:
            device.client.cut()
        await self._server.settle()
        await self._server.advance(3_600)
        last = Device(await self._server.client(f"{JULIET}/last"), acknowledges=False)
        await last.client.send("<presence/>")
        assert last.take() == self.sent - self.certain


async def play(seed: int) -> None:
    chance = random.Random(seed)
    async with Harness("capulet.lit") as server:
        romeo = await server.client("romeo@capulet.lit/orchard", available=True)
        await server.account(JULIET)
        play = Play(server, chance, romeo)
        for _ in range(chance.randrange(20, 60)):
            await play.act()
        await play.end()


@pytest.mark.parametrize("seed", range(30))
async def test_what_nobody_has_for_certain_comes_and_nothing_else(seed: int) -> None:
    await play(seed)


async def test_many_more(soak: bool) -> None:
    for seed in range(1_000, 5_000 if soak else 1_010):
        await play(seed)
