"""Primed parsers, shared by all streams that opened with the standard header.

A connection between two stanzas needs no parser, and most connections are there most of the time: so it borrows one
while bytes are at hand. That halves the memory of an idle connection.
"""

from __future__ import annotations

from typing import Final

from xmppd.xml.parser import ParserLimits, StreamParser

_MOST_IDLE: Final = 64


class ParserPool:
    """One for each set of limits; a parser is in it or borrowed, never both."""

    def __init__(self, limits: ParserLimits) -> None:
        self._limits = limits
        self._idle: list[StreamParser] = []

    def borrow(self) -> StreamParser:
        """A parser that stands between two stanzas of a stream with the standard header."""
        return self._idle.pop() if self._idle else StreamParser(self._limits, primed=True)

    def give_back(self, parser: StreamParser) -> bool:
        """Take ``parser`` back if it stands between two stanzas; False: the stream keeps it for now."""
        if not (parser.idle and parser.standard):
            return False
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(parser)
        else:
            parser.close()
        return True
