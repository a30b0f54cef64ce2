"""How many messages wait for somebody, and how long (XEP-0160)."""

from __future__ import annotations

import asyncio
from secrets import token_hex

import pytest

from tests.support.harness import STUCK_SECONDS, Harness
from tests.support.kept import HeldBack
from tests.support.mail import DAY, JULIET, ROMEO, bodies, online, presence, refusal, say, says, texts
from xmppd.im.mailbox import Mailbox


@pytest.fixture
def store() -> HeldBack:
    return HeldBack()


@pytest.mark.parametrize("known", [True, False], ids=["the account is in memory", "it is not"])
async def test_beyond_the_limit_the_sender_is_told_and_the_older_ones_stay(known: bool) -> None:
    """However fast they come: what is on its way into the archive counts too."""
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 2") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        if known:
            await juliet.send(f"<message to='{ROMEO}' type='headline'/>")
        await juliet.send(say(1) + say(2) + say(3))
        juliet.expect(refusal(3, "service-unavailable"))
        juliet.expect_nothing()
        assert bodies(await online(server, "orchard")) == ["1", "2"]
        await juliet.send(say(4))
        juliet.expect_nothing()


async def test_the_limit_holds_while_somebody_is_there_who_takes_no_messages() -> None:
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 2") as server:
        juliet = await server.client(JULIET)
        romeo = await online(server, "orchard")
        await juliet.send(say(1) + say(2) + say(3))
        assert bodies(romeo) == ["1", "2", "3"]
        for leaving in (presence(-1), "<presence type='unavailable'/>"):
            await romeo.send(leaving)
            await juliet.send(say(4) + say(5) + say(6))
            juliet.expect(refusal(6, "service-unavailable"))
            juliet.expect_nothing()
            await romeo.send(presence())
            assert bodies(romeo) == ["4", "5"]


async def test_what_was_not_taken_counts_when_its_reader_was_cut_off() -> None:
    """He got some of it and was gone before he had read that: it waits as before, and so does the rest."""
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 30") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        await juliet.send(says(0, 29))
        connected = await server.client(f"{ROMEO}/connected")  # keeps the account in memory
        romeo = await server.client(f"{ROMEO}/orchard")
        romeo.stop_reading()
        romeo.send_nowait(presence())
        await server.pass_by()
        await romeo.close()
        await juliet.send(say(29) + say(30))
        juliet.expect(refusal(30, "service-unavailable"))
        juliet.expect_nothing()
        await connected.send(presence())
        assert bodies(connected) == texts(0, 30)


async def until_sure(box: Mailbox) -> None:
    """Until the mailbox takes its number for the right one, and not later: who comes then does not count again."""
    async with asyncio.timeout(STUCK_SECONDS):
        while box.unsure:  # noqa: ASYNC110 - it is set on the way, and nobody is told
            await asyncio.sleep(0)


async def test_nobody_is_turned_away_while_those_that_wait_are_being_counted() -> None:
    async with Harness("capulet.lit") as server:
        romeo = await server.client(f"{ROMEO}/connected")
        people = [await server.client(f"{name}@capulet.lit/street") for name in ("paris", "tybalt", "nurse")]
        box = romeo.session.account.mailbox
        assert box is not None
        box.lose_count()
        for person in people:
            person.send_nowait(say(1))
            await until_sure(box)
        await server.settle()
        for person in people:
            person.expect_nothing()
        assert await server.waiting(ROMEO) == 3


async def test_a_message_that_could_not_be_stored_takes_no_room(store: HeldBack) -> None:
    async with Harness("capulet.lit", wrap=store.wrap, toml="[limits]\noffline_messages = 2") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        await juliet.send(f"<message to='{ROMEO}' type='headline'/>")  # so that the account is in memory
        store.hold("append")
        juliet.send_nowait(says(0, 4))
        await server.pass_by()
        store.fail("append")
        store.let_go()
        await server.settle()
        for number in (2, 3):
            juliet.expect(refusal(number, "service-unavailable"))
        for number in (0, 1):
            juliet.expect(refusal(number, "resource-constraint", type="wait"))
        juliet.expect_nothing()
        store.recover()
        await juliet.send(say(1) + say(2))
        juliet.expect_nothing()
        assert bodies(await online(server, "orchard")) == ["1", "2"]


@pytest.mark.parametrize("watched", [True, False], ids=["the account stays in memory", "it does not"])
async def test_expired_messages_are_not_delivered_and_make_room(watched: bool) -> None:
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 2\noffline_days = 7") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        if watched:
            await server.client(f"{ROMEO}/connected")
        await juliet.send(say(1))
        await server.advance(DAY)
        await juliet.send(say(2))
        await server.advance(6 * DAY - 100)
        assert await server.waiting(ROMEO) == 2
        await juliet.send(say(3))
        juliet.expect(refusal(3, "service-unavailable"))
        await server.advance(101)
        assert await server.waiting(ROMEO) == 1
        await juliet.send(say(4))
        juliet.expect_nothing()
        assert bodies(await online(server, "orchard")) == ["2", "4"]
        await server.advance(20 * DAY)
        assert await server.waiting(ROMEO) == 0


async def test_without_bound_they_wait_for_years() -> None:
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 0\noffline_days = 0") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        await juliet.send(says(0, 2_000))
        juliet.expect_nothing()
        await server.advance(4_000 * DAY)
        assert bodies(await online(server, "orchard")) == texts(0, 2_000)


async def test_who_reads_is_sent_more_than_the_limit() -> None:
    """The limit is for those who are away: a sender is not turned away because what is kept is still being read."""
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 2") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        await juliet.send(say(1) + say(2))
        romeo = await server.client(f"{ROMEO}/orchard")
        romeo.stop_reading()
        romeo.send_nowait("<presence/>")
        await server.pass_by()
        juliet.send_nowait(say(3) + say(4) + say(5))
        await server.pass_by()
        romeo.read_on()
        await server.settle()
        juliet.expect_nothing()
        assert bodies(romeo) == ["1", "2", "3", "4", "5"]


async def test_large_messages_fill_a_mailbox_too() -> None:
    """As they are stored: half of what these are as text. At most four may wait unseen, however large they are."""
    async with Harness("capulet.lit", toml="[limits]\noffline_bytes = 1_048_576") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)

        async def taken(number: int) -> int:
            """How many of so many large ones."""
            for _ in range(number):
                await juliet.send(f"<message to='{ROMEO}'><body>{token_hex(100_000)}</body></message>")
            refused = len(juliet.received)
            juliet.received.clear()
            return number - refused

        assert await taken(12) == 8, "4 that take 100 KB each, and 4 of which only the length is known yet"
        await server.advance(61)
        assert await taken(5) == 2, "8 that take 100 KB each, and 2"
        await online(server, "orchard")
        await server.advance(61)
        assert await taken(12) == 12
