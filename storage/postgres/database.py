"""Work on one database: retried where that is certain to be right, bounded in time, explained when it fails.

A read that finds its connection dead is done again on another one. A write is done again only if it is certain that it
did not happen: the server undoes whatever it was not told to commit. Where the connection is lost between COMMIT and
its answer, the server is asked: each transaction records its number under its connection's name (the table
``writers``), so the answer is the truth, even after a crash.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, Generic, Literal, NoReturn, TypeVar

import asyncpg

from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.migrations import Migration
from xmppd.storage.migrations.plan import Plan
from xmppd.storage.postgres.connection import Connection, Link, connect, farewell
from xmppd.storage.postgres.errors import closed, explain, is_conflict, is_lost, is_misplaced, unknown_outcome
from xmppd.storage.postgres.pool import Pool
from xmppd.storage.postgres.schema import migrate, plan
from xmppd.storage.postgres.turns import NoTurn, Turns
from xmppd.storage.url import CONNECTIONS, STATEMENT_SECONDS, WAIT_SECONDS, PostgresUrl
from xmppd.tasks import Tasks

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

_GRACE: Final = (
    1.0  # seconds that the server has to cut a statement off by itself, which leaves the connection whole
)

_RECORD: Final = (
    "INSERT INTO writers AS w (writer, number) VALUES ($1, $2)"
    " ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
)
# Waits for a transaction of that writer which is still under way: afterwards it is there, or it never will be.
_RECORDED: Final = (
    "INSERT INTO writers AS w (writer, number) VALUES ($1, 0)"
    " ON CONFLICT (writer) DO UPDATE SET at = excluded.at RETURNING number"
)
_FORGET: Final = "DELETE FROM writers WHERE at < now() - interval '1 day'"


class _Unsure(Exception, Generic[T]):
    """The connection was lost after COMMIT was sent. ``result`` is what the work returned."""

    def __init__(self, writer: uuid.UUID, number: int, result: T) -> None:
        super().__init__(f"{writer} {number}")
        self.writer = writer
        self.number = number
        self.result = result


class Database:
    """Made by ``open``, on the event loop that goes on to use it."""

    def __init__(
        self,
        url: PostgresUrl,
        *,
        connections: int,
        wait_seconds: float,
        statement_seconds: float,
        queue_limit: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._url = url
        self._wait = wait_seconds
        self._statement = statement_seconds
        self._limit = queue_limit
        self._pool = Pool(lambda: connect(url, statement_seconds=statement_seconds), url.name, connections)
        self._turns = Turns()
        self._tasks = Tasks()
        self._running = 0
        self._closing: asyncio.Task[None] | None = None

    @staticmethod
    async def open(
        url: PostgresUrl,
        *,
        connections: int = CONNECTIONS,
        wait_seconds: float = WAIT_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
        queue_limit: int = 100_000,
        known: tuple[Migration, ...] | None = None,
    ) -> Database:
        """Connect, and bring the schema up to date. ``UserError`` says what to mend when that cannot be.

        ``connections``: at most so many at a time. ``wait_seconds``: so long an operation waits for one of them while
        the server is away or busy, and then fails. ``statement_seconds``: so long a transaction may take then.
        ``queue_limit``: more operations than this do not wait, they raise ``StorageUnavailable``. ``known``: the
        migrations of this program.
        """
        database = Database(
            url,
            connections=connections,
            wait_seconds=wait_seconds,
            statement_seconds=statement_seconds,
            queue_limit=queue_limit,
        )
        link = await database._pool.acquire(database._deadline())
        try:
            await migrate(link.connection, url.name, known, wait_seconds)
            await link.connection.execute(_FORGET)  # also shows that it may be written
        except BaseException as error:
            await farewell(link.connection)
            database._pool.discard(link)
            _raise(error, url, "open")
        database._pool.release(link)
        return database

    async def forget_writers(self) -> None:
        """Forget what connections of long ago have written: nobody asks for it any more."""

        async def work(connection: Connection) -> None:
            await connection.execute(_FORGET)

        await self.write(work)

    @property
    def name(self) -> str:
        """The database for people: its address without the password."""
        return self._url.name

    def read(self, work: Work[T]) -> asyncio.Future[T]:
        """Run ``work``, which only reads, each statement of it on one consistent state; it may run more than once."""

        async def once(link: Link) -> T:
            return await work(link.connection)

        return self._submit(self._retried(once, self._deadline()))

    def write(self, work: Work[T], *, owners: Iterable[int] = ()) -> asyncio.Future[T]:
        """Run ``work`` in a transaction; the result once it is durable. If it raises, nothing of it has happened.

        It may run more than once, but takes effect once. Those for the same ``owners`` run in the order of the calls.
        """

        async def once(link: Link) -> T:
            return await _transaction(link, work)

        async def in_turn() -> T:
            deadline = self._deadline()
            try:
                async with self._turns.of(owners, deadline):
                    return await self._retried(once, deadline)
            except NoTurn as error:
                raise self._pool.trouble() or error from error

        return self._submit(in_turn())

    @property
    def wait_seconds(self) -> float:
        """How long an operation waits for the server."""
        return self._wait

    async def connect(self, deadline: float | None = None) -> Connection:
        """A connection of its own for the caller, who closes it; waits for the server as every operation does, or until
        ``deadline`` (loop time).
        """
        return await self._pool.connect(self._deadline() if deadline is None else deadline)

    def explain(self, error: BaseException) -> StorageUnavailable | None:
        """``error`` for people, or None where it is a bug of the program."""
        return explain(error, self._url.name)

    async def close(self) -> None:
        """Do what was asked before, then disconnect. May be called again."""
        if self._closing is None:
            self._closing = self._tasks.start("storage: close", self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        this = asyncio.current_task()
        if others := [task for task in self._tasks.running if task is not this]:
            await asyncio.wait(others)
        await self._pool.close()

    def _deadline(self) -> float:
        return self._loop.time() + self._wait

    def _submit(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run ``work`` whatever becomes of the caller: cancelling the future abandons the result only."""
        try:
            self._require_open()
        except BaseException:
            work.close()
            raise
        future: asyncio.Future[T] = self._loop.create_future()
        self._running += 1
        self._tasks.start("storage", self._run(work, future))
        return future

    def _require_open(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this storage belongs to the event loop that opened it")
        if self._closing is not None:
            raise closed(self._url.name)
        if self._running >= self._limit:
            raise StorageUnavailable(
                f"the storage is overloaded: {self._running} operations wait for it; "
                "try again later, and give the database a faster machine if this happens often"
            )

    async def _run(self, work: Coroutine[Any, Any, T], future: asyncio.Future[T]) -> None:
        try:
            result = await work
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
                raise
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)
        finally:
            self._running -= 1

    async def _retried(self, once: Callable[[Link], Awaitable[T]], deadline: float) -> T:
        """The result of ``once`` on a connection, on another one if that is lost, until ``deadline``."""
        while True:
            link = await self._pool.acquire(deadline)
            try:
                async with asyncio.timeout(self._statement + _GRACE if self._statement else None):
                    result = await once(link)
            except _Unsure as unsure:
                self._pool.discard(link)
                if await self._happened(unsure):
                    return unsure.result  # type: ignore[no-any-return]  # once's; except cannot say so
            except BaseException as error:
                await self._after(link, error, deadline)
            else:
                self._pool.release(link)
                return result

    async def _after(self, link: Link, error: BaseException, deadline: float) -> None:
        """``once`` raised ``error``, and nothing has happened: raise what the caller should see, or return to retry."""
        lost = link.connection.is_closed() or is_lost(error)
        if lost or is_misplaced(error) or isinstance(error, TimeoutError) or not isinstance(error, Exception):
            self._pool.discard(link)
        else:
            await self._roll_back(link)
        if is_misplaced(error):
            self._pool.forget_idle()
        again = lost or is_conflict(error) or (link.used and is_misplaced(error))
        again = again and not isinstance(error, TimeoutError | asyncio.CancelledError)
        if not again or self._loop.time() >= deadline:
            _raise(error, self._url)

    async def _roll_back(self, link: Link) -> None:
        try:
            async with asyncio.timeout(_GRACE):
                await link.connection.execute("ROLLBACK")
        except Exception:  # whatever it is: the server undoes it when it sees that the connection is gone
            self._pool.discard(link)
        else:
            self._pool.release(link)

    async def _happened(self, unsure: _Unsure[Any]) -> bool:
        """Whether the transaction was committed. ``StorageUnavailable`` if the server cannot be asked in time."""

        async def ask(link: Link) -> int:
            return int(await link.connection.fetchval(_RECORDED, unsure.writer))

        try:
            return await self._retried(ask, self._deadline()) >= unsure.number
        except StorageUnavailable as error:
            raise unknown_outcome(self._url.name, error) from error


async def _transaction(link: Link, work: Work[T]) -> T:
    connection = link.connection
    # Whatever the database's default is: waiting for a lock would fail at a stricter level.
    await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    result = await work(connection)
    link.number += 1
    await connection.execute(_RECORD, link.writer, link.number)
    try:
        await connection.execute("COMMIT")
    except BaseException as error:
        if isinstance(error, asyncpg.PostgresError) and not connection.is_closed() and not is_lost(error):
            raise  # the server said no
        raise _Unsure(link.writer, link.number, result) from error
    return result


async def plan_database(url: PostgresUrl, known: tuple[Migration, ...] | None = None) -> Plan:
    """What opening ``url`` would do to its schema; changes nothing. ``UserError`` as ``Database.open``, but at once."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            connection = await connect(url, statement_seconds=STATEMENT_SECONDS)
            try:
                return await plan(connection, url.name, known)
            finally:
                await farewell(connection)
    except Exception as error:  # whatever it is: explained or as it is, it is raised again
        _raise(error, url, "open")


def _raise(error: BaseException, url: PostgresUrl, verb: Literal["use", "open"] = "use") -> NoReturn:
    explained = explain(error, url.name, verb)
    if explained is None or explained is error:
        raise error
    raise explained from error
