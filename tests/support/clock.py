"""A clock whose hands the test moves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

EPOCH = 1_790_000_000.0  # 2026-09-21T14:13:20Z


class ManualTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Time stands still until ``advance``."""

    def __init__(self, now: float = EPOCH) -> None:
        self._now = now
        self._passed = 0.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now + self._passed

    def monotonic(self) -> float:
        return self._passed

    @property
    def pending(self) -> int:
        """How many timers run."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> ManualTimer:
        timer = ManualTimer(callback)
        heapq.heappush(self._timers, (self._passed + seconds, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; what falls due is called in order, each at its time."""
        until = self._passed + seconds
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            self._passed = max(self._passed, at)
            if timer.callback is not None:
                timer.callback()
        self._passed = until
