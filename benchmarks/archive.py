"""What appending to the archive costs: `python -m benchmarks.archive [URL] [seconds per line]`.

Each line appends batches of N messages with two rows, one batch after the other, for 1,000 accounts, which are
deleted in the end. It shows the CPU time of this process, and of all processes of PostgreSQL on this machine where the
URL is that of one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from typing import Final

import uvloop

from benchmarks.corpus import Corpus
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, peer_key
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores

ACCOUNTS: Final = 1_000
BATCHES: Final = (1, 10, 100, 200)  # messages of two rows
WARM_UP: Final = 0.2  # seconds

_TICK: Final = os.sysconf("SC_CLK_TCK")


def messages(owners: Sequence[int]) -> Iterator[NewMessage]:
    """Chat between random pairs, without end."""
    texts = cycle(list(Corpus(3).messages(5_000)))
    pairs = cycle([(owners[n], owners[(n * 7 + 3) % len(owners)]) for n in range(len(owners))])
    keys = {owner: peer_key(Jid(f"user{owner}", "localhost")) for owner in owners}
    while True:
        sender, to = next(pairs)
        yield NewMessage(
            next(texts), (NewRow(sender, keys[to] | 1), NewRow(to, keys[sender] | 2, 1)), origin=1
        )


def cpu_of(pids: Sequence[int]) -> float:
    """Seconds of CPU that these processes have used."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def postgres_processes() -> list[int]:
    """All processes of PostgreSQL servers on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == "postgres":
                    found.append(int(entry.name))
            except FileNotFoundError:
                pass
    return found


async def measure(
    stores: Stores, size: int, source: Iterator[NewMessage], seconds: float, database: bool
) -> None:
    latencies: list[float] = []
    start = time.perf_counter() + WARM_UP
    rows = 0
    cpu = server = 0.0
    while (before := time.perf_counter()) < start + seconds:
        batch = [next(source) for _ in range(size)]
        before = time.perf_counter()
        if before >= start and not latencies:
            cpu, server = time.process_time(), cpu_of(postgres_processes()) if database else 0.0
        await stores.archive.append(batch)
        if before >= start:
            latencies.append(time.perf_counter() - before)
            rows += 2 * size
    cpu, server = time.process_time() - cpu, (cpu_of(postgres_processes()) - server) if database else 0.0
    steps = quantiles(latencies, n=100)
    print(
        f"{size:4} messages, {2 * size:4} rows {rows / seconds:8,.0f} rows/s   p50 {steps[49] * 1e3:7.3f} ms"
        f"   p99 {steps[98] * 1e3:7.3f} ms   {cpu / rows * 1e6:6.1f} µs CPU a row here"
        + (f"   {server / rows * 1e6:6.1f} µs in PostgreSQL" if database else ""),
        flush=True,
    )


async def run(url: str, base: Path, seconds: float) -> None:
    stores = await open_stores(url, base)
    jids = [Jid(f"bench{number}", f"b{os.getpid()}.example") for number in range(ACCOUNTS)]
    owners = await stores.accounts.create([(jid, {}) for jid in jids], now=0)
    source = messages(owners)
    for size in BATCHES:
        await measure(stores, size, source, seconds, url.startswith("postgres"))
    for jid in jids:
        await stores.accounts.delete(jid)
    await stores.close()


def main(arguments: Sequence[str]) -> None:
    url = next((argument for argument in arguments if ":" in argument), "")
    seconds = next((float(argument) for argument in arguments if ":" not in argument), 3.0)
    with tempfile.TemporaryDirectory(dir=".") as directory:  # not in memory, as /tmp may be
        uvloop.run(run(url or "sqlite:bench.db", Path(directory), seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
