"""An archive whose every step the test can hold back or let fail, put in front of the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from xmppd.storage.archive import (
    ArchiveStore,
    Cursor,
    CursorStore,
    NewMessage,
    Placed,
    Query,
    Row,
    Waiting,
)
from xmppd.storage.interfaces import StorageUnavailable, Stores

T = TypeVar("T")


class HeldBack:
    """What clients are owed, on SQLite as in a server. Each ``append``, ``owed`` and ``save`` may stop at two points:
    before it takes effect (``append``) and before its caller hears of it (``append.done``).
    """

    def __init__(self) -> None:
        self.calls: list[str] = []  # what was asked for, in order
        self.appended: list[list[NewMessage]] = []  # every batch that was asked to be stored
        self._held: dict[str, list[asyncio.Future[None]]] = {}
        self._failing: set[str] = set()
        self.archive: ArchiveStore  # the real ones, past everything that is held back
        self.cursors: CursorStore

    def wrap(self, stores: Stores) -> Stores:
        self.archive, self.cursors = stores.archive, stores.cursors
        return replace(stores, archive=_Archive(self), cursors=_Cursors(self))

    # What the test does

    def hold(self, *points: str) -> None:
        """From now on, calls stop at ``points``."""
        for point in points:
            self._held.setdefault(point, [])

    def let_go(self, *points: str) -> None:
        """Whoever stopped at ``points`` (none: anywhere) goes on, and nobody stops there any more."""
        for point in points or tuple(self._held):
            for gate in self._held.pop(point, ()):
                if not gate.done():
                    gate.set_result(None)

    def waiting(self, point: str) -> int:
        """How many calls have stopped at ``point``."""
        return sum(not gate.done() for gate in self._held.get(point, ()))

    def step(self, point: str) -> None:
        """Whoever stopped at ``point`` goes on; who comes there next stops again."""
        gates, self._held[point] = self._held[point], []
        for gate in gates:
            if not gate.done():
                gate.set_result(None)

    def fail(self, *points: str) -> None:
        """From now on, calls fail at ``points``: at ``append`` nothing is stored, at ``append.done`` it is, but whoever
        asked for it is not told so.
        """
        self._failing.update(points)

    def recover(self) -> None:
        """Nothing fails any more."""
        self._failing.clear()

    # What happens in between

    async def stop(self, point: str) -> None:
        """A call has come to ``point``."""
        if point in self._held:
            gate = asyncio.get_running_loop().create_future()
            self._held[point].append(gate)
            await gate
        if point in self._failing:
            raise StorageUnavailable(f"the disk is full ({point})")

    async def call(self, name: str, work: Awaitable[T]) -> T:
        self.calls.append(name)
        try:
            await self.stop(name)
        except BaseException:
            if asyncio.iscoroutine(work):
                work.close()
            raise
        result = await work
        await self.stop(f"{name}.done")
        return result


class _Archive(ArchiveStore):
    def __init__(self, held: HeldBack) -> None:
        self._held = held
        self._store = held.archive

    async def append(self, messages: Sequence[NewMessage]) -> list[Placed]:
        self._held.appended.append(list(messages))
        return await self._held.call("append", self._store.append(messages))

    async def owed(self, owner: int, *, after: int, limit: int) -> tuple[list[Row], int]:
        return await self._held.call("owed", self._store.owed(owner, after=after, limit=limit))

    async def read(
        self,
        owner: int,
        query: Query,
        *,
        limit: int,
        backwards: bool = False,
        most_bytes: int | None = None,
    ) -> list[Row]:
        return await self._store.read(owner, query, limit=limit, backwards=backwards, most_bytes=most_bytes)

    async def marks(self, owner: int, *, after: int, limit: int) -> list[tuple[int, int, int]]:
        return await self._store.marks(owner, after=after, limit=limit)

    async def newest(self, owners: Iterable[int]) -> Mapping[int, int]:
        return await self._store.newest(owners)

    async def count(self, owner: int, query: Query) -> int:
        return await self._store.count(owner, query)

    async def replace(self, owner: int, id: int, stanza: bytes, kind: int) -> bool:
        return await self._store.replace(owner, id, stanza, kind)

    async def erase(self, owner: int, *, before: int, limit: int = 10_000) -> int:
        return await self._store.erase(owner, before=before, limit=limit)

    async def expire(self, *, before: int, limit: int = 10_000) -> int:
        return await self._store.expire(before=before, limit=limit)

    async def forget(self, *, before: int, limit: int = 10_000) -> int:
        return await self._store.forget(before=before, limit=limit)


class _Cursors(CursorStore):
    def __init__(self, held: HeldBack) -> None:
        self._held = held
        self._store = held.cursors

    async def load(self, owner: int, *, since: int, limit: int) -> Waiting:
        return await self._store.load(owner, since=since, limit=limit)

    async def weigh(self, owner: int, *, since: int, limit: int) -> int:
        return await self._store.weigh(owner, since=since, limit=limit)

    async def save(self, cursors: Mapping[int, Cursor]) -> None:
        await self._held.call("save", self._store.save(cursors))
