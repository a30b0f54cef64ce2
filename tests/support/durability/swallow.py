"""The proxy between server and PostgreSQL: it lets a batch be committed and keeps the answer to itself."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.support.process import Address

_APPEND: Final = b"archive_append"  # only the connection that writes the archive says this
_ROW: Final = (
    b"SELECT 1\0",
    b"s\0\0\0\x04",
)  # what comes behind its one row: CommandComplete, or PortalSuspended
_IDLE: Final = b"Z\0\0\0\x05I"  # ReadyForQuery, outside of a transaction: it is committed
_PIECE: Final = 65_536


class Swallow:
    """``start``, then ``next_answer`` as often as you like, ``close``."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: asyncio.Future[None] | None = None
        self._refusing = False

    async def start(self) -> Address:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return host, port

    async def next_answer(self, *, away: float = 0.0, seconds: float = 10.0) -> bool:
        """Cut the connection that writes the archive when its next batch is committed and before the writer knows;
        False if no batch comes within ``seconds``. For ``away`` seconds nobody reaches the database then.
        """
        self._wanted = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._wanted
        except TimeoutError:
            return False
        finally:
            self._wanted = None
        if away:
            self._refusing = True
            self._cut_all()
            await asyncio.sleep(away)
            self._refusing = False
        return True

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            if not self._refusing:
                await self._serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection(*self._target)
        self._writers.add(other_writer)
        path = _Path(self, writer, other_writer)
        try:
            pumps = [
                asyncio.create_task(path.ask(reader)),
                asyncio.create_task(path.answer(other_reader)),
            ]
            _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in left:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            other_writer.transport.abort()
            self._writers.discard(other_writer)

    def wants(self) -> bool:
        return self._wanted is not None and not self._wanted.done()

    def got(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)


class _Path:
    """One connection."""

    def __init__(self, owner: Swallow, server: asyncio.StreamWriter, database: asyncio.StreamWriter) -> None:
        self._owner = owner
        self._server = server
        self._database = database
        self._statement: bytes | None = None  # what the one that writes the archive is called here
        self._keep: bytes | None = None  # what was not passed on

    async def ask(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE):
            if _APPEND in data:
                self._statement = data[5 : data.index(b"\0", 5)]  # it is being prepared: Parse, its name
            elif self._keep is None and self._owner.wants() and self._is_batch(data):
                self._keep = b""
            self._database.write(data)
            await self._database.drain()

    def _is_batch(self, data: bytes) -> bool:
        """Whether ``data`` begins with Bind, from no portal to that statement."""
        return (
            self._statement is not None
            and data[:1] == b"B"
            and data[5:].startswith(b"\0%b\0" % self._statement)
        )

    async def answer(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_PIECE):
            if self._keep is None:
                self._server.write(data)
                await self._server.drain()
                continue
            self._keep += data
            if self._keep.endswith(_IDLE):
                if not any(end in self._keep for end in _ROW):  # that was something else
                    self._server.write(self._keep)
                    self._keep = None
                    continue
                self._owner.got()
                return
