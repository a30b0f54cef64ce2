"""A chat list while it is brought up to date: how rows become lines of it (XEP-0430 (Unread Messages)).

- A conversation begins with an instant message; receipts, markers and reactions belong to it, but begin none and do not
  move it to the top of the list: to read what one's friend wrote sends a marker, and is no news.
- Each instant message that the owner got is unread at first; one that the owner sent, from any device, is read. As a
  message is read if a later one is, answering reads what came before. In one that was taken back nothing is to be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from xmppd.storage.archive import Checkpoint, Conversation, Kind, Mark

_SENT: Final = int(Mark.SENT)
_UNREAD: Final = int(Mark.UNREAD)
_PEER: Final = ~0b11
_MARKER: Final = int(Kind.MARKER)
_TOMBSTONE: Final = int(Kind.TOMBSTONE)
_FOUND: Final = 10  # to find out what was read takes as long as to fold so many rows


class Draft:
    """The conversations of one owner up to the row ``upto``. ``changes`` counts what is not in ``checkpoint`` yet."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.upto = checkpoint.upto
        self.changes = 0
        self._version = checkpoint.version
        self._lines = {line.peer: line for line in checkpoint.conversations if not line.peer & 1}
        self._rooms = {line.peer: line for line in checkpoint.conversations if line.peer & 1}
        self._before: dict[int, int] = {}

    def fold(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Add ``rows`` (id, peer with its ``Mark``, ``Kind``), which follow ``upto`` in ascending order."""
        lines = self._lines
        touched: dict[int, list[int]] = {}  # as a Conversation, to be written to
        id = self.upto
        for id, marked, kind in rows:
            self.changes += 1
            peer = marked & _PEER
            line = touched.get(peer)
            if line is None:
                known = lines.get(peer)
                if known is not None:
                    line = list(known)
                elif marked & _UNREAD:
                    line = [peer, id, id, 0, id - 1]
                else:
                    continue
                touched[peer] = line
            line[1] = id
            if kind & _MARKER:
                self._before[peer] = line[3]
            if marked & _UNREAD:
                line[2] = id
                if marked & _SENT:
                    line[3] = 0
                    line[4] = id
                elif not kind & _TOMBSTONE:
                    line[3] += 1
        self.upto = id
        lines.update((peer, Conversation(*line)) for peer, line in touched.items())

    def get(self, peer: int) -> Conversation | None:
        """The conversation with the ``peer_key`` ``peer``."""
        return self._lines.get(peer)

    def unread_behind_marker(self, peer: int) -> int:
        """How many of the unread messages of ``peer`` came after the last marker to it."""
        return self._lines[peer].unread - self._before[peer]

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._lines.values())

    def mark(self, peer: int, *, read: int, unread: int) -> None:
        """Everything up to the id ``read`` is read in the conversation with ``peer``; ``unread`` messages are left."""
        self._lines[peer] = self._lines[peer]._replace(read=read, unread=unread)
        self.changes += _FOUND

    def room(self, peer: int) -> Conversation:
        """The line of a room (``room_lines``); an empty one where there is none yet."""
        return self._rooms.get(peer) or Conversation(peer, 0, 0)

    def set_room(self, line: Conversation) -> None:
        """``line`` is how a room is shown from here on."""
        if self._rooms.get(line.peer) != line:
            self._rooms[line.peer] = line
            self.changes += _FOUND

    def keep_rooms(self, peers: Collection[int]) -> None:
        """Forget all rooms but these."""
        self._rooms = {peer: line for peer, line in self._rooms.items() if peer in peers}

    def drop_before(self, id: int) -> None:
        """Forget conversations whose newest message is older than the row ``id``: it is gone."""
        gone = [line.peer for line in self if line.message < id]
        for peer in gone:
            del self._lines[peer]
        self.changes += len(gone)

    def newest_first(self, limit: int) -> tuple[Conversation, ...]:
        """The conversations by their newest message. With people, only ``limit`` of them (0: all), for which the oldest
        without unread messages are left out first; rooms are as many as there are.
        """
        lines = sorted(self, key=_message, reverse=True)
        if 0 < limit < len(lines):
            lines.sort(key=_is_read)  # stable: the unread ones stay in order, and come first
            del lines[limit:]
        return tuple(sorted([*lines, *self._rooms.values()], key=position, reverse=True))

    def checkpoint(self, limit: int) -> Checkpoint:
        """What is to be saved, of at most ``limit`` conversations."""
        return Checkpoint(self.upto, self.newest_first(limit), self._version)


def position(line: Conversation) -> tuple[int, int]:
    """Where ``line`` stands in a list: the higher, the further up."""
    return line.message, line.peer if line.peer & 1 else 0


def _message(line: Conversation) -> int:
    return line.message


def _is_read(line: Conversation) -> bool:
    return not line.unread
