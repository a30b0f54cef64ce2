"""What a stanza gets that has to wait for the archive: many share one commit, and no task waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

Done = Callable[[Exception | None], None]


class Ticket:
    """Settled once, when its stanza is durable and has been delivered, or with the error that prevented it.

    Whoever has time awaits it; it raises that error then.
    """

    __slots__ = ("_error", "_settled", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Done] = []
        self._settled = False
        self._error: Exception | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it was settled, be it with an error."""
        return self._settled

    def then(self, done: Done) -> None:
        """Call ``done`` with the error, or None, behind all that were told so before; at once where it is settled."""
        if self._settled:
            done(self._error)
        else:
            self._waiting.append(done)

    def settle(self, error: Exception | None = None) -> None:
        """Tell all who want to know. What one of them raises is raised again once all were told."""
        self._settled = True
        self._error = error
        waiting, self._waiting = self._waiting, []
        failure: Exception | None = None
        for done in waiting:
            try:
                done(error)
            except Exception as err:
                failure = failure or err
        if failure is not None:
            raise failure

    async def settled(self) -> None:
        """Wait until it is settled; whom the error concerns was told by ``then``."""
        if not self._settled:
            future = asyncio.get_running_loop().create_future()

            def wake(_: Exception | None) -> None:
                if not future.done():
                    future.set_result(None)

            self._waiting.append(wake)
            await future

    def __await__(self) -> Generator[Any, None, None]:
        yield from self.settled().__await__()
        if self._error is not None:
            raise self._error
