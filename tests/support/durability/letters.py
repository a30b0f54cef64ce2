"""Messages, seen from outside: what was sent, what the sender was told, who saw it, and all that happened meanwhile."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

_LOGGED: Final = re.compile(
    r"(\S+) ((?:warning|error|critical) (?!xmppd.im (?:storage:|a stanza failed) ).*)"
)
_PIECES: Final = ("tea", "at noon", "naïve", "<3", "Q&A", "🙂", "'quoted'", "line\nbreak", "漢字")


@dataclass(slots=True)
class Letter:
    """One message. ``key`` is its id and the beginning of its text: ``sender.recipient.number``.

    ``plain``: it has no origin-id, so nobody could recognise it if it were sent again, and its sender does not.
    """

    key: str
    sender: str
    to: str
    number: int
    plain: bool = False
    acknowledged: bool = False  # covered by an h
    error: str | None = None  # the condition that its last try was answered with
    given_up: bool = False  # its stream was lost, and it was not sent again
    refusals: int = 0  # how many tries were answered with an error
    tries: list[float] = field(default_factory=list)  # when: seconds since the epoch

    @property
    def taken(self) -> bool:
        """Whether the server said that it has it."""
        return self.acknowledged and self.error is None


class Sight(NamedTuple):
    """A recipient's view of a message: by which stanza-id, how (``live``, ``late`` or ``history``), and on which of its
    streams (they are counted; a resumed one goes on with its number).
    """

    key: str
    stanza_id: str
    how: str
    stream: int


@dataclass(slots=True)
class Figures:
    """What is counted along the way."""

    kills: int = 0
    restarts: int = 0  # of the database
    swallowed: int = 0  # answers to COMMIT
    holes: int = 0  # of these, those after which the database stayed away
    cuts: int = 0
    logins: int = 0
    resumed: int = 0
    not_resumed: int = 0
    refused: int = 0
    pages: int = 0  # of history


class Post:
    """All letters, and what happened to each."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self.ports: dict[int, str] = {}  # whose connections come from there
        self.outages: list[float] = []  # when the storage did not take what it was given
        self.figures = Figures()
        self.problems: list[str] = []  # what no client should ever be told
        self._began = time.time()
        self._of: dict[str, list[tuple[float, str]]] = {}
        self._others: list[tuple[float, str, str]] = []

    def write(self, sender: str, to: str, number: int, *, plain: bool = False) -> Letter:
        """A new letter."""
        key = f"{sender}.{to}.{number}"
        letter = self.letters[key] = Letter(key, sender, to, number, plain)
        return letter

    def note(self, key: str, what: str) -> None:
        """Something happened to the letter ``key``."""
        self._of.setdefault(key, []).append((time.time(), what))

    def happened(self, what: str, who: str = "") -> None:
        """Something happened that may concern every letter, or only those from and to ``who``."""
        self._others.append((time.time(), who, what))

    def read_log(self, lines: Iterable[str]) -> None:
        """Make events of what the server logged that is not ordinary, and ``outages`` of what was not stored."""
        for line in lines:
            if found := _LOGGED.match(line):
                at = datetime.fromisoformat(found[1]).timestamp()
                if "not stored" in found[2]:
                    self.outages.append(at)
                self._others.append((at, "", f"the server logs: {found[2][:200]}"))

    def problem(self, what: str) -> None:
        """A client was told what cannot be."""
        self.happened(f"PROBLEM: {what}")
        self.problems.append(what)

    def history(self, key: str, *, to_the_end: bool = False) -> str:
        """Every event of the letter ``key``, and what went on around it, with seconds since the beginning."""
        own = self._of.get(key, [])
        if not own:
            return f"  (nothing is known of {key})"
        first, last = own[0][0] - 0.5, time.time() if to_the_end else own[-1][0] + 0.5
        ends = ("", *key.split(".")[:2])
        around = [
            (at, f"({f'{who} {what}'.strip()})")
            for at, who, what in self._others
            if first <= at <= last and who in ends
        ]
        return "\n".join(f"  {at - self._began:8.3f} {what}" for at, what in sorted(own + around))


def text_of(key: str) -> str:
    """The text of the letter ``key``: nobody may have changed a character of it."""
    check = zlib.crc32(key.encode())
    return f"{key} {_PIECES[check % len(_PIECES)]} {'x' * (check % 120)} {check:08x}"


@dataclass(slots=True)
class Seen:
    """What one recipient saw."""

    sights: list[Sight] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def add(self, sight: Sight) -> bool:
        """Whether it is the first sight of that message."""
        self.sights.append(sight)
        new = sight.key not in self.keys
        self.keys.add(sight.key)
        return new
