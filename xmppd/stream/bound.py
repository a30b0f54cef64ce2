"""A client's stream once its resource is bound: stanzas in, with no parser held between them."""

from __future__ import annotations

from collections.abc import Sequence

from xmppd.xml.parser import Event, ParserLimits, StreamParser
from xmppd.xml.pool import ParserPool


class BoundStream:
    """Parses the rest of one stream. With a pool it holds a parser only while a stanza is incomplete;
    without, it keeps its own.
    """

    __slots__ = ("_parser", "_pool")

    def __init__(self, parser: StreamParser, pool: ParserPool | None, limits: ParserLimits) -> None:
        """``parser`` read the header; ``pool`` is None when that was not the standard one."""
        parser.limits = limits
        self._pool = pool
        self._parser: StreamParser | None = parser
        if pool is not None and pool.give_back(parser):
            self._parser = None

    def feed(self, data: bytes) -> Sequence[Event]:
        """The events that ``data`` completes, in order."""
        pool = self._pool
        own = self._parser
        if own is not None:
            events = own.feed(data)
            if pool is not None and pool.give_back(own):
                self._parser = None
            return events
        assert pool is not None
        if not data.strip(b" \t\r\n"):
            return ()  # RFC 6120#4.6.1: whitespace keepalive
        parser = pool.ready
        events = parser.feed(data)
        if not parser.idle:
            self._parser = pool.take()
        return events

    def close(self) -> None:
        """The stream is over; free what it holds."""
        if self._parser is not None:
            self._parser.close()
            self._parser = None
