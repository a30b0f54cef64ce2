"""What of an account's archive its clients have, as this node knows it (DESIGN I3, DESIGN 6).

Every row up to ``seen`` that was owed is either *settled* (a client has it for certain) or *given*: it is on its way to
sessions that acknowledge (XEP-0198) and have not done so. Rows above ``seen`` are owed, except the few that were
settled or given out of turn, such as those for one resource of an account that nobody else can reach.

While the mailbox is *open*, somebody of the account on this node takes what comes, and ``seen`` moves with each row.
While it is not, rows stay owed, and only their number is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nsmallest
from typing import Final

from xmppd.storage.archive import Cursor, Waiting

_ANY: Final = 2**62  # rows: more than any bound
_TIDY_AT: Final = 64  # ids more than last time that were settled out of turn: then they are looked through
_MOST_ABOVE: Final = 10_000  # of these that are remembered; a client may get what is beyond once more
_MOST_SAVED: Final = 1_000  # of these that are saved; after a restart the same is true


class Mailbox:
    """One account's. Only ``Delivery`` opens, gives and closes; whoever knows that a client has a row may settle it."""

    __slots__ = (
        "_above", "_changed", "_given", "_tidy_at", "bytes", "coming", "counted", "dirty", "newest", "open", "owner",
        "seen", "unsure", "waiting", "weighed",
    )  # fmt: skip

    def __init__(self, owner: int, found: Waiting, changed: Callable[[Mailbox], None]) -> None:
        """``found``: where the owner stands. ``changed`` is told when there is something new to save."""
        cursor = found.cursor
        self.owner = owner
        self.seen = cursor.upto
        self.newest = found.newest  # row of which this node knows
        self.waiting = found.count
        self.counted = 0.0  # when they were counted last, in monotonic seconds
        self.bytes = (
            0  # that wait, as far as somebody wanted to know: when they were weighed, and what came since
        )
        self.weighed: float | None = None  # when that was, in monotonic seconds
        self.coming = 0  # messages on their way into the archive that will wait then
        self.open = False
        self.dirty = False  # not saved as it is
        self.unsure = False  # less may wait than is known
        self._above = set(cursor.above)
        self._tidy_at = _TIDY_AT
        self._given: dict[int, int] = {}  # row: how many sessions have it
        self._changed = changed

    def came(self, error: Exception | None) -> None:
        """One that was ``coming`` waits by now, or could not be stored."""
        self.coming -= 1

    def lose_count(self) -> None:
        """More may wait than is known: they are to be counted before anybody asks."""
        self.waiting = _ANY
        self.unsure = True

    def is_done(self, row: int) -> bool:
        """Whether ``row``, which is owed as far as the archive knows, is settled or given."""
        return row <= self.seen or row in self._given or row in self._above

    def give(self, row: int, sessions: int) -> None:
        """So many ``sessions`` have ``row`` and may acknowledge it."""
        self._given[row] = self._given.get(row, 0) + sessions

    def settle(self, row: int) -> None:
        """A client of the account has ``row``."""
        given = self._given
        if given.pop(row, None) is None and row <= self.seen:
            return
        if given or row > self.seen:
            self._above.add(row)
            if len(self._above) > self._tidy_at:
                self._tidy()
        self._mark()

    def settle_range(self, after: int, upto: int) -> None:
        """A client has every row above ``after`` up to ``upto``, e.g. read from its history."""
        for row in [row for row in self._given if after < row <= upto]:
            self.settle(row)
        if after <= self.seen < upto and not self.open:
            self.seen = upto
            self._mark()

    def take(self, row: int) -> None:
        """A client has ``row``, the next in turn."""
        if self._given:
            self.settle(row)
        self.advance(row)

    def advance(self, row: int) -> None:
        """All that is owed up to ``row`` was settled or given."""
        if row > self.seen:
            self.seen = row
            if not self.dirty:
                self._mark()

    def lost(self, rows: Iterable[int]) -> int:
        """A session is gone that had ``rows`` and did not acknowledge them; how many of them are owed again."""
        again = []
        for row in rows:
            left = self._given.get(row, 0) - 1
            if left > 0:
                self._given[row] = left
            elif left == 0:
                del self._given[row]
                again.append(row)
        if again:
            first = min(again)
            if first <= self.seen:
                self.seen = first - 1
            self._mark()
        return len(again)

    def merge(self, cursor: Cursor) -> None:
        """Another node has settled what ``cursor`` says."""
        if cursor.upto > self.seen:
            self._given = {row: sessions for row, sessions in self._given.items() if row > cursor.upto}
            self.seen = cursor.upto
        self._above |= cursor.above

    def cursor(self) -> Cursor:
        """What is to be remembered."""
        self._tidy()
        return Cursor(self._upto(), frozenset(nsmallest(_MOST_SAVED, self._above)))

    def _upto(self) -> int:
        return min(self.seen, min(self._given) - 1) if self._given else self.seen

    def _tidy(self) -> None:
        upto = self._upto()
        self._above = {row for row in self._above if row > upto}
        if len(self._above) > _MOST_ABOVE:
            self._above = set(nsmallest(_MOST_ABOVE, self._above))
        self._tidy_at = 2 * len(self._above) + _TIDY_AT

    def _mark(self) -> None:
        if not self.open:
            self.unsure = True
        if not self.dirty:
            self.dirty = True
            self._changed(self)
