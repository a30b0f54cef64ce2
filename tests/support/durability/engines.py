"""The storages that the town may stand on."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg

from tests.support.durability.letters import Post
from tests.support.durability.swallow import Swallow
from tests.support.postgres import Postgres

# Recovery forces every file to the disk first, one by one, which takes seconds where the disk is busy.
_SETTINGS = {"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}
WAIT_SECONDS = 2.0  # for which the server waits for a database that is away


class Engine(ABC):
    """``url``: where the test reads and writes. ``toml``: the server's ``[storage]``."""

    url: str
    toml: str

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def stalled(self) -> AbstractAsyncContextManager[None]:
        """As long as this lasts, no batch gets into the archive: what comes piles up."""


class Sqlite(Engine):
    def __init__(self, folder: Path) -> None:
        self._path = folder / "data" / "xmppd.db"
        self.url = f"sqlite:///{self._path}"
        self.toml = ""

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        connection = await asyncio.to_thread(self._lock)
        try:
            yield
        finally:
            connection.close()

    def _lock(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class Postgresql(Engine):
    """With ``fsync``, since it will be killed."""

    def __init__(self, post: Post) -> None:
        self._post = post
        # Another run of pytest closes the folders of this one to the user that PostgreSQL runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="xmppd-durability-"))
        self._postgres = Postgres(self._folder / "postgres", durable=True, settings=_SETTINGS)
        self._swallow: Swallow | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._postgres.start)
        self.url = await asyncio.to_thread(self._postgres.create, "xmppd")
        self._swallow = Swallow(("127.0.0.1", self._postgres.port))
        _, port = await self._swallow.start()
        url = self.url.replace(f":{self._postgres.port}/", f":{port}/")
        self.toml = f'[storage]\nurl = "{url}"\nwait_seconds = {WAIT_SECONDS}\nstatement_seconds = 5\nconnections = 4\n'

    async def stop(self) -> None:
        if self._swallow is not None:
            await self._swallow.close()
        await asyncio.to_thread(self._postgres.stop, signal.SIGQUIT)
        await asyncio.to_thread(shutil.rmtree, self._folder)

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("BEGIN")
            await connection.execute("LOCK TABLE archive IN EXCLUSIVE MODE")
            yield
        finally:
            connection.terminate()

    async def restart(self) -> None:
        """In the way that drops everything at once (immediate): it has to recover."""
        self._post.figures.restarts += 1
        self._post.happened("PostgreSQL is restarted (immediate)")
        await asyncio.to_thread(self._postgres.restart, signal.SIGQUIT)
        self._post.happened("PostgreSQL is there again")

    async def kill(self) -> None:
        self._post.figures.restarts += 1
        self._post.happened("PostgreSQL is killed")
        await asyncio.to_thread(self._postgres.kill)
        await asyncio.to_thread(self._postgres.start)
        self._post.happened("PostgreSQL is there again")

    async def swallow(self) -> None:
        """A batch is committed, and its answer is lost."""
        assert self._swallow is not None
        if await self._swallow.next_answer():
            self._post.figures.swallowed += 1
            self._post.happened("the answer to a COMMIT was lost")

    async def hole(self) -> None:
        """As ``swallow``, and for longer than the server waits nobody can be asked whether it is there."""
        assert self._swallow is not None
        if await self._swallow.next_answer(away=WAIT_SECONDS + 1.0):
            self._post.figures.holes += 1
            self._post.happened("the answer to a COMMIT was lost, and the database was away")
