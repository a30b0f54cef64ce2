"""A TCP proxy for tests that cut connections at a chosen moment.

async with Proxy(5432) as proxy:
    ...                                       # connect to 127.0.0.1, proxy.port
    proxy.cut_at(b"COMMIT\\0", answered=True)  # the server gets it and answers; the client never learns of that
    proxy.cut()
    proxy.say(b"...")                         # as if the server did
    proxy.forget()                            # those that are open lead nowhere any more
    proxy.refusing = True
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where to cut: see ``Proxy.cut_at``."""

    mark: bytes
    answered: bool
    refuse: bool


class Proxy:
    """Forwards connections to port ``target`` of 127.0.0.1.

    ``refusing``: each new connection is cut as soon as it comes. ``cuts``: how often a mark was met.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: _Cut | None = None
        self.refusing = False
        self.cuts = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def forget(self) -> None:
        """Carry nothing over the connections that are open now, and cut none, as a firewall does that forgot them."""
        self._forgotten |= self._open

    def say(self, data: bytes) -> int:
        """Let every client hear ``data`` from the server; how many there are."""
        for writer in self._clients:
            writer.write(data)
        return len(self._clients)

    def cut_at(self, mark: bytes, *, answered: bool, refuse: bool = False) -> None:
        """Cut the next connection over which the client sends ``mark``: before the server gets it, or, where
        ``answered``, when the server has answered it. ``refuse``: from then on new ones are refused.
        """
        self._cut = _Cut(mark, answered, refuse)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if not self.refusing:
                back, forth = await asyncio.open_connection("127.0.0.1", self._target)
                await self._join(reader, writer, back, forth)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> None:
        ends = {writer, forth}
        self._open |= ends
        self._clients.add(writer)
        swallow = asyncio.Event()  # the next answer is not handed on
        answers = asyncio.create_task(self._answers(back, writer, swallow))
        try:
            await self._questions(reader, forth, swallow)
            if swallow.is_set():
                await answers
        finally:
            self._clients.discard(writer)
            for end in ends:
                self._open.discard(end)
                end.transport.abort()
            await asyncio.gather(answers, return_exceptions=True)

    async def _questions(
        self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, swallow: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            if forth in self._forgotten:
                continue
            if (cut := self._cut) is not None and cut.mark in data:
                self._cut = None
                self.cuts += 1
                self.refusing = cut.refuse
                if not cut.answered:
                    return
                swallow.set()
            forth.write(data)
            await forth.drain()
            if swallow.is_set():
                return

    async def _answers(
        self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, swallow: asyncio.Event
    ) -> None:
        while data := await back.read(65536):
            if swallow.is_set():
                break
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
