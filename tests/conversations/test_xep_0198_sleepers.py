"""XEP-0198: all sessions without a connection together take a bounded part of the memory."""

from __future__ import annotations

from tests.support.acknowledging import ROMEO, SECRET, a, chat, sleepers
from tests.support.harness import Client, Harness

LITTLE = "[limits]\nsm_sleeping_bytes = 1048576"  # the least there is
LARGE = f"<x xmlns='urn:example'>{'x' * 100_000}</x>"


async def asleep(server: Harness, name: str) -> Client:
    client = await server.client(f"{name}@capulet.lit/phone", available=True)
    await client.enable()
    client.cut()
    return client


async def test_the_one_that_holds_most_makes_room() -> None:
    async with Harness(toml=LITTLE) as server:
        romeo = await server.client(ROMEO)
        early, full, late = [await asleep(server, name) for name in ("juliet", "nurse", "paris")]
        await romeo.send(chat("hello", str(early.jid), SECRET))
        for _ in range(9):
            await romeo.send(chat("secret", str(full.jid), SECRET + LARGE))
        assert sleepers(server) == 3
        await romeo.send(chat("secret", str(late.jid), SECRET + LARGE) * 2)
        assert full.session.over
        assert not early.session.over
        again = server.unbound(str(late.jid))
        await again.resume(late, 0)
        assert len([each for each in again.received if each.name == "message"]) == 2
        again.cut()


async def test_what_was_sent_before_it_slept_counts_and_what_was_acknowledged_does_not() -> None:
    async with Harness(toml=LITTLE) as server:
        romeo = await server.client(ROMEO)
        juliet = await server.client("juliet@capulet.lit/phone", available=True)
        await juliet.enable()
        for _ in range(3):
            await romeo.send(chat("secret", str(juliet.jid), SECRET + LARGE) * 6)
            juliet.cut()
            again = server.unbound(str(juliet.jid))
            h = int(juliet.session.sm.acknowledged if juliet.session.sm else 0)
            await again.resume(juliet, h)
            await again.send(a(h + 6))
            assert again.error is None
            juliet = again
        await romeo.send(chat("secret", str(juliet.jid), SECRET + LARGE) * 6)
        juliet.cut()
        await asleep(server, "paris")
        await romeo.send(chat("secret", "paris@capulet.lit/phone", SECRET + LARGE) * 5)
        assert juliet.session.over
        assert sleepers(server) == 1


async def test_what_the_archive_has_does_not_count() -> None:
    async with Harness(toml=LITTLE) as server:
        romeo = await server.client(ROMEO)
        for number in range(30):
            await asleep(server, f"juliet{number}")
            await romeo.send(chat("kept", f"juliet{number}@capulet.lit/phone", LARGE[:60_000] + "</x>"))
        assert sleepers(server) == 30
