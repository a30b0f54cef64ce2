"""The database: a writer thread and, for a file, a reader thread that sees only what is committed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from xmppd.errors import UserError
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.migrations import migrations
from xmppd.storage.migrations.plan import Plan
from xmppd.storage.sqlite.errors import explain
from xmppd.storage.sqlite.schema import migrate, plan
from xmppd.storage.sqlite.worker import Work, Worker

T = TypeVar("T")

OLDEST_SQLITE: Final = (3, 37)  # STRICT tables

# Jobs in one transaction. For writes: what they share costs nearly nothing from there on, and the first waits for the
# last. For reads, which share little, fewer.
WRITES: Final = 400
READS: Final = 20

_DURABLE: Final = (
    "PRAGMA synchronous = FULL",  # NORMAL may lose commits when the power fails
    "PRAGMA fullfsync = ON",  # macOS: fsync alone leaves data in the drive's cache
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA journal_size_limit = 67108864",  # bytes that the -wal file keeps after it was larger once
)
_MAGIC: Final = b"SQLite format 3\0"
_CACHE: Final = "PRAGMA cache_size = -16384"  # KiB, per connection


class Database:
    """Work on one database, from the event loop that opened it.

    ``path`` is absolute; None: in memory, gone when closed.
    """

    def __init__(self, path: Path | None, *, busy_timeout: float = 5.0, queue_limit: int = 100_000) -> None:
        self._path = path
        self._name = str(path) if path else ":memory:"
        self._busy_timeout = busy_timeout
        self._identity: tuple[int, int] | None = None
        self._writer = Worker(
            "storage-writer",
            self._connect_writer,
            self._begin_writing,
            self._explain,
            savepoints=True,
            batch=WRITES,
            queue_limit=queue_limit,
        )
        self._reader = self._writer
        if path:
            self._reader = Worker(
                "storage-reader",
                self._connect_reader,
                lambda connection: connection.execute("BEGIN"),
                self._explain,
                savepoints=False,
                batch=READS,
                queue_limit=queue_limit,
            )

    @staticmethod
    async def open(path: Path | None, *, busy_timeout: float = 5.0, queue_limit: int = 100_000) -> Database:
        """Open the database, create it where it is not there, bring its schema up to date.

        ``busy_timeout``: seconds to wait for a lock that another program holds. ``queue_limit``: more operations than
        this do not wait, they raise ``StorageUnavailable``. ``UserError`` says what to mend when it cannot be opened.
        """
        database = Database(path, busy_timeout=busy_timeout, queue_limit=queue_limit)
        await database._writer.start()
        if database._reader is not database._writer:
            try:
                await database._reader.start()
            except BaseException:
                await database._writer.stop()
                raise
        return database

    @property
    def name(self) -> str:
        """The database for people."""
        return self._name

    def write(self, work: Work[T]) -> asyncio.Future[T]:
        """Run ``work`` in a transaction; the result once it is durable. If it raises, nothing of it has happened."""
        return self._writer.submit(work)

    def read(self, work: Work[T]) -> asyncio.Future[T]:
        """Run ``work``, which only reads, on one consistent state that holds whatever was acknowledged before."""
        return self._reader.submit(work)

    @property
    def commits(self) -> int:
        """Transactions committed so far; reads in memory count, since they share the writer's."""
        return self._writer.commits

    async def close(self) -> None:
        """Commit what is queued, then end the threads. May be called again."""
        # The writer last: the last one to leave puts the -wal file's content into the database and removes it.
        if self._reader is not self._writer:
            await self._reader.stop()
        await self._writer.stop()

    # ---- what follows runs on the threads

    def _connect_writer(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise UserError(
                f"SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer is needed, and this Python comes with "
                f"{sqlite3.sqlite_version}: install a newer Python, or a newer libsqlite3"
            )
        if self._path is None:
            return self._connect(":memory:", self._prepare)
        _create(self._path)
        return self._connect(f"{self._path.as_uri()}?mode=rw", self._prepare)

    def _connect_reader(self) -> sqlite3.Connection:
        assert self._path is not None
        return self._connect(f"{self._path.as_uri()}?mode=ro", lambda _: None)

    def _connect(self, uri: str, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                uri, uri=True, timeout=self._busy_timeout, isolation_level=None, cached_statements=256
            )
            try:
                connection.execute(_CACHE)
                prepare(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise explain(error, self._name, "open") or error from error
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        plan(connection, self._name)  # before the file is touched: it may not be ours
        if self._path is not None:
            self._make_durable(connection)
            self._identity = _identity(self._path)
        migrate(connection, self._name)

    def _make_durable(self, connection: sqlite3.Connection) -> None:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UserError(
                f"the database {self._path} is on a file system where SQLite's write-ahead log does not work "
                f"(journal mode: {mode}): put it on a local one"
            )
        for pragma in _DURABLE:
            connection.execute(pragma)

    def _begin_writing(self, connection: sqlite3.Connection) -> None:
        # SQLite goes on writing to a file that was deleted or replaced; all of that would be lost at the next start.
        if self._path is not None and _identity(self._path) != self._identity:
            raise StorageUnavailable(
                f"the database {self._path} was moved, deleted or replaced under the running server: "
                "put it back, with the files beside it that end in -wal and -shm, or restart the server"
            )
        connection.execute("BEGIN IMMEDIATE")

    def _explain(self, error: BaseException) -> StorageUnavailable | None:
        return explain(error, self._name)


def plan_file(path: Path | None) -> Plan:
    """What opening ``path`` would do to its schema; changes nothing. ``UserError`` as ``Database.open``."""
    if path is None or not path.exists():
        return Plan(0, migrations("sqlite"))
    # Without a -wal file nobody has it open. A reader would make one and leave it behind, were the file not immutable.
    in_use = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if in_use else "mode=ro&immutable=1"
    try:
        with closing(
            sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None)
        ) as connection:
            return plan(connection, str(path))
    except sqlite3.Error as error:
        raise explain(error, str(path), "open") or error from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _create(path: Path) -> None:
    """Make the file, and its directory, for the eyes of their owner only: keys and private messages are in it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            start = os.read(file, len(_MAGIC))
        finally:
            os.close(file)
    except IsADirectoryError as error:
        raise UserError(f"the database {path} is a directory: name a file in [storage] url") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"the database {path} cannot be there: a file stands where one of its directories should be; "
            "name another file in [storage] url"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot open the database {path}: {error.strerror}; see that user id {os.geteuid()} may "
            f"read and write it and its directory, or name another file in [storage] url"
        ) from error
    # SQLite takes a short file of anything for an empty database, and overwrites it.
    if start and start != _MAGIC:
        raise UserError(
            f"cannot open the database {path}: the file is no SQLite database; "
            "name another file in [storage] url, or move this one away"
        )
