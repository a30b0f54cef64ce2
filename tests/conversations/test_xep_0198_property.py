"""XEP-0198 under random interleavings: whatever is lost when, each side has everything once and in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.harness import Client, Harness
from xmppd.stream.management import NS
from xmppd.xml.element import Element

BALCONY = "juliet@capulet.lit/balcony"
ROMEO = "romeo@capulet.lit/orchard"
STANZAS = {"message", "presence", "iq"}
TOML = "[limits]\nsm_queue_stanzas = 10\n[extensions.sm]\nask_every = 3"
MOST_PLAIN = 8  # not acknowledged and in no archive: more would end a session that sleeps


class Phone:
    """Juliet's client: it counts, sends again what was not handled, and loses what was on its way."""

    def __init__(self, server: Harness, client: Client, chance: random.Random) -> None:
        self.server = server
        self.client = client
        self.chance = chance
        self.former = client
        self.connected = True
        self.handled = 0
        self.got: list[int] = []
        self.sent: list[int] = []
        self.unacked: list[int] = []
        self.acknowledged = 0  # of what it sent
        self.told = 0  # how much of what it got it has acknowledged

    def read(self, count: int | None = None) -> None:
        """Handle the next ``count`` of what came, or all."""
        received = self.client.received
        while self.connected and received and count != 0:
            element = received.pop(0)
            count = None if count is None else count - 1
            if element.name in STANZAS:
                self.handled += 1
                self.got.append(int(element.get("id") or ""))
            elif element.name == "a":
                self.trim(element)

    def trim(self, element: Element) -> None:
        h = int(element.get("h") or "")
        assert h >= self.acknowledged
        del self.unacked[: h - self.acknowledged]
        self.acknowledged = h

    def say(self) -> None:
        number = len(self.sent)
        self.sent.append(number)
        self.unacked.append(number)
        if self.connected:
            self.client.send_nowait(self.stanza(number))

    def stanza(self, number: int) -> str:
        hint = "<no-store xmlns='urn:xmpp:hints'/>" if number % 3 == 0 else ""
        return f"<message to='{ROMEO}' type='chat' id='{number}'><body>{number}</body>{hint}</message>"

    def acknowledge(self) -> None:
        if self.connected:
            self.client.send_nowait(f"<a xmlns='{NS}' h='{self.handled}'/>")
            self.told = self.handled

    def ask(self) -> None:
        if self.connected:
            self.client.send_nowait(f"<r xmlns='{NS}'/>")

    def lose(self) -> None:
        """What came and was not read yet is lost in part. The server may notice only when the phone is back."""
        self.read(self.chance.randint(0, 4))
        if self.connected and self.chance.random() < 0.7:
            self.client.cut()
        self.connected = False

    async def resume(self) -> None:
        if self.connected:
            return
        again = self.server.unbound(BALCONY)
        answer = await again.resume_nowait(self.former.sm_id, self.handled)
        assert answer.name == "resumed", answer
        self.client, self.connected = again, True
        self.told = self.handled
        self.trim(answer)
        for number in self.unacked:
            again.send_nowait(self.stanza(number))


async def play(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    async with Harness(toml=TOML) as server:
        romeo = await server.client(ROMEO, available=True)
        client = await server.client(BALCONY, available=True)
        await client.enable()
        phone = Phone(server, client, chance)
        sent: list[int] = []
        plain: list[int] = []
        shown: list[int] = []  # presence
        for _ in range(steps):
            step = chance.choice(
                ["romeo"] * 6 + ["say"] * 3 + ["read", "acknowledge", "ask", "lose", "resume"]
            )
            if step == "romeo":
                number = len(sent)
                plain = [each for each in plain if each not in phone.got[: phone.told]]
                stored = len(plain) >= MOST_PLAIN or chance.random() < 0.6
                if stored:
                    more = ""
                else:
                    plain.append(number)
                    more = "<no-store xmlns='urn:xmpp:hints'/>"
                if not stored and chance.random() < 0.5:
                    shown.append(number)
                    romeo.send_nowait(f"<presence to='{BALCONY}' id='{number}'/>")
                else:
                    romeo.send_nowait(
                        f"<message to='{BALCONY}' type='chat' id='{number}'><body>{number}</body>{more}</message>"
                    )
                sent.append(number)
            elif step == "read":
                phone.read(chance.randint(1, 10))
                if len(plain) >= MOST_PLAIN:
                    phone.read()
                    phone.acknowledge()
            elif step == "resume":
                await phone.resume()
            else:
                getattr(phone, step)()
            match chance.randint(0, 5):
                case 0:
                    await server.settle()
                case 1:
                    await server.pass_by()
                case number:
                    for _ in range(number):
                        await asyncio.sleep(0)
        await phone.resume()
        await server.settle()
        phone.read()
        phone.acknowledge()
        phone.ask()
        await server.settle()
        phone.read()
        missing = set(sent).difference(phone.got)
        assert phone.got == [number for number in sent if number not in missing]
        # while it was away, the newest would do
        assert missing.issubset(shown[:-1])
        assert phone.unacked == []
        got = [int(each.get("id") or "") for each in romeo.received if each.name == "message"]
        assert got == phone.sent
        session = phone.client.session
        assert len(session.sm or ()) == 0
        mailbox = session.account.mailbox
        assert mailbox is not None
        assert not mailbox._given


@pytest.mark.parametrize("seed", range(40))
async def test_each_side_has_everything_once_and_in_order(seed: int) -> None:
    await play(seed, 120)


@pytest.mark.slow
async def test_many_more_interleavings() -> None:
    for seed in range(1_000, 1_050):
        await play(seed, 200)
