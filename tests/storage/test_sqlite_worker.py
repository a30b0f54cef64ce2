"""Group commit: how jobs share transactions, and how one that fails leaves the others alone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from xmppd.errors import UserError
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.sqlite.database import WRITES, Database


@pytest.fixture(params=["file", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "xmppd.db" if request.param == "file" else None


@pytest_asyncio.fixture
async def database(path: Path | None) -> AsyncIterator[Database]:
    database = await Database.open(path, queue_limit=2_000)
    await database.write(
        lambda connection: connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)").close()
    )
    yield database
    await database.close()


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    """Keep the writer inside a transaction; what is submitted in the block is the next one (up to its size)."""
    started, release = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        started.set()
        release.wait()

    holding = database.write(hold)
    await asyncio.to_thread(started.wait)
    try:
        yield
    finally:
        release.set()
    await holding


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT n FROM t ORDER BY n")]


async def test_jobs_that_arrive_during_a_transaction_share_the_next(database: Database) -> None:
    async with held(database):
        before = database.commits
        futures = [database.write(insert(number)) for number in range(1_000)]
    assert await asyncio.gather(*futures) == list(range(1_000))
    assert database.commits - before == 1 + -(-1_000 // WRITES)  # the one that was held, then 400 + 400 + 200
    assert await database.read(numbers) == list(range(1_000))


async def test_a_job_alone_is_committed_at_once(database: Database) -> None:
    before = database.commits
    for number in range(5):
        await database.write(insert(number))
    assert database.commits - before == 5


async def test_jobs_run_in_the_order_in_which_they_came(database: Database) -> None:
    order: list[int] = []

    def noting(number: int) -> Callable[[sqlite3.Connection], None]:
        return lambda _: order.append(number)

    await asyncio.gather(*(database.write(noting(number)) for number in range(1_000)))
    assert order == list(range(1_000))


async def test_a_job_that_fails_undoes_itself_only(database: Database) -> None:
    class Unwilling(Exception):
        pass

    def change_and_fail(connection: sqlite3.Connection) -> None:
        insert(1_000)(connection)
        connection.execute("DELETE FROM t WHERE n < 5")
        raise Unwilling

    async with held(database):
        good = [database.write(insert(number)) for number in range(5)]
        bad = database.write(change_and_fail)
        clash = database.write(insert(3))
        more = [database.write(insert(number)) for number in range(5, 10)]
    assert await asyncio.gather(*good, *more) == list(range(10))
    with pytest.raises(Unwilling):
        await bad
    with pytest.raises(sqlite3.IntegrityError):  # a bug of the program, not an outage
        await clash
    assert await database.read(numbers) == list(range(10))


async def test_an_error_that_a_future_cannot_carry_reaches_its_caller_too(database: Database) -> None:
    def stop(_: sqlite3.Connection) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await database.write(stop)
    assert await database.write(insert(1)) == 1


async def test_a_job_that_meddles_with_the_transaction_fails_its_batch_but_not_the_writer(
    database: Database,
) -> None:
    async with held(database):
        before = database.write(insert(1))
        meddler = database.write(lambda connection: connection.execute("ROLLBACK").close())
        after = database.write(insert(2))
    for future in (before, meddler, after):
        with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
            await future
    assert await database.read(numbers) == []
    assert await database.write(insert(3)) == 3


async def test_the_queue_is_bounded(database: Database) -> None:
    async with held(database):
        waiting = [database.write(insert(number)) for number in range(1_999)]
        with pytest.raises(StorageUnavailable, match=r"overloaded: 2000 operations wait.*try again later"):
            database.write(insert(2_000))
    await asyncio.gather(*waiting)
    assert await database.write(insert(2_000)) == 2_000


async def test_an_abandoned_job_is_done_all_the_same(database: Database) -> None:
    async with held(database):
        abandoned = [database.write(insert(number)) for number in range(3)]
        for future in abandoned:
            future.cancel()
        kept = database.write(insert(3))
    assert await kept == 3
    assert await database.read(numbers) == [0, 1, 2, 3]


async def test_closing_commits_what_is_queued(database: Database) -> None:
    async with held(database):
        futures = [database.write(insert(number)) for number in range(1_000)]
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        assert not closing.done()
    await closing
    assert [future.result() for future in futures] == list(range(1_000))


async def test_closing_can_be_cancelled_and_repeated(database: Database) -> None:
    async with held(database):
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        assert closing.cancelled()
    await database.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        database.write(insert(1))


async def test_it_belongs_to_the_loop_that_opened_it(database: Database) -> None:
    async def stranger() -> None:
        with pytest.raises(RuntimeError, match="belongs to the event loop that opened it"):
            database.write(insert(1))
        with pytest.raises(RuntimeError, match="belongs to the event loop that opened it"):
            database.read(numbers)

    await asyncio.to_thread(asyncio.run, stranger())


# ---- a file has a reader of its own


@pytest_asyncio.fixture
async def file(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "xmppd.db")
    await database.write(
        lambda connection: connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)").close()
    )
    yield database
    await database.close()


async def test_reads_do_not_wait_for_the_writer_and_see_only_what_is_committed(file: Database) -> None:
    written, release = threading.Event(), threading.Event()

    def write_and_wait(connection: sqlite3.Connection) -> None:
        insert(1)(connection)
        written.set()
        release.wait()

    writing = file.write(write_and_wait)
    await asyncio.to_thread(written.wait)
    assert await file.read(numbers) == []
    release.set()
    await writing
    assert await file.read(numbers) == [1]


async def test_a_read_sees_one_state_from_beginning_to_end(file: Database) -> None:
    begun, release = threading.Event(), threading.Event()

    def read_twice(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
        first = numbers(connection)
        begun.set()
        release.wait()
        return first, numbers(connection)

    reading = file.read(read_twice)
    await asyncio.to_thread(begun.wait)
    await file.write(insert(1))
    release.set()
    assert await reading == ([], [])
    assert await file.read(numbers) == [1]


async def test_a_read_cannot_write(file: Database) -> None:
    with pytest.raises(StorageUnavailable, match="readonly"):
        await file.read(insert(1))


async def test_a_read_that_fails_leaves_others_alone(file: Database) -> None:
    results = await asyncio.gather(
        file.read(numbers),
        file.read(lambda connection: connection.execute("SELECT * FROM nothing").fetchall()),
        file.read(numbers),
        return_exceptions=True,
    )
    assert isinstance(results[1], sqlite3.OperationalError)
    assert results[0] == results[2] == []


async def test_the_write_ahead_log_is_gone_after_closing(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "xmppd.db")
    await database.write(lambda connection: connection.execute("CREATE TABLE t (n)").close())
    assert {path.name for path in tmp_path.iterdir()} == {"xmppd.db", "xmppd.db-wal", "xmppd.db-shm"}
    await database.close()
    assert {path.name for path in tmp_path.iterdir()} == {"xmppd.db"}


async def test_commits_are_synchronous(file: Database) -> None:
    """Durable across power loss: 2 is FULL; 1, NORMAL, is not."""

    def settings(connection: sqlite3.Connection) -> tuple[object, ...]:
        return tuple(
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        )

    assert await file.write(settings) == ("wal", 2)


async def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(UserError, match=r"SQLite 3\.37 or newer is needed"):
        await Database.open(tmp_path / "xmppd.db")
