"""XEP-0045#entering, #exit: who comes into a room, sees whom, and is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Client, Harness

ROOM = "coven@muc.shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


async def crone(server: Harness, number: int = 1) -> Client:
    return await server.client(f"crone{number}@shakespeare.lit/desktop", available=True)


def enter(nick: str, inside: str = "") -> str:
    return f"<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'>{inside}</x></presence>"


async def test_the_first_who_enters_makes_the_room(server: Harness) -> None:
    first = await crone(server)
    await first.send(enter("firstwitch"))
    first.expect(
        f"<presence from='{ROOM}/firstwitch' to='{first.jid}'>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        "<x xmlns='http://jabber.org/protocol/muc#user'>"
        f"<item affiliation='owner' role='moderator' jid='{first.jid}'/>"
        "<status code='110'/><status code='170'/><status code='201'/></x></presence>",
        f"<message type='groupchat' from='{ROOM}' to='{first.jid}'><subject/></message>",
    )
    first.expect_nothing()
