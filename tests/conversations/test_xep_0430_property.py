"""Whatever happens in whichever order, the chat list counts what its words say: the texts that somebody sent, that were
not taken back, behind the last one that was answered or marked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tests.support.harness import Client, Harness
from xmppd.im import chat_list

DOMAIN = "capulet.lit"
JULIET = f"juliet@{DOMAIN}"
FRIENDS = ("romeo", "nurse", "paris")
ACTS = (
    "hear",
    "correct",
    "answer",
    "mark",
    "mark in secret",
    "react",
    "receive",
    "take back",
    "note",
    "look",
)
WEIGHTS = (30, 3, 6, 8, 5, 4, 4, 8, 2, 10)


@dataclass
class Talk:
    """A conversation as it should be: the ids of texts, in order (None: not of the friend, or taken back)."""

    friend: Client
    texts: list[str | None] = field(default_factory=list)
    named: list[str] = field(default_factory=list)  # the same, whatever became of it
    read: int = 0  # so many of them

    def hear(self, id: str) -> None:
        self.texts.append(id)
        self.named.append(id)

    def answer(self, id: str) -> None:
        self.texts.append(None)
        self.named.append("")
        self.read = len(self.texts)

    def mark(self, id: str) -> None:
        newest = max(place for place, name in enumerate(self.named, 1) if name == id)
        self.read = max(self.read, newest)

    def take_back(self, id: str) -> None:
        self.texts[self.texts.index(id)] = None

    @property
    def heard(self) -> list[str]:
        return [name for name in self.named if name]

    @property
    def unread(self) -> int:
        return sum(text is not None for text in self.texts[self.read :])


class Play:
    def __init__(
        self, server: Harness, chance: random.Random, devices: list[Client], talks: dict[str, Talk]
    ) -> None:
        self._server = server
        self._chance = chance
        self._devices = devices
        self._talks = talks
        self._count = 0

    async def act(self) -> None:
        self._count += 1
        chance, id = self._chance, f"m{self._count}"
        name = chance.choice(FRIENDS)
        talk, device = self._talks[name], chance.choice(self._devices)
        match chance.choices(ACTS, WEIGHTS)[0]:
            case "hear":
                id = chance.choice([id, id, id, "again"])  # some clients count their ids from 1 again
                await self._say(talk.friend, JULIET, id, "<body>text</body>")
                talk.hear(id)
            case "correct":
                await self._say(
                    talk.friend,
                    JULIET,
                    id,
                    _about("replace", "urn:xmpp:message-correct:0") + "<body>x</body>",
                )
            case "answer":
                await self._say(device, f"{name}@{DOMAIN}", id, "<body>answer</body>")
                talk.answer(id)
            case ("mark" | "mark in secret") as how if talk.heard:
                shown = chance.choice(talk.heard)
                hint = "<no-store xmlns='urn:xmpp:hints'/>" if how == "mark in secret" else ""
                marker = _about("displayed", "urn:xmpp:chat-markers:0", shown)
                await self._say(device, f"{name}@{DOMAIN}", id, marker + hint)
                talk.mark(shown)
            case "react":
                await self._say(talk.friend, JULIET, id, _about("reactions", "urn:xmpp:reactions:0"))
            case "receive":
                await self._say(device, f"{name}@{DOMAIN}", id, _about("received", "urn:xmpp:receipts"))
            case "take back" if single := [text for text in talk.texts if text and text != "again"]:
                text = chance.choice(single)
                await self._say(
                    talk.friend, JULIET, id, _about("retract", "urn:xmpp:message-retract:1", text)
                )
                talk.take_back(text)
            case "note":
                await self._say(device, JULIET, id, "<body>note</body>")
            case "look":
                await self.look(device)
        self._server.clock.advance(1)

    async def _say(self, client: Client, to: str, id: str, content: str) -> None:
        await client.send(f"<message to='{to}' type='chat' id='{id}'>{content}</message>")
        await self._server.settle()

    async def look(self, device: Client) -> None:
        device.received.clear()
        await device.send("<iq type='get' id='q'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
        entries = [message.child("entry", "urn:xmpp:inbox:1") for message in device.received[:-1]]
        listed = {
            entry.attrs["jid"].partition("@")[0]: int(entry.attrs["unread"]) for entry in entries if entry
        }
        listed.pop("juliet", None)
        assert listed == {name: talk.unread for name, talk in self._talks.items() if talk.named}


def _about(name: str, space: str, id: str = "m1") -> str:
    return f"<{name} xmlns='{space}' id='{id}'/>"


async def play(seed: int) -> None:
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        # So that few messages cross the borders that many do.
        for bound, values in (
            ("_REWRITE", (1, 3, 10, 200)),
            ("_SCAN", (2, 7, 5_000)),
            ("_MARKERS", (1, 2, 500)),
        ):
            patch.setattr(chat_list, bound, chance.choice(values))
        async with Harness(DOMAIN) as server:
            devices = [
                await server.client(f"{JULIET}/{name}", available=True) for name in ("phone", "tablet")
            ]
            talks = {
                name: Talk(await server.client(f"{name}@{DOMAIN}/x", available=True)) for name in FRIENDS
            }
            play = Play(server, chance, devices, talks)
            for _ in range(chance.randrange(10, 60)):
                await play.act()
            await play.look(devices[0])


@pytest.mark.parametrize("seed", range(20))
async def test_the_list_counts_what_is_unread(seed: int) -> None:
    await play(seed)


async def test_many_more(soak: bool) -> None:
    for seed in range(1_000, 2_000 if soak else 1_010):
        await play(seed)
