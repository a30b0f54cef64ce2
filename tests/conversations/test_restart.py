"""What is owed outlives the nodes: nothing comes twice after an orderly end, nothing is missing after a crash (I3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Harness
from tests.support.mail import JULIET, ROMEO, bodies, kept, online, say
from xmppd.xml.element import Element


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as server:
        await server.account(ROMEO)
        yield server


async def test_after_an_orderly_end_nothing_comes_twice_and_the_rest_comes(server: Harness) -> None:
    juliet = await server.client(JULIET)
    romeo = await online(server, "garden")
    await juliet.send(say(1) + say(2))
    await romeo.send("<presence type='unavailable'/>")
    await juliet.send(say(3))
    assert bodies(romeo) == ["1", "2"]
    await server.restart()
    juliet = await server.client(JULIET)
    await juliet.send(say(4))
    again = await online(server, "garden")
    again.expect(kept(3), kept(4))
    again.expect_nothing()
    await server.restart()
    assert bodies(await online(server, "garden")) == []
    assert await server.waiting(ROMEO) == 0


async def test_after_an_orderly_end_what_was_not_acknowledged_comes_again(server: Harness) -> None:
    juliet = await server.client(JULIET)
    romeo = await server.client(f"{ROMEO}/garden")
    await romeo.enable("")
    await romeo.send("<presence/>")
    await juliet.send(say(1) + say(2) + say(3))
    assert bodies(romeo) == ["1", "2", "3"]
    await romeo.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")  # its presence, and the first message
    await server.restart()
    assert bodies(await online(server, "garden")) == ["2", "3"]


async def test_after_a_crash_what_was_not_written_down_comes_again_under_the_same_name(
    server: Harness,
) -> None:
    juliet = await server.client(JULIET)
    romeo = await online(server, "garden")
    await juliet.send(say(1))
    await server.advance(16)  # cursors are written behind
    await juliet.send(say(2) + say(3))
    before = [stanza_id(element) for element in romeo.received]
    await server.restart(crash=True)
    again = await online(server, "garden")
    assert [stanza_id(element) for element in again.received] == before[1:]
    assert bodies(again) == ["2", "3"]


def stanza_id(element: Element) -> str:
    child = element.child("stanza-id", "urn:xmpp:sid:0")
    assert child is not None
    return child.attrs["id"]
