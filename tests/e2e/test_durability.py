"""Nothing that was acknowledged is lost, nothing is doubled (DESIGN 5, I1-I5): what a sceptic would do to find out.

Fifty phones write to one another while the server is killed with -9, PostgreSQL is restarted and killed, answers to
COMMIT are lost, another writer appends to the same archives, and the network cuts connections all the time. At the end
the archives are read from the storage and compared with what every client was told (``tests/support/durability``).

``XMPPD_SEED`` repeats what is drawn by chance; how the processes meet cannot be repeated.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.durability.engines import Engine, Postgresql, Sqlite
from tests.support.durability.letters import Post
from tests.support.durability.town import Town
from tests.support.durability.troubles import happen, plan
from tests.support.durability.verdict import figures, judge


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path, post: Post) -> AsyncIterator[Engine]:
    engine: Engine = Sqlite(tmp_path) if request.param == "sqlite" else Postgresql(post)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(
    engine: Engine, post: Post, tmp_path: Path, soak: bool
) -> None:
    seed = int(os.environ.get("XMPPD_SEED") or random.SystemRandom().randrange(2**32))
    rng = random.Random(seed)
    print(f"\nXMPPD_SEED={seed}")
    async with Town.open(tmp_path, engine, post, rng, phones=50, pause=0.5) as town:
        kills, restarts = (20, 5) if soak else (4, 0) if isinstance(engine, Sqlite) else (3, 2)
        troubles = plan(town, rng, kills=kills, restarts=restarts)
        await happen(town, troubles, rng, pause=(0.5, 3.0) if soak else (0.5, 2.5))
        await town.calm()
        town.check_phones()
        archives = await judge(town)
        print(figures(town, archives))
        town.server.check_log()
