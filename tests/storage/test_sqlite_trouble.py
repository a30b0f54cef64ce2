"""When the world outside fails: the error names file, cause and remedy, and all is well when the cause is gone."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.storage.parts import add_account
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, NewMessage, NewRow
from xmppd.storage.interfaces import AccountExists, StorageUnavailable, Stores
from xmppd.storage.open import sqlite_stores
from xmppd.storage.sqlite.database import Database

JULIET = Jid.parse("juliet@capulet.example")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "xmppd.db"


@pytest_asyncio.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, busy_timeout=0.01)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def stores(database: Database) -> Stores:
    return sqlite_stores(database)


@pytest_asyncio.fixture
async def owner(stores: Stores) -> int:
    return await add_account(stores, str(JULIET))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writing a file beyond ``size`` bytes fails, as on a disk that is full (`ulimit -f`); Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def kept(stores: Stores, owner: int) -> list[int]:
    rows, newest = await stores.archive.owed(owner, after=0, limit=100_000)
    ids = [row.id for row in rows]
    assert newest == max(ids, default=0)
    return ids


async def append(stores: Stores, owner: int, size: int) -> int:
    """Store a message of ``size`` bytes, which do not get fewer when they are packed; its id."""
    message = NewMessage(os.urandom(size), [NewRow(owner, 0, Kind.OWED)])
    (placed,) = await stores.archive.append([message])
    return placed.places[0].id


async def append_many(stores: Stores, owner: int, number: int, size: int) -> list[int | BaseException]:
    return await asyncio.gather(*(append(stores, owner, size) for _ in range(number)), return_exceptions=True)


async def test_a_full_disk_found_while_committing(stores: Stores, owner: int, path: Path) -> None:
    acknowledged = await append_many(stores, owner, 10, 100)
    with file_size_limit(path.with_name("xmppd.db-wal").stat().st_size + 4096):
        outcomes = [await append_many(stores, owner, 10, 2_000) for _ in range(20)]
        with pytest.raises(StorageUnavailable) as caught:
            await stores.accounts.create([(Jid("romeo", "montague.example"), {})], now=0)
        ids = [id_ for outcome in (acknowledged, *outcomes) for id_ in outcome if isinstance(id_, int)]
        assert await kept(stores, owner) == ids
    failed = [error for outcome in outcomes for error in outcome if not isinstance(error, int)]
    assert all(isinstance(error, StorageUnavailable) for error in failed)
    assert len(failed) > 150
    for said in (
        str(path),
        "could not read or write it",
        "SQLITE_IOERR_WRITE",
        "full disks, quotas",
        "ulimit -f",
    ):
        assert said in str(caught.value)
    more = await append_many(stores, owner, 100, 2_000)
    assert await kept(stores, owner) == [*ids, *more]


async def test_a_batch_that_cannot_be_committed_fails_as_a_whole(
    stores: Stores, owner: int, path: Path
) -> None:
    """A result that rests on another job of the batch must not be told: here, that the account exists."""
    with file_size_limit(path.with_name("xmppd.db-wal").stat().st_size):
        results = await asyncio.gather(
            *(stores.accounts.create([(Jid("romeo", "montague.example"), {})], now=0) for _ in range(50)),
            return_exceptions=True,
        )
    assert {type(result) for result in results} == {StorageUnavailable}
    assert len({id(result) for result in results}) == 50  # an exception of its own for each caller
    assert await stores.accounts.create([(Jid("romeo", "montague.example"), {})], now=0)
    with pytest.raises(AccountExists):
        await stores.accounts.create([(Jid("romeo", "montague.example"), {})], now=0)


async def test_a_full_disk_found_by_one_job(
    stores: Stores, owner: int, database: Database, path: Path
) -> None:
    """SQLite says SQLITE_FULL inside a job; its limit of pages stands for the end of the disk."""

    async def limit(pages: int) -> None:
        await database.write(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").close()
        )

    await append_many(stores, owner, 10, 100)
    pages = await database.read(lambda connection: int(connection.execute("PRAGMA page_count").fetchone()[0]))
    await limit(pages)
    results = await append_many(stores, owner, 50, 2_000)
    await limit(1_000_000)
    errors = [result for result in results if not isinstance(result, int)]
    assert len(errors) > 40
    for error in errors:
        assert isinstance(error, StorageUnavailable)
        for said in (str(path), "no space is left", "SQLITE_FULL", "free space on its file system"):
            assert said in str(error)
    assert len(await kept(stores, owner)) == 10 + 50 - len(errors)
    assert all(isinstance(result, int) for result in await append_many(stores, owner, 50, 2_000))
    assert len(await kept(stores, owner)) == 10 + 100 - len(errors)


async def test_a_database_that_another_program_locks(stores: Stores, owner: int, path: Path) -> None:
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with pytest.raises(
        StorageUnavailable, match=r"xmppd\.db: another program keeps it locked.*end that program"
    ):
        await append(stores, owner, 1)
    assert await kept(stores, owner) == []  # reading goes on
    intruder.execute("ROLLBACK")
    intruder.close()
    assert await append_many(stores, owner, 1, 1) == await kept(stores, owner)


async def test_a_database_that_was_moved_away_or_replaced(stores: Stores, owner: int, path: Path) -> None:
    """SQLite alone would go on writing into the file that nobody will find again."""
    (first,) = await append_many(stores, owner, 1, 1)
    path.rename(path.with_name("moved"))
    with pytest.raises(StorageUnavailable, match=r"xmppd\.db was moved, deleted or replaced.*put it back"):
        await append(stores, owner, 1)
    path.write_bytes(b"")
    with pytest.raises(StorageUnavailable, match="replaced"):
        await append(stores, owner, 1)
    path.with_name("moved").rename(path)
    (second,) = await append_many(stores, owner, 1, 1)
    assert await kept(stores, owner) == [first, second]


async def test_a_damaged_page(path: Path) -> None:
    stores = sqlite_stores(await Database.open(path))
    owner = await add_account(stores, str(JULIET))
    await append_many(stores, owner, 1_000, 1_000)
    await stores.close()
    content = bytearray(path.read_bytes())
    content[100 * 4096 : 200 * 4096] = b"\xa5" * 100 * 4096
    path.write_bytes(content)
    stores = sqlite_stores(await Database.open(path))
    with pytest.raises(
        StorageUnavailable, match=r"xmppd\.db: the file is damaged.*bring back a backup.*\.recover"
    ):
        await stores.archive.owed(owner, after=0, limit=1_000)
    assert await stores.accounts.get(JULIET)  # what is not damaged can be read
    await stores.close()


# ---- opening


async def opening_fails(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        await Database.open(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content", [b"not a database" * 1_000, b"x", b"SQLite format 4\0", b"SQLite format 3\0" + b"\xff" * 5_000]
)
async def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "no SQLite database" in await opening_fails(path)
    assert path.read_bytes() == content


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    await (await Database.open(path)).close()


async def test_a_directory(path: Path) -> None:
    path.mkdir()
    assert "is a directory: name a file in [storage] url" in await opening_fails(path)


async def test_a_file_in_place_of_a_directory(path: Path) -> None:
    path.write_text("")
    assert "a file stands where one of its directories should be" in await opening_fails(path / "xmppd.db")


async def test_a_missing_directory_is_made_for_its_owner_only(path: Path) -> None:
    path = path.with_name("a") / "b" / "xmppd.db"
    await (await Database.open(path)).close()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


async def test_odd_names(tmp_path: Path) -> None:
    path = tmp_path / "50% of a?b#c & ü" / "x y.db"
    await (await Database.open(path)).close()
    assert path.is_file()


async def test_the_database_of_another_program_is_left_as_it_is(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE prosody (host)")
    connection.close()
    content = path.read_bytes()
    assert "belongs to another program (its tables: prosody)" in await opening_fails(path)
    assert path.read_bytes() == content


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory, and no right to do in it what its permissions do not allow: root gives up its own meanwhile."""
    directory = Path(tempfile.mkdtemp())
    user = os.geteuid()
    if user == 0:
        os.chown(directory, 65534, -1)
        os.seteuid(65534)
    yield directory
    os.seteuid(user)
    shutil.rmtree(directory)


async def test_a_file_that_may_not_be_written(unprivileged: Path) -> None:
    path = unprivileged / "xmppd.db"
    await (await Database.open(path)).close()
    path.chmod(0o400)
    assert f"Permission denied; see that user id {os.geteuid()} may read and write it" in await opening_fails(
        path
    )


async def test_a_directory_that_may_not_be_written(unprivileged: Path) -> None:
    path = unprivileged / "xmppd.db"
    await (await Database.open(path)).close()
    unprivileged.chmod(0o500)
    assert f"writable for user id {os.geteuid()}" in await opening_fails(path)
    assert "Permission denied" in await opening_fails(unprivileged / "new.db")
    unprivileged.chmod(0o700)
    await (await Database.open(path)).close()


async def test_a_directory_that_may_not_be_entered(unprivileged: Path) -> None:
    unprivileged.chmod(0)
    assert "Permission denied" in await opening_fails(unprivileged / "xmppd.db")
    assert "Permission denied" in await opening_fails(unprivileged / "data" / "xmppd.db")
    unprivileged.chmod(0o700)
