"""What goes wrong, in which order: drawn from a seed, one trouble after the other, cuts all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from tests.support.durability.engines import Postgresql
from tests.support.durability.town import Town

Trouble = Callable[[], Awaitable[None]]


def plan(town: Town, rng: Random, *, kills: int, restarts: int) -> list[Trouble]:
    """So many ``kills`` of the server, ``restarts`` of the database and about as many lost answers, shuffled."""
    ways = (town.kill, town.kill_in_commit, town.kill_in_commit, town.kill_late)
    troubles: list[Trouble] = [ways[number % 4] for number in range(kills)]
    engine = town.engine
    if isinstance(engine, Postgresql):
        troubles += [engine.kill if number % 2 else engine.restart for number in range(restarts)]
        troubles += [engine.swallow] * restarts
        troubles += [engine.hole] * max(1, restarts // 2)
    rng.shuffle(troubles)
    if isinstance(engine, Postgresql):
        troubles.append(engine.hole)  # one after which nobody is killed: only deliveries fill it
    return troubles


async def happen(town: Town, troubles: Sequence[Trouble], rng: Random, *, pause: tuple[float, float]) -> None:
    """Let ``troubles`` happen, with a ``pause`` between any two of them; cut connections all the while."""
    cutting = asyncio.create_task(_cut(town, rng))
    try:
        for trouble in troubles:
            await asyncio.sleep(rng.uniform(*pause))
            await trouble()
        await asyncio.sleep(pause[1])
    finally:
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)


async def _cut(town: Town, rng: Random) -> None:
    while True:
        await asyncio.sleep(rng.expovariate(1 / town.cut_pause))
        town.network.cut()
