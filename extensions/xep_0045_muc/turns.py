"""One thing after the other in a room, whoever asks for it, though some have to wait for the storage."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from xmppd.routing.router import Waiting
from xmppd.routing.ticket import Ticket

Action = Callable[[], Waiting]


class Turns:
    """What is done in a room, in order. Messages are on their way into the archive several at a time; what has been
    handed to it counts as done, since it keeps their order.
    """

    def __init__(self) -> None:
        self._busy = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def idle(self) -> bool:
        return not self._busy

    def take(self, action: Callable[[], Waiting]) -> Waiting:
        """Do ``action`` when it is its turn, now if possible; what to await until it is done. It raises what ``action``
        raises.
        """
        if self._busy:
            return self._later(action)
        waiting = action()
        if waiting is None or type(waiting) is Ticket:
            return waiting
        self._busy = True
        return self._finish(waiting)

    async def _later(self, action: Action) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # it had become ours
            raise
        try:
            waiting = action()
        except BaseException:
            self._next()
            raise
        if waiting is None or type(waiting) is Ticket:
            self._next()
            if waiting is not None:
                await waiting
        else:
            await self._finish(waiting)

    async def _finish(self, waiting: object) -> None:
        try:
            await waiting  # type: ignore[misc]  # an awaitable that is no Ticket
        finally:
            self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
