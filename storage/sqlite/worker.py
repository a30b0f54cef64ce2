"""A thread with a connection of its own that does work in batches: one transaction per batch (adaptive group commit).

Whatever is submitted while a batch runs is the next batch: no timer, no fixed size. One job alone is committed at once;
the busier it gets, the more jobs share the price of a commit. Results are told to the event loop only after COMMIT, all
of a batch in one call.

Ownership: futures, and the count of those that wait, belong to the event loop; connection and transaction belong to the
thread; a job is handed over with its batch. The queue is the only thing that both touch.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from xmppd.storage.interfaces import StorageUnavailable

T = TypeVar("T")

# Runs inside a transaction on the worker's thread, and leaves transaction control alone. What it raises goes to whoever
# submitted it.
Work = Callable[[sqlite3.Connection], T]


class _Job:
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work[Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Worker:
    """One thread. Made and used on the running event loop; ``start`` before, ``stop`` after everything else.

    ``connect`` makes the connection (``isolation_level=None``), ``begin`` starts a transaction on it, ``explain`` turns
    an error into one for people, or None where it is a bug. With ``savepoints`` a job that raises undoes itself only;
    a reader, which has nothing to undo, saves them. At most ``batch`` jobs share a transaction, and at most
    ``queue_limit`` jobs wait.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], sqlite3.Connection],
        begin: Callable[[sqlite3.Connection], object],
        explain: Callable[[BaseException], StorageUnavailable | None],
        *,
        savepoints: bool,
        batch: int,
        queue_limit: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._begin = begin
        self._explain = explain
        self._savepoints = savepoints
        self._size = batch
        self._limit = queue_limit
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()  # None: stop
        self._waiting = 0
        self._stopping = False
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        # A daemon, so that a program which dies without `stop` ends; nothing that it had acknowledged is lost by that.
        self._thread = Thread(target=self._main, name=name, daemon=True)
        self.commits = 0  # transactions committed; written by the thread

    async def start(self) -> None:
        """Connect; raises what ``connect`` raised, and then the thread has ended."""
        self._thread.start()
        try:
            await asyncio.shield(self._started)
        except BaseException:
            await self.stop()
            raise

    def submit(self, work: Work[T]) -> asyncio.Future[T]:
        """Queue ``work``; its result, once it is committed. Cancelling the future abandons the result, not the work."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this storage belongs to the event loop that opened it")
        if self._stopping:
            raise StorageUnavailable("the storage is closed: the server is shutting down")
        if self._waiting >= self._limit:
            raise StorageUnavailable(
                f"the storage is overloaded: {self._waiting} operations wait for it; "
                "try again later, and put the database on a faster disk if this happens often"
            )
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting += 1
        self._queue.put(_Job(work, future))
        return future

    async def stop(self) -> None:
        """Do what is queued, disconnect, end the thread. Waits for the same end when called again."""
        if not self._stopping:
            self._stopping = True
            self._queue.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    def _settle(self, batch: list[_Job]) -> None:
        """On the event loop: tell the results."""
        self._waiting -= len(batch)
        for job in batch:
            future = job.future
            if future.done():  # cancelled
                continue
            if job.error is None:
                future.set_result(job.result)
            else:
                future.set_exception(job.error)

    # ---- what follows runs on the thread. Whatever is raised is told to who waits: else they would wait for ever.

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            pass

    def _main(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:
            self._call(_fail, self._started, error)
            self._call(_succeed, self._stopped)
            return
        self._call(_succeed, self._started)
        try:
            while self._batch(connection):
                pass
        finally:
            connection.close()
            self._call(_succeed, self._stopped)

    def _batch(self, connection: sqlite3.Connection) -> bool:
        """Wait for jobs and do all that are there; False when it is time to stop."""
        batch: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            batch.append(job)
            if len(batch) >= self._size or self._queue.empty():
                break
            job = self._queue.get()
        if batch:
            self._transact(connection, batch)
            self._call(self._settle, batch)
        return job is not None

    def _transact(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        run = self._run_alone if self._savepoints else self._run
        try:
            self._begin(connection)
            for job in batch:
                run(connection, job)
            connection.execute("COMMIT")
            self.commits += 1
        except BaseException as error:  # nothing of the batch has happened
            _roll_back(connection)
            for job in batch:
                job.error = self._for_people(error)

    def _run(self, connection: sqlite3.Connection, job: _Job) -> None:
        try:
            job.result = job.work(connection)
        except BaseException as error:
            job.error = self._for_people(error)

    def _run_alone(self, connection: sqlite3.Connection, job: _Job) -> None:
        connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except BaseException as error:
            if not connection.in_transaction:  # SQLite undid everything, as it may when the disk is full
                raise
            connection.execute("ROLLBACK TO job")
            job.error = self._for_people(error)
        connection.execute("RELEASE job")

    def _for_people(self, error: BaseException) -> BaseException:
        explained = self._explain(error)
        if explained is not None:
            if explained is not error:
                explained.__cause__ = error
            return explained
        if isinstance(error, StopIteration):  # cannot be raised into a future
            wrapped = RuntimeError("the work raised StopIteration")
            wrapped.__cause__ = error
            return wrapped
        return error


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:  # SQLite did it by itself meanwhile
        pass


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
