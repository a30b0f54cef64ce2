"""Stream management (XEP-0198) as counters and a queue, sans-IO: what was sent and is not acknowledged yet.

    before the stream is lost         lost                    on a new stream
    queue: [.. .. .. .. ..]           [.. .. .. | .. ..]      [.. | .. ..]
           all written                 written    not yet       acknowledged entries leave at the front;
                                                               the rest is written from the front again

Stanzas are counted from 1, and what stands on the wire is the count modulo 2^32. The queue holds no counts: its first
entry is always the one behind ``acknowledged``, so one that turns out to be worth nothing may be left out when the rest
is written again.

Content is bounded (DESIGN I6). What is in the archive is let go first, since it can be read again by its row, and most
of it at once when there is no stream. Where that is not enough, as when a thousand contacts show themselves at once,
the oldest of the rest is let go too: the stream goes on, but is not resumed before the client has acknowledged that.
Without a stream it never could: then the queue is full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xmppd.errors import StanzaCondition, StreamError
from xmppd.ns import STANZA_ERRORS
from xmppd.xml.element import Element

NS: Final = "urn:xmpp:sm:3"

REQUEST: Final = f"<r xmlns='{NS}'/>".encode()

MODULO: Final = 2**32
_HALF: Final = 2**31
_ENTRIES: Final = 10  # times as many entries as may have content
_WAITING: Final = 16  # without a stream a part of the content is enough, of what the archive has

# A stanza, None where it was let go; its row in the archive, or 0; when it was queued, 0 if that was while it was live.
# A plain tuple: one is made for each stanza that is sent.
Entry = tuple[bytes | None, int, float]


class QueueFull(Exception):
    """More was sent than the client will ever acknowledge: the stream is over, and cannot be resumed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """``stanzas`` and ``bytes``: of content that is kept (0: no bound). ``ask_every``: how many stanzas are sent
    between two requests.
    """

    stanzas: int
    bytes: int
    ask_every: int


def ack(handled: int) -> bytes:
    """``<a/>`` for ``handled`` stanzas."""
    return f"<a xmlns='{NS}' h='{handled % MODULO}'/>".encode()


def failed(condition: StanzaCondition, attrs: dict[str, str] | None = None) -> Element:
    """``<failed/>`` (XEP-0198#errors)."""
    return Element("failed", NS, attrs, [Element(condition, STANZA_ERRORS)])


def read_count(text: str | None) -> int | None:
    """The value of an attribute ``h`` (xs:unsignedInt); None where it is none."""
    if text is None:
        return None
    text = text.strip(" \t\r\n")
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        return None
    value = int(text)
    return value if value < MODULO else None


class Management:
    """One client's stanzas from ``<enabled/>`` on, through any number of streams.

    While it is ``live`` there is a stream, and all that is queued was written to it.
    """

    __slots__ = (
        "_bounds", "_bytes", "_full", "_gone", "_kept", "_now", "_queue", "_unasked", "_written", "acknowledged",
        "asking", "base", "growing", "id", "live", "seconds", "since",
    )  # fmt: skip

    def __init__(self, bounds: Bounds, base: int, now: Callable[[], float]) -> None:
        """``base``: how many stanzas the client had sent before. ``now`` gives seconds since the epoch."""
        self._bounds = bounds
        self._now = now
        self._queue: list[Entry] = []
        self._full = 0  # entries with content
        self._kept = 0  # of these, those that can be read again by their rows
        self._bytes = 0  # of content
        self._gone = 0  # the newest stanza whose content is gone for good; 0: none
        self._unasked = 0  # sent since the last request
        self._written = 0  # while not live: how many entries, from the front, were written to the stream
        self.acknowledged = 0  # stanzas, not modulo anything
        self.asking = False  # a request has no answer yet
        self.base = base
        self.live = True
        self.since = 0.0  # when it was live last, while it is not
        self.id = ""  # by which it is resumed; empty: it is not to be
        self.seconds = 0.0  # for which it may be resumed
        self.growing: Callable[[int], None] | None = (
            None  # told of bytes that come while not live, and no archive has
        )

    @property
    def sent(self) -> int:
        """How many stanzas the client may have got, not modulo anything."""
        return self.acknowledged + (len(self._queue) if self.live else self._written)

    def __len__(self) -> int:
        """How many stanzas are not acknowledged, sent or not."""
        return len(self._queue)

    def is_behind(self) -> bool:
        """Whether the client leaves more stanzas unacknowledged than are kept with their content."""
        return len(self._queue) > self._bounds.stanzas > 0

    # On a stream

    def put(self, data: bytes, row: int = 0) -> bytes | None:
        """Count the stanza ``data``, which the archive has as ``row`` (0: it has not). What is to be written now: the
        stanza, with a request where one is due; None while it is not live.

        ``QueueFull`` when the client leaves too much unacknowledged; the stanza is in the queue all the same.
        """
        live, bounds = self.live, self._bounds
        self._queue.append((data, row, 0.0 if live else self._now()))
        self._full += 1
        self._bytes += len(data)
        if row:
            self._kept += 1
        if self._full > bounds.stanzas > 0 or self._bytes > bounds.bytes > 0:
            self._make_room()
        if not live:
            if not row:
                if self.growing is not None:
                    self.growing(len(data))
            elif self._is_much():
                self._drop(len(self._queue) - 1)
            return None
        self._unasked += 1
        if self._unasked >= bounds.ask_every:
            return data + self.request()
        return data

    def request(self) -> bytes:
        """``<r/>``, which is going to be written."""
        self._unasked = 0
        self.asking = True
        return REQUEST

    def may_ask(self) -> bool:
        """Whether something is not acknowledged and the client was not asked to."""
        return bool(self._queue) and self.live and not self.asking

    def acknowledge(self, h: int) -> list[int]:
        """The client has handled ``h`` stanzas (modulo 2^32): the rows of those that it had not acknowledged before.

        ``StreamError``: it was not sent so many.
        """
        self.asking = False
        count = (h - self.acknowledged) % MODULO
        if count > _HALF:
            return []  # an older one; the XEP does not say what it is worth
        if self.acknowledged + count > self.sent:
            sent = self.sent % MODULO
            # XEP-0198#errors
            raise StreamError(
                "undefined-condition",
                f"You acknowledged {h} stanzas, but I only sent you {sent} so far.",
                extra=("handled-count-too-high", NS, {"h": str(h), "send-count": str(sent)}),
            )
        rows = []
        for data, row, _ in self._queue[:count]:
            if row:
                rows.append(row)
            if data is not None:
                self._forget(data, row)
        del self._queue[:count]
        self.acknowledged += count
        self._written -= count
        return rows

    # Between streams

    def lose(self) -> None:
        """The stream is gone."""
        if self.live:
            self.live = False
            self._written = len(self._queue)
            self.since = self._now()
            for index in range(len(self._queue) - 1, -1, -1):
                if not self._is_much():
                    break
                if self._queue[index][1]:
                    self._drop(index)
        self.asking = False

    def resume(self, h: int) -> list[int] | None:
        """There is a new stream, on which the client says that it has handled ``h`` stanzas: as ``acknowledge``. What
        is left is to be written again, see ``next``. None: it cannot go on from there.
        """
        count = (h - self.acknowledged) % MODULO
        handled = self.acknowledged + count
        if count > _HALF or (handled <= self.sent and handled < self._gone):
            return None
        rows = self.acknowledge(h)
        self._written = 0
        return rows

    def next(self) -> Entry | None:
        """The first entry that is not on the new stream yet; None: all are, and it may ``wake``."""
        return self._queue[self._written] if self._written < len(self._queue) else None

    def wake(self) -> None:
        """All that is queued is on the new stream."""
        self.live = True
        self._unasked = 0

    def upcoming(self, most: int) -> list[int]:
        """The rows among the next ``most`` entries that have to be read again."""
        entries = self._queue[self._written : self._written + most]
        return [row for data, row, _ in entries if data is None]

    def wrote(self) -> None:
        """The next entry is on the new stream."""
        self._written += 1

    def skip(self) -> None:
        """The next entry is not to be found any more: the client gets what comes behind it."""
        data, row, _ = self._queue.pop(self._written)
        if data is not None:
            self._forget(data, row)

    def unacknowledged(self) -> list[Entry]:
        """What the client has not acknowledged, in order; what is gone for good is left out."""
        return [entry for entry in self._queue if entry[0] is not None or entry[1]]

    def unarchived(self) -> int:
        """How many bytes of content are in no archive."""
        return sum(len(data) for data, row, _ in self._queue if data is not None and not row)

    # Room

    def _make_room(self) -> None:
        queue, bounds = self._queue, self._bounds
        if queue[-1][1]:
            self._drop(len(queue) - 1)
        elif self._kept:
            for index in range(len(queue)):
                if queue[index][1]:
                    self._drop(index)
        if self._is_over(1):
            if not self.live:
                raise QueueFull
            # Half of it, so that this is not done for each stanza.
            for index in range(len(queue)):
                self._drop(index)
                if not self._is_over(2):
                    break
        if len(queue) > bounds.stanzas * _ENTRIES > 0:
            raise QueueFull

    def _is_over(self, part: int) -> bool:
        """Whether there is more content than this part of what is allowed."""
        bounds = self._bounds
        return self._full * part > bounds.stanzas > 0 or self._bytes * part > bounds.bytes > 0

    def _is_much(self) -> bool:
        """Whether there is more content than should wait in memory without a stream: many sessions may do so."""
        return self._bytes * _WAITING > self._bounds.bytes > 0

    def _drop(self, index: int) -> None:
        """Let the content of an entry go."""
        data, row, at = self._queue[index]
        if data is not None:
            self._queue[index] = (None, row, at)
            self._forget(data, row)
            if not row:
                self._gone = self.acknowledged + index + 1

    def _forget(self, data: bytes, row: int) -> None:
        self._full -= 1
        self._bytes -= len(data)
        if row:
            self._kept -= 1
