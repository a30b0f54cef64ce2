"""Turns: one thing after the other, and whatever happens to one of them, the next has its turn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.turns import Turns
from xmppd.routing.ticket import Ticket
from xmppd.tasks import Tasks


class Scene:
    """A room's turns, and what was done in them."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.turns = Turns("room", self.tasks)
        self.done: list[str] = []

    def quick(self, name: str) -> None:
        """Is done at once."""
        self.done.append(name)

    async def slow(self, name: str, until: Awaitable[object]) -> None:
        """Is done when ``until`` is."""
        self.done.append(f"{name} begins")
        try:
            await until
        finally:
            self.done.append(f"{name} ends")

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.tasks.aclose()
    assert scene.tasks.failures == 0


def gate() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_what_need_not_wait_is_done_at_once(scene: Scene) -> None:
    assert scene.turns.take(lambda: scene.quick("one")) is None
    assert scene.done == ["one"]
    assert scene.turns.idle


async def test_a_ticket_is_handed_on_and_holds_nobody_up(scene: Scene) -> None:
    ticket = Ticket()
    assert scene.turns.take(lambda: ticket) is ticket
    assert scene.turns.take(lambda: scene.quick("next")) is None
    assert scene.done == ["next"]
    assert not scene.turns.idle, "it is on its way into the archive"
    ticket.settle()
    assert scene.turns.idle


async def test_the_others_wait_for_what_takes_long_and_are_done_in_order(scene: Scene) -> None:
    until = gate()
    first = scene.turns.take(lambda: scene.slow("first", until))
    others = [scene.turns.take(lambda name=name: scene.quick(name)) for name in "abc"]  # type: ignore[misc]
    await scene.settle()
    assert scene.done == ["first begins"]
    assert scene.turns.wanted
    until.set_result(None)
    for each in (first, *others):
        assert each is not None
        await each
    assert scene.done == ["first begins", "first ends", "a", "b", "c"]
    assert scene.turns.idle
    assert not scene.turns.wanted


async def test_errors_go_to_whoever_asked_and_to_nobody_else(scene: Scene) -> None:
    def fail() -> None:
        raise StanzaError("conflict")

    async def fail_late() -> None:
        await asyncio.sleep(0)
        raise StanzaError("forbidden")

    with pytest.raises(StanzaError, match="conflict"):
        scene.turns.take(fail)
    assert scene.turns.idle
    late, waiting, last = (
        scene.turns.take(fail_late),
        scene.turns.take(fail),
        scene.turns.take(lambda: scene.quick("last")),
    )
    assert late is not None
    assert waiting is not None
    assert last is not None
    with pytest.raises(StanzaError, match="forbidden"):
        await late
    with pytest.raises(StanzaError, match="conflict"):
        await waiting
    await last
    assert scene.done == ["last"]
    assert scene.turns.idle


async def test_a_ticket_that_had_to_wait_tells_its_error(scene: Scene) -> None:
    until, ticket = gate(), Ticket()
    scene.turns.take(lambda: scene.slow("first", until))
    waiting = scene.turns.take(lambda: ticket)
    after = scene.turns.take(lambda: scene.quick("after"))
    until.set_result(None)
    assert waiting is not None
    assert after is not None
    await after
    ticket.settle(StanzaError("conflict"))
    with pytest.raises(StanzaError, match="conflict"):
        await waiting


async def test_what_nobody_awaits_is_done_all_the_same(scene: Scene) -> None:
    scene.turns.take(lambda: scene.slow("first", asyncio.sleep(0)))
    scene.turns.take(lambda: scene.quick("second"))
    await scene.settle()
    assert scene.done == ["first begins", "first ends", "second"]
    assert scene.turns.idle


async def test_who_is_cancelled_in_the_middle_leaves_no_half_done_work(scene: Scene) -> None:
    until = gate()

    async def ask() -> None:
        waiting = scene.turns.take(lambda: scene.slow("first", until))
        assert waiting is not None
        await waiting

    task = scene.tasks.start("asks", ask())
    await scene.settle()
    task.cancel()
    await scene.settle()
    assert scene.done == ["first begins"]
    assert not scene.turns.idle
    until.set_result(None)
    await scene.settle()
    assert scene.done == ["first begins", "first ends"]
    assert scene.turns.idle


async def test_who_is_cancelled_before_its_turn_is_passed_over(scene: Scene) -> None:
    until = gate()
    scene.turns.take(lambda: scene.slow("first", until))

    async def ask() -> None:
        waiting = scene.turns.take(lambda: scene.quick("second"))
        assert waiting is not None
        await waiting

    task = scene.tasks.start("asks", ask())
    third = scene.turns.take(lambda: scene.quick("third"))
    await scene.settle()
    task.cancel()
    await scene.settle()
    until.set_result(None)
    assert third is not None
    await third
    assert "second" not in scene.done
    assert scene.turns.idle


async def test_what_is_cancelled_from_within_does_not_stop_the_room(scene: Scene) -> None:
    """As where an action waits for something that somebody else cancels."""
    until = gate()
    first = scene.turns.take(lambda: scene.slow("first", until))
    second = scene.turns.take(lambda: scene.quick("second"))
    await scene.settle()
    until.cancel()
    assert first is not None
    assert second is not None
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert scene.done == ["first begins", "first ends", "second"]
    assert scene.turns.idle


async def test_a_turn_within_a_turn_comes_behind_it(scene: Scene) -> None:
    def outer() -> None:
        scene.done.append("outer begins")
        assert scene.turns.take(lambda: scene.quick("inner")) is not None
        scene.done.append("outer ends")

    assert scene.turns.take(outer) is None
    await scene.settle()
    assert scene.done == ["outer begins", "outer ends", "inner"]
    assert scene.turns.idle


@pytest.mark.parametrize("begun", [False, True])
async def test_the_server_stops(begun: bool, scene: Scene) -> None:
    """Everybody who waits is told, though what has the turn may not even have begun."""
    first = scene.turns.take(lambda: scene.slow("first", gate()))
    second = scene.turns.take(lambda: scene.quick("second"))
    if begun:
        await scene.settle()
    await scene.tasks.aclose()
    await scene.settle()
    for each in (first, second):
        assert each is not None
        with pytest.raises(asyncio.CancelledError):
            await each
    assert scene.done == (["first begins", "first ends"] if begun else [])
    assert scene.turns.idle


async def test_all_that_is_stored_before_is_waited_for(scene: Scene) -> None:
    ticket = Ticket()
    scene.turns.take(lambda: ticket)
    last = scene.turns.take(scene.turns.stored)
    assert last is not None
    await scene.settle()
    assert not scene.turns.idle
    ticket.settle(StanzaError("conflict"))
    await last
    assert scene.turns.idle


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_the_room_is_never_stuck(seed: int, scene: Scene) -> None:
    """Actions of all kinds, some of which fail, some of whose askers are cancelled or never look: never do two overlap,
    and in the end the room is free.
    """
    chance = random.Random(seed)
    inside = 0
    most = 0

    async def takes_long(steps: int, fails: bool) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            if fails:
                raise StanzaError("conflict")
        finally:
            inside -= 1

    def once(kind: str, fails: bool, steps: int) -> Awaitable[None] | None:
        nonlocal most
        most = max(most, inside + 1)
        if kind == "slow":
            return takes_long(steps, fails)
        if fails:
            raise StanzaError("conflict")
        if kind == "ticket":
            ticket = Ticket()
            ticket.settle()
            return ticket
        return None

    async def ask(kind: str, fails: bool, steps: int) -> None:
        try:
            waiting = scene.turns.take(lambda: once(kind, fails, steps))
            if waiting is not None:
                await waiting
        except StanzaError:
            pass

    for _ in range(60):
        kind = chance.choice(("quick", "slow", "ticket"))
        task = scene.tasks.start("asks", ask(kind, chance.random() < 0.2, chance.randrange(4)))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        if chance.random() < 0.2:
            task.cancel()
    async with asyncio.timeout(5):
        await scene.tasks.finish(None)
        await scene.settle()
    assert most == 1
    assert scene.turns.idle
