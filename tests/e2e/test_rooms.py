"""A group of a hundred real connections: all see all messages, once and in one order, whatever becomes of some."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.process import DOMAIN, ServerProcess
from tests.support.wire import Wire, Wires
from xmppd.xml.element import Element

ROOM = f"coven@muc.{DOMAIN}"
OWNER = "http://jabber.org/protocol/muc#owner"
PEOPLE = 100
SENDERS = 4
EACH = 10


@pytest.fixture
def town(tmp_path: Path) -> ServerProcess:
    names = [f"witch{number}" for number in range(PEOPLE)]
    limits = {
        "send_buffer_bytes": 262_144,
        "connections_per_address": 500,
        "unauthenticated_per_address": 500,
    }
    return ServerProcess(tmp_path, accounts=names, limits=limits)


def enter(number: int) -> str:
    return f"<presence to='{ROOM}/n{number}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"


async def attend(wires: Wires, number: int) -> Wire:
    wire = await wires.login(
        f"witch{number}/home", mechanism="PLAIN", receive_buffer=4_096 if number == 99 else 0
    )
    await wire.send(enter(number))
    await wire.until(lambda got: got.name == "message" and got.child("subject") is not None)
    return wire


async def listen(wire: Wire, last: str) -> list[str]:
    """The texts of the messages to the room, up to ``last``."""

    def text(got: Element) -> str:
        body = got.child("body")
        return "" if got.name != "message" or body is None else body.text()

    end = await wire.until(lambda got: text(got) == last)
    return [found for got in (*wire.passed, end) if (found := text(got))]


async def test_a_group_of_a_hundred(town: ServerProcess) -> None:
    """One of them never reads; two are cut off and come back; several speak at once."""
    with town.running():
        async with Wires(town) as wires:
            first = await attend(wires, 0)
            form = f"<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'/></query>"
            await first.send(f"<iq type='set' id='made' to='{ROOM}'>{form}</iq>")
            await first.until(lambda got: got.name == "iq")
            people = [first]
            for begin in range(1, PEOPLE, 11):
                numbers = range(begin, min(begin + 11, PEOPLE))
                people += await asyncio.gather(*(attend(wires, number) for number in numbers))
            people[-1].stop_reading()
            for number in (97, 98):
                people[number].reset()

            async def speak(number: int) -> None:
                for count in range(EACH):
                    await people[number].send(
                        f"<message type='groupchat' to='{ROOM}'><body>{number}-{count} {'x' * 2_000}</body></message>"
                    )

            await asyncio.gather(*(speak(number) for number in range(SENDERS)))
            back = await asyncio.gather(*(attend(wires, number) for number in (97, 98)))
            await first.send(f"<message type='groupchat' to='{ROOM}'><body>last</body></message>")
            heard = await asyncio.gather(*(listen(wire, "last") for wire in people[:97]))
            await asyncio.gather(*(listen(wire, "last") for wire in back))
    said = heard[0]
    assert len(said) == SENDERS * EACH + 1
    for number in range(SENDERS):
        own = [text.split()[0] for text in said if text.startswith(f"{number}-")]
        assert own == [f"{number}-{count}" for count in range(EACH)]
    assert all(each == said for each in heard)
