"""Finds clients that are gone without a word: after some silence a client is asked, and one that does not
answer is closed (DESIGN 7.7).

One timer looks at all connections; a connection only notes that it was heard.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from xmppd.clock import Clock, Timer

_TICKS: Final = 4  # looks within the shorter of the two times
_REMIND: Final = 7.5  # seconds between looks where nobody is asked for a sign of life


class Watched(Protocol):
    """A connection as seen from here."""

    heard: bool
    silent: int

    def check(self) -> None:
        """Notice a connection that is broken though nobody said so."""

    def ping(self) -> None:
        """Ask the client whether it is there."""

    def give_up(self) -> None:
        """The client is gone."""

    def remind(self) -> None:
        """Some time has passed: ask for what was not acknowledged (XEP-0198)."""


class Keepalive:
    """Watches ``connections``. ``after`` and ``timeout`` in seconds; 0 for ``after``: nobody is asked
    for a sign of life.
    """

    def __init__(
        self, connections: Collection[Watched], clock: Clock, *, after: float, timeout: float
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._timer: Timer | None = None
        self._tick = min(after, timeout or after) / _TICKS if after else _REMIND
        self._ask_at = max(1, round(after / self._tick)) if after else 0
        self._give_up_at = self._ask_at + max(1, round(timeout / self._tick)) if timeout and after else 0

    def start(self) -> None:
        self._timer = self._clock.call_later(self._tick, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.call_later(self._tick, self._look)
        ask_at, give_up_at = self._ask_at, self._give_up_at
        for connection in tuple(self._connections):
            connection.remind()
            if connection.heard:
                connection.heard = False
                connection.silent = 0
                continue
            connection.silent += 1
            connection.check()
            if connection.silent == ask_at:
                connection.ping()
            elif connection.silent == give_up_at:
                connection.give_up()
