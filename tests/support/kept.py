"""A storage for kept messages whose every step the test can hold back, put in front of the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from xmppd.storage.interfaces import OfflineMessage, OfflineStore, Stores


class HeldBack(OfflineStore):
    """The same contract in memory, so that every step is the test's: each call stops at two points, before it takes
    effect (``append``, ``load``, ``discard``) and before its caller hears of it (``append.done``, and so on).
    """

    def __init__(self) -> None:
        self.kept: dict[int, dict[int, tuple[bytes, float | None]]] = {}
        self.held: dict[str, list[asyncio.Future[None]]] = {}
        self.error: Exception | None = None  # raised instead of an effect
        self.calls: list[str] = []
        self._newest = 0
        self._telling = asyncio.Lock()

    def wrap(self, stores: Stores) -> Stores:
        return replace(stores, offline=self)

    # What the test does

    def hold(self, *points: str) -> None:
        """From now on, calls stop at ``points``."""
        for point in points:
            self.held.setdefault(point, [])

    def let_go(self, *points: str) -> None:
        """Whoever stopped at ``points`` goes on, and nobody stops there any more."""
        for point in points or tuple(self.held):
            for gate in self.held.pop(point, ()):
                if not gate.done():
                    gate.set_result(None)

    def waiting(self, point: str) -> int:
        """How many calls have stopped at ``point``."""
        return sum(not gate.done() for gate in self.held.get(point, ()))

    async def stop(self, point: str) -> None:
        """A call has come to ``point``."""
        if point in self.held:
            gate = asyncio.get_running_loop().create_future()
            self.held[point].append(gate)
            await gate

    # The contract

    async def append(self, owner: int, stanza: bytes, *, limit: int, expires: float | None = None) -> int:
        self.calls.append("append")
        await self.stop("append")
        if self.error is not None:
            raise self.error
        self._newest += 1
        id = self._newest
        self.kept.setdefault(owner, {})[id] = (stanza, expires)
        async with self._telling:  # in the order of the ids, as a storage with one writer does
            await self.stop("append.done")
        return id

    async def load(self, owner: int, *, now: float, after: int = 0, limit: int = 100) -> list[OfflineMessage]:
        self.calls.append("load")
        await self.stop("load")
        if self.error is not None:
            raise self.error
        found = [
            OfflineMessage(id, stanza)
            for id, (stanza, expires) in self.kept.get(owner, {}).items()
            if id > after and (expires is None or expires > now)
        ]
        await self.stop("load.done")
        return found[:limit]

    async def discard(self, owner: int, ids: Iterable[int]) -> None:
        self.calls.append("discard")
        await self.stop("discard")
        for id in tuple(ids):
            self.kept.get(owner, {}).pop(id, None)
        await self.stop("discard.done")

    async def expire(self, *, now: float, limit: int = 1000) -> int:
        gone = [
            (owner, id)
            for owner, kept in self.kept.items()
            for id, (_, expires) in kept.items()
            if expires is not None and expires <= now
        ][:limit]
        for owner, id in gone:
            del self.kept[owner][id]
        return len(gone)

    async def count(self, owner: int) -> int:
        return len(self.kept.get(owner, {}))
