"""Messages that are not stored, and wait in memory until what was stored before them has been delivered (DESIGN I5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from xmppd.sessions.session import Session
from xmppd.stanza import Message

_MOST: Final = 200  # messages
_MOST_BYTES: Final = 1_048_576


class Passing:
    """Those of one account, each with the row that it stands behind, and whom it is for: None is whoever is there."""

    __slots__ = ("_bytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Message, Session | None]] = deque()
        self._bytes = 0

    def add(self, row: int, message: Message, session: Session | None) -> bool:
        """Let ``message`` wait; False where too many do: then it goes first."""
        if len(self._waiting) >= _MOST or self._bytes >= _MOST_BYTES:
            return False
        self._waiting.append((row, message, session))
        self._bytes += len(message.wire())
        return True

    def before(self, row: int) -> Iterator[tuple[Message, Session | None]]:
        """Take away those that stand behind rows below ``row``, in order."""
        waiting = self._waiting
        while waiting and waiting[0][0] < row:
            _, message, session = waiting.popleft()
            self._bytes -= len(message.wire())
            yield message, session

    def rest(self) -> Iterator[tuple[Message, Session | None]]:
        """Take all away, in order."""
        return self.before(2**63)
