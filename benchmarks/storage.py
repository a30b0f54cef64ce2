"""What the storage costs: `python -m benchmarks.storage [seconds per line]`.

Each of N workers waits for its answer before it asks again. Appends are of 300 bytes, to a database file. CPU is that
of the whole process: the event loop and both threads of the storage.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from statistics import quantiles

from xmppd.jid import Jid
from xmppd.storage.archive import Kind, NewMessage, NewRow
from xmppd.storage.interfaces import RosterChange, RosterItem, Stores
from xmppd.storage.open import open_stores

STANZA = b"x" * 300
WARM_UP = 0.1  # of the time


async def measure(name: str, work: Callable[[], Awaitable[object]], workers: int, seconds: float) -> None:
    """Print operations per second, latency, and CPU time per operation, of workers that repeat `work`."""
    latencies: list[float] = []
    start = time.perf_counter() + seconds * WARM_UP
    cpu = 0.0

    async def worker() -> None:
        nonlocal cpu
        while (before := time.perf_counter()) < start + seconds:
            await work()
            if before >= start:
                cpu = cpu or time.process_time()
                latencies.append(time.perf_counter() - before)

    await asyncio.gather(*(worker() for _ in range(workers)))
    cpu = time.process_time() - cpu
    steps = quantiles(latencies, n=100)
    print(
        f"{name:32} {len(latencies) / seconds:8,.0f}/s   p50 {steps[49] * 1e3:7.3f} ms   p99 {steps[98] * 1e3:7.3f} ms"
        f"   {cpu / len(latencies) * 1e6:6.1f} µs CPU",
        flush=True,
    )


async def fill(stores: Stores, accounts: int, contacts: int) -> list[int]:
    """Make accounts, the first of them with contacts; their ids."""
    jids = [Jid(f"user{number}", "localhost") for number in range(accounts)]
    owners = await stores.accounts.create([(jid, {}) for jid in jids], now=0)
    await stores.rosters.update([contact(owners[0], number) for number in range(contacts)])
    return owners


def message(owner: int) -> NewMessage:
    return NewMessage(STANZA, [NewRow(owner, 0, Kind.OWED)])


def contact(owner: int, number: int) -> RosterChange:
    item = RosterItem(Jid(f"contact{number}", "localhost"), f"Contact {number}")
    return RosterChange(owner, item.jid, lambda _: item)


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory(dir=".") as directory:  # not in memory, as /tmp may be
        stores = await open_stores("sqlite:bench.db", Path(directory))
        owners = await fill(stores, accounts=1000, contacts=100)
        turn, jid = cycle(owners), Jid("user7", "localhost")
        works: list[tuple[str, Callable[[], Awaitable[object]], tuple[int, ...]]] = [
            ("archive.append", lambda: stores.archive.append([message(next(turn))]), (1, 10, 100)),
            ("accounts.get", lambda: stores.accounts.get(jid), (1, 100)),
            ("rosters.load, 100 items", lambda: stores.rosters.load(owners[0]), (1, 100)),
        ]
        for name, work, numbers in works:
            for workers in numbers:
                await measure(f"{name}, {workers} at once", work, workers, seconds)
        await stores.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
