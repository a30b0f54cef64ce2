"""A client's half of stream management (XEP-0198): what it sent that nobody acknowledged, and what it has handled."""

from __future__ import annotations

from collections import deque
from typing import Final

from tests.support.durability.letters import Letter

NS: Final = "urn:xmpp:sm:3"
ASK: Final = f"<r xmlns='{NS}'/>"
ENABLE: Final = f"<enable xmlns='{NS}' resume='true'/>"

_MODULO: Final = 2**32


class Contradiction(Exception):
    """The server said what cannot be."""


class Outgoing:
    """What one client has on its way: it outlives connections. ``id`` is empty while nothing can be resumed."""

    def __init__(self) -> None:
        self.id = ""
        self.on = False  # on this stream, by both sides
        self.handled = 0  # stanzas of the server
        self._acknowledged = 0
        self._queue: deque[tuple[str, Letter | None]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, xml: str, letter: Letter | None) -> None:
        """``xml`` is going to be sent."""
        self._queue.append((xml, letter))

    def holds(self, letter: Letter) -> bool:
        return any(each is letter for _, each in self._queue)

    def acknowledge(self, h: int) -> list[Letter]:
        """The server has handled ``h`` stanzas; the letters that are new among them."""
        count = (h - self._acknowledged) % _MODULO
        if count > len(self._queue):
            raise Contradiction(
                f"h={h} after h={self._acknowledged}, when {len(self._queue)} more had been sent"
            )
        self._acknowledged = h
        gone = [self._queue.popleft() for _ in range(count)]
        return [letter for _, letter in gone if letter is not None]

    def again(self) -> list[str]:
        """What has to be sent again on a resumed stream."""
        return [xml for xml, _ in self._queue]

    def start(self) -> list[tuple[str, Letter]]:
        """There is a new stream, which nobody has acknowledged anything on: the letters that may be lost."""
        lost = [(xml, letter) for xml, letter in self._queue if letter is not None]
        self._queue.clear()
        self._acknowledged = self.handled = 0
        self.id = ""
        self.on = False
        return lost
