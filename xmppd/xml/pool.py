"""Primed parsers, shared by all streams that opened with the standard header.

A connection between two stanzas needs no parser, and most connections are there most of the time. So one
parser stands ready for whoever gets bytes; if they end inside a stanza, that stream takes the parser and
another one stands ready. That halves the memory of an idle connection.
"""

from __future__ import annotations

from typing import Final

from xmppd.xml.parser import ParserLimits, StreamParser

_MOST_SPARE: Final = 64


class ParserPool:
    """One for each set of limits. ``ready`` stands between two stanzas; who feeds it half a stanza must
    ``take`` it.
    """

    def __init__(self, limits: ParserLimits) -> None:
        self._limits = limits
        self._spare: list[StreamParser] = []
        self.ready = StreamParser(limits, primed=True)

    def take(self) -> StreamParser:
        """``ready``, which is the caller's from now on; another one takes its place."""
        taken = self.ready
        self.ready = self._spare.pop() if self._spare else StreamParser(self._limits, primed=True)
        return taken

    def give_back(self, parser: StreamParser) -> bool:
        """Take ``parser`` back if it stands between two stanzas; False: the stream keeps it for now."""
        if not (parser.idle and parser.standard):
            return False
        if len(self._spare) < _MOST_SPARE:
            self._spare.append(parser)
        else:
            parser.close()
        return True
