"""XEP-0430 for clients that do not read as fast as the server answers."""

from __future__ import annotations

import asyncio

from tests.support.harness import Client, Harness

ASK = "<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1'/></iq>"
NOVEL = f"<message to='juliet@capulet.lit' type='chat'><body>{'x' * 200_000}</body></message>"


async def with_novels(server: Harness, count: int) -> Client:
    """Juliet, who has not read what ``count`` friends wrote her."""
    juliet = await server.client("juliet@capulet.lit/phone", available=True)
    for number in range(count):
        friend = await server.client(f"friend{number}@capulet.lit/phone", available=True)
        await friend.send(NOVEL)
    juliet.received.clear()
    return juliet


async def test_a_client_that_does_not_read_is_given_little_at_a_time() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await with_novels(server, 4)
        juliet.stop_reading()
        for _ in range(2):
            juliet.send_nowait(ASK)
        await server.pass_by()
        assert [stanza.name for stanza in juliet.received] == ["message"]  # 64 KiB and what was begun
        juliet.read_on()
        await asyncio.sleep(0)
        await server.settle()
        assert [stanza.name for stanza in juliet.received] == [*["message"] * 4, "iq"] * 2


async def test_a_client_that_is_lost_over_its_list_hears_on_resuming_that_it_was_not_finished() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await with_novels(server, 4)
        await juliet.enable()
        juliet.stop_reading()
        juliet.send_nowait(ASK)
        await server.pass_by()
        juliet.cut()
        await server.settle()
        again = server.unbound("juliet@capulet.lit/phone")
        await again.resume(juliet, 0)
        messages, answer = again.received[:-2], again.received[-2]
        assert [stanza.name for stanza in messages] == ["message"]
        error = answer.child("error")
        assert error is not None
        assert error.attrs["type"] == "wait"
