"""What a session has instead of a connection while it waits for one, and what all that wait take together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from xmppd.clock import Timer
from xmppd.errors import StreamError
from xmppd.sessions.link import Link
from xmppd.sessions.session import Session
from xmppd.stream.management import Management


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


class Sleepers:
    """The sessions that sleep, and how much each holds that is in no archive (DESIGN I6). Where that is too much, the
    one that holds most ends: whoever fills the memory by others' sessions ends none but these.
    """

    def __init__(self, end: Callable[[Session], None], most_bytes: int) -> None:
        """``most_bytes``: of all together (0: any number)."""
        self._end = end
        self._most = most_bytes
        self._held: dict[Session, int] = {}
        self._bytes = 0

    def add(self, session: Session, sm: Management) -> None:
        """``session`` sleeps from now on; perhaps it did before."""
        self.remove(session)
        self._held[session] = 0
        self._grow(session, sm.unarchived())
        sm.growing = partial(self._grow, session)

    def remove(self, session: Session) -> None:
        """``session`` sleeps no more, if it did."""
        self._bytes -= self._held.pop(session, 0)
        if session.sm is not None:
            session.sm.growing = None

    def _grow(self, session: Session, size: int) -> None:
        self._held[session] += size
        self._bytes += size
        if self._bytes > self._most > 0:
            # Not at once: whoever sends this is not done with it.
            asyncio.get_running_loop().call_soon(self._make_room)

    def _make_room(self) -> None:
        while self._bytes > self._most:
            largest = max(self._held, key=self._held.__getitem__)
            self.remove(largest)
            self._end(largest)


def _nobody() -> None:
    """The session has ended, or has another connection."""
