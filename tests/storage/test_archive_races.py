"""Invariant I4 where several processes write at once, on PostgreSQL: whoever reads behind the last id misses nothing.

SQLite has one writer. The test shows that it would see the fault: it sees it where the function takes no locks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.storage.parts import add_account
from tests.support.postgres import fresh_database
from xmppd.storage.archive import Query, Row
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores

WRITERS = 4
MESSAGES = 60  # of each, in a round
ROUNDS = 8

LOCK = "PERFORM pg_advisory_xact_lock(-o) FROM unnest(owners) AS o;"


@dataclass
class Seen:
    """What a reader saw of one owner, and what is there in the end."""

    rows: list[Row]
    there: list[Row]

    @property
    def is_right(self) -> bool:
        if self.rows != self.there or len(self.there) != WRITERS * MESSAGES:
            return False
        for writer in range(WRITERS):  # each one's in the order in which they were written
            numbers = [
                int(row.stanza.split(b".")[1]) for row in self.rows if row.stanza.startswith(b"%d." % writer)
            ]
            if numbers != sorted(set(numbers)):
                return False
        return True


@asynccontextmanager
async def writer(url: str, number: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.storage.write", url, str(number),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def write(process: asyncio.subprocess.Process, owners: list[int]) -> bool:
    """Let it write; False if it could not."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(" ".join(map(str, [*owners, MESSAGES])).encode() + b"\n")
    return await process.stdout.readline() == b"done\n"


async def follow(stores: Stores, owner: int, done: asyncio.Event) -> list[Row]:
    """Read page by page behind the last id, until everything was written."""
    seen: list[Row] = []
    ended = False
    while not ended:
        ended = done.is_set()  # one more look after the last append
        while page := await stores.archive.read(owner, Query(after=seen[-1].id if seen else 0), limit=7):
            seen += page
    return seen


async def rounds(url: str, number: int) -> AsyncGenerator[list[Seen], None]:
    """In each round, what the readers of two owners saw while the writers wrote for both; an empty list: one failed."""
    stores = await open_stores(url, Path("/"))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(stores.close)
        processes = [await stack.enter_async_context(writer(url, name)) for name in range(WRITERS)]
        for turn in range(number):
            owners = [await add_account(stores, f"user{turn}.{each}@capulet.example") for each in range(2)]
            done = asyncio.Event()
            readers = [asyncio.create_task(follow(stores, owner, done)) for owner in owners]
            # Some name the owners in another order: whoever locks in that order waits in a circle with others.
            wrote = await asyncio.gather(
                *(write(process, owners[:: 1 if name % 2 else -1]) for name, process in enumerate(processes))
            )
            done.set()
            seen = await asyncio.gather(*readers)
            there = [await stores.archive.read(owner, Query(), limit=10_000) for owner in owners]
            yield [Seen(*each) for each in zip(seen, there, strict=True)] if all(wrote) else []


async def prepared(*, locks: bool) -> str:
    """A database whose function takes some time between its INSERT and COMMIT, as it does where disks are slow."""
    url = await fresh_database()
    connection = await asyncpg.connect(url)
    text = await connection.fetchval("SELECT pg_get_functiondef('archive_append'::regproc)")
    assert text.count(LOCK) == text.count("\nEND\n") == 1
    text = text.replace("\nEND\n", "\nPERFORM pg_sleep(random() * 0.004);\nEND\n")
    await connection.execute(text if locks else text.replace(LOCK, ""))
    await connection.close()
    return url


async def test_a_reader_beside_four_writers_misses_nothing() -> None:
    async for seen in rounds(await prepared(locks=True), ROUNDS):
        assert seen
        assert all(each.is_right for each in seen)


async def test_that_test_would_see_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Without the locks, messages are missed, or two get the same id."""
    wrong = False
    async with aclosing(rounds(await prepared(locks=False), 10 * ROUNDS)) as every:
        async for seen in every:
            wrong = not seen or not all(each.is_right for each in seen)
            if wrong:
                break
    assert wrong
    capfd.readouterr()  # a writer that failed said so
