"""A session whose connection is lost ends when what its client sent has been handled: until then it takes nothing."""

from __future__ import annotations

import pytest

from tests.support.harness import Harness
from tests.support.kept import HeldBack

JULIET = "juliet@capulet.lit"
BALCONY = f"{JULIET}/balcony"
ROMEO = "romeo@capulet.lit/orchard"


def chat(to: str, text: str) -> str:
    return f"<message to='{to}' type='chat' id='{text}'><body>{text}</body></message>"


@pytest.mark.parametrize("to", [JULIET, BALCONY])
async def test_what_comes_meanwhile_is_kept(to: str) -> None:
    store = HeldBack()
    async with Harness(wrap=store.wrap) as server:
        juliet = await server.client(BALCONY, available=True)
        romeo = await server.client(ROMEO, available=True)
        store.hold("append")
        romeo.send_nowait(chat(to, "0"))
        await server.pass_by()
        juliet.send_nowait(chat(ROMEO, "words"))
        romeo.send_nowait(chat(to, "1"))
        juliet.cut()
        store.let_go()
        await server.settle()
        again = await server.client(BALCONY)
        await again.send("<presence/>")
        assert [each.get("id") for each in again.received if each.name == "message"] == ["0", "1"]
        assert await server.waiting(JULIET) == 0


async def test_who_is_there_still_gets_it_once() -> None:
    store = HeldBack()
    async with Harness(wrap=store.wrap) as server:
        juliet = await server.client(BALCONY, available=True)
        other = await server.client(f"{JULIET}/chamber", available=True)
        romeo = await server.client(ROMEO, available=True)
        store.hold("append")
        romeo.send_nowait(chat(JULIET, "0"))
        await server.pass_by()
        juliet.send_nowait(chat(ROMEO, "words"))
        romeo.send_nowait(chat(JULIET, "1"))
        juliet.cut()
        store.let_go()
        await server.settle()
        assert [each.get("id") for each in other.received if each.name == "message"] == ["0", "1"]
        assert await server.waiting(JULIET) == 0
