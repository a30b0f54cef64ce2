"""Whoever writes for the same owner waits here, in the order of asking, rather than in the database on a connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from xmppd.storage.interfaces import StorageUnavailable


class NoTurn(StorageUnavailable):
    """Those in front took too long."""


class Turns:
    """First come, first served, per owner. What other processes write at the same time is the database's business."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[asyncio.Future[None]]] = {}  # an entry: somebody has the turn

    @asynccontextmanager
    async def of(self, owners: Iterable[int], deadline: float) -> AsyncIterator[None]:
        """Hold the turn of all ``owners``; ``NoTurn`` where it has not come by ``deadline`` (loop time)."""
        held: list[int] = []
        try:
            for owner in sorted(set(owners)):  # everyone in the same order: nobody waits in a circle
                await self._take(owner, deadline)
                held.append(owner)
            yield
        finally:
            for owner in held:
                self._pass_on(owner)

    async def _take(self, owner: int, deadline: float) -> None:
        queue = self._queues.get(owner)
        if queue is None:
            self._queues[owner] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        timer = turn.get_loop().call_at(deadline, _give_up, turn, owner)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(owner)
            raise
        finally:
            timer.cancel()

    def _pass_on(self, owner: int) -> None:
        queue = self._queues[owner]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[owner]


def _give_up(turn: asyncio.Future[None], owner: int) -> None:
    if not turn.done():
        turn.set_exception(
            NoTurn(
                f"the storage is overloaded: earlier changes for account {owner} take too long; try again later"
            )
        )
