"""One thing after the other in a room, whoever asks for it, though some have to wait for the storage."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Final, cast

from xmppd.routing.router import Waiting
from xmppd.routing.ticket import Ticket
from xmppd.tasks import Tasks

Action = Callable[[], Waiting]
_Done = asyncio.Future[None]

_AT_ONCE: Final = 32  # actions that were waiting, before others than this room get on


class Turns:
    """What is done in a room, in order. Messages are on their way into the archive several at a time; what has been
    handed to it counts as done, since it keeps their order.

    What takes long is done in a task of the room's own: whoever asked for it may be cancelled, or never await it, and
    it is done to its end all the same. Who is cancelled before its turn has come is passed over.
    """

    __slots__ = ("_busy", "_name", "_newest", "_queue", "_tasks")

    def __init__(self, name: str, tasks: Tasks) -> None:
        """``name`` is whose turns they are, for the log."""
        self._name = name
        self._tasks = tasks
        self._busy = False
        self._queue: deque[tuple[Action, _Done]] = deque()
        self._newest: Ticket | None = None  # of what was handed to the archive

    @property
    def idle(self) -> bool:
        """Whether nothing is being done, and what was handed to the archive is there."""
        return not self._busy and (self._newest is None or self._newest.is_settled)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._queue)

    async def stored(self) -> None:
        """Wait until what was handed to the archive so far is there, or could not be put there. Not an idle wait: who
        has the turn keeps it.
        """
        if self._newest is not None:
            await self._newest.settled()

    def take(self, action: Action) -> Waiting:
        """Do ``action`` when it is its turn, now if possible; what may be awaited until it is done, which raises what
        ``action`` raises.
        """
        if self._busy:
            return self._line_up(action)
        self._busy = True  # what ``action`` does may ask for a turn in its turn
        try:
            waiting = action()
        except BaseException:
            self._rest()
            raise
        if waiting is None:
            self._rest()
            return None
        if type(waiting) is Ticket:
            self._newest = waiting
            self._rest()
            return waiting
        done: _Done = asyncio.get_running_loop().create_future()
        self._start(waiting, done)
        return done

    def _line_up(self, action: Action) -> _Done:
        done: _Done = asyncio.get_running_loop().create_future()
        self._queue.append((action, done))
        return done

    def _rest(self) -> None:
        """What had the turn is done."""
        if self._queue:
            self._start(None, None)
        else:
            self._busy = False

    def _start(self, waiting: Awaitable[None] | None, done: _Done | None) -> None:
        task = self._tasks.start(self._name, self._work(waiting, done))
        task.add_done_callback(partial(self._ended, waiting, done))

    def _ended(self, waiting: Awaitable[None] | None, done: _Done | None, task: asyncio.Task[None]) -> None:
        """Not here, unless the task was cancelled, maybe before it began: the server stops."""
        if task.cancelled():
            if asyncio.iscoroutine(waiting):
                cast(Coroutine[object, object, None], waiting).close()
            for future in (done, *(each for _, each in self._queue)):
                if future is not None:
                    future.cancel()
            self._queue.clear()
            self._busy = False

    async def _work(self, waiting: Awaitable[None] | None, done: _Done | None) -> None:
        """Finish what has the turn, then do all that waits."""
        if waiting is not None and done is not None:
            await self._finish(waiting, done)
        count = 0
        while self._queue:
            action, done = self._queue.popleft()
            if done.done():
                continue  # who asked has given up
            try:
                waiting = action()
            except Exception as err:
                _settle(done, err)
                continue
            if waiting is None:
                _settle(done, None)
            elif type(waiting) is Ticket:
                self._newest = waiting
                waiting.then(partial(_settle, done))
            else:
                await self._finish(waiting, done)
            count += 1
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._busy = False

    async def _finish(self, waiting: Awaitable[None], done: _Done) -> None:
        try:
            await waiting
        except asyncio.CancelledError:
            done.cancel()
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the server stops; else it was something that ``waiting`` waited for
        except Exception as err:
            _settle(done, err)
        else:
            _settle(done, None)


def _settle(done: _Done, error: Exception | None) -> None:
    if done.done():
        return  # nobody waits any more
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
