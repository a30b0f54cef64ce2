"""The cache that accounts and rosters live in: one load at a time, never anything stale, one object for all."""

from __future__ import annotations

import asyncio
import random

import pytest

from xmppd.sessions.cache import Cache


class Box:
    """A value; two boxes are the same only if they are one object."""

    def __init__(self, version: int) -> None:
        self.version = version


class Source:
    """A storage whose reads are held back until the test lets them go; each reads when it is let go."""

    def __init__(self) -> None:
        self.version = 1
        self.reads = 0
        self.waiting: list[asyncio.Future[None]] = []
        self.error: Exception | None = None

    async def load(self, key: str) -> Box:
        self.reads += 1
        seen = self.version
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate
        if self.error is not None:
            raise self.error
        return Box(seen)

    async def let_go(self, index: int = 0) -> None:
        gate = self.waiting.pop(index)
        if not gate.done():
            gate.set_result(None)
        await passes()


async def passes() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def start(cache: Cache[str, Box], number: int = 1) -> list[asyncio.Task[Box]]:
    tasks = [asyncio.get_running_loop().create_task(cache.get("k")) for _ in range(number)]
    await passes()
    return tasks


async def test_however_many_ask_it_is_loaded_once() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    tasks = await start(cache, 20)
    assert source.reads == 1
    await source.let_go()
    boxes = await asyncio.gather(*tasks)
    assert len(set(boxes)) == 1
    assert cache.peek("k") is boxes[0]
    assert await cache.get("k") is boxes[0]
    assert source.reads == 1


async def test_what_was_forgotten_while_it_was_being_loaded_nobody_gets() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    early = await start(cache, 3)
    source.version = 2
    cache.forget("k")
    late = await start(cache, 3)
    assert source.reads == 2
    await source.let_go()  # the old read: no one has it yet
    assert not any(task.done() for task in early + late)
    await source.let_go()
    boxes = await asyncio.gather(*early, *late)
    assert {box.version for box in boxes} == {2}
    assert len(set(boxes)) == 1
    assert cache.peek("k") is boxes[0]
    assert source.reads == 2


async def test_two_loads_of_one_key_do_not_chase_each_other_for_ever() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    (first,) = await start(cache)
    cache.forget("k")
    (second,) = await start(cache)
    for _ in range(4):
        if source.waiting:
            await source.let_go()
    assert first.done()
    assert second.done()
    assert await first is await second
    assert source.reads == 2


async def test_who_wakes_up_late_does_not_get_what_was_forgotten_since() -> None:
    """The load is done, and forgotten in the same moment, before those who waited for it have run."""
    source = Source()
    cache = Cache(source.load, 10)
    tasks = await start(cache, 2)
    gate = source.waiting.pop()
    gate.set_result(None)
    await asyncio.sleep(0)
    old = cache.forget("k")
    await passes()
    assert await tasks[0] is old, "who loaded it had it before it was forgotten"
    assert not tasks[1].done()
    await source.let_go()
    assert await tasks[1] is cache.peek("k")


async def test_all_who_wait_are_told_of_a_failure_and_the_next_one_tries_again() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    tasks = await start(cache, 3)
    source.error = OSError("the disk is gone")
    await source.let_go()
    assert [str(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [
        "the disk is gone"
    ] * 3
    assert source.reads == 1
    source.error = None
    (task,) = await start(cache)
    await source.let_go()
    assert (await task).version == 1


async def test_a_failure_nobody_waits_for_is_not_lost_and_not_told_twice() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    (task,) = await start(cache)
    source.error = OSError("once")
    await source.let_go()
    with pytest.raises(OSError, match="once"):
        await task
    assert cache.peek("k") is None


async def test_a_failure_of_a_load_that_was_forgotten_is_no_failure() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    (task,) = await start(cache)
    cache.forget("k")
    source.error = OSError("too early")
    await source.let_go()
    source.error = None
    await source.let_go()
    assert (await task).version == 1


async def test_who_loads_may_be_cancelled_and_the_others_still_get_it() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    tasks = await start(cache, 3)
    tasks[0].cancel()
    await passes()
    source.waiting.pop(0)  # it was cancelled with its reader
    await source.let_go()
    boxes = await asyncio.gather(*tasks[1:])
    assert len(set(boxes)) == 1


async def test_who_waits_may_be_cancelled_without_cancelling_the_load() -> None:
    source = Source()
    cache = Cache(source.load, 10)
    tasks = await start(cache, 3)
    tasks[1].cancel()
    await passes()
    await source.let_go()
    assert await tasks[0] is await tasks[2]
    assert tasks[1].cancelled()


async def test_the_one_loaded_longest_ago_makes_room_and_somebody_is_told() -> None:
    evicted: list[tuple[str, str]] = []

    async def load(key: str) -> str:
        return key.upper()

    cache = Cache(load, 2, lambda key, value: evicted.append((key, value)))
    for key in "abab":
        await cache.get(key)
    assert evicted == []
    await cache.get("c")
    assert (len(cache), evicted) == (2, [("a", "A")])
    assert (cache.peek("a"), cache.peek("b"), cache.peek("c")) == (None, "B", "C")
    assert cache.forget("b") == "B"
    await cache.get("d")
    assert evicted == [("a", "A")], "what was forgotten has not been evicted"


@pytest.mark.parametrize("seed", range(30))
async def test_nobody_ever_gets_what_was_changed_before_they_asked(seed: int) -> None:
    """Random readers, writers, cancellations and a cache of one; each round interleaves them in another way."""
    rng = random.Random(seed)
    truth = dict.fromkeys("xyz", 0)

    async def load(key: str) -> Box:
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        seen = truth[key]
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        return Box(seen + 1)

    cache: Cache[str, Box] = Cache(load, rng.choice((1, 2, 10)))

    async def read(key: str) -> None:
        committed = truth[key]
        box = await cache.get(key)
        assert box.version > committed
        assert cache.peek(key) is box, "two who ask at the same time must share one object"

    async def change(key: str) -> None:
        truth[key] += 1
        cache.forget(key)

    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    for _ in range(200):
        key = rng.choice("xyz")
        tasks.append(loop.create_task(change(key) if rng.random() < 0.2 else read(key)))
        if rng.random() < 0.1:
            rng.choice(tasks).cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error for error in done if error and not isinstance(error, asyncio.CancelledError)] == []
    assert not cache._loading
