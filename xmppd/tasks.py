"""Background work: named, tracked, cancelled on shutdown; what it raises is logged and counted, never lost.

This is the only module that may call ``asyncio.create_task``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("xmppd.tasks")


class Tasks:
    """The running background tasks of one node."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self.failures = 0

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` in the background. Whoever keeps the task may await or cancel it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures += 1
            log.error("task %s failed", task.get_name(), exc_info=error)

    @property
    def running(self) -> tuple[asyncio.Task[Any], ...]:
        """What has not ended yet."""
        return tuple(self._running)

    async def finish(self, seconds: float | None) -> None:
        """Let what runs come to its end, for ``seconds`` at most (None: as long as it takes)."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    async def aclose(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
