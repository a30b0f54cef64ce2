"""What a session has instead of a connection while it waits for one."""

from __future__ import annotations

from collections.abc import Callable

from xmppd.clock import Timer
from xmppd.errors import StreamError
from xmppd.sessions.session import Link


class Asleep(Link):
    """Stands where the connection of a session was. Stanzas wait in the session's queue; what else is written is lost.

    ``since``: in monotonic seconds.
    """

    __slots__ = ("_end", "since", "timer")

    def __init__(self, end: Callable[[], None], since: float) -> None:
        self._end = end
        self.since = since
        self.timer: Timer | None = None

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> bool:
        return False

    def fail(self, error: StreamError) -> None:
        self._end()

    def release(self, error: StreamError) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._end = _nobody  # or the session and this would keep each other in memory


def _nobody() -> None:
    """The session has ended, or has another connection."""
