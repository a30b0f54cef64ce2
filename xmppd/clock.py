"""Time, injected: production code gets a ``SystemClock``, tests one whose hands they move."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Wall-clock time in seconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` once, ``seconds`` from now, from the event loop."""


class SystemClock:
    """The machine's clock. Timers need a running event loop."""

    # The functions themselves: they are called for each stanza.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)


def stamp(seconds: float) -> str:
    """Seconds since the epoch as an XEP-0082 DateTime with milliseconds, e.g. ``2026-07-01T12:00:00.250Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def microseconds(text: str) -> int:
    """What ``text``, an XEP-0082 DateTime, means in microseconds since the epoch; ``ValueError`` if it is none."""
    if _DATE_TIME(text) is None:
        raise ValueError(f"{text!r} is no time such as 2026-07-01T12:00:00Z")
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
