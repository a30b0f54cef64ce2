"""The parser pool: streams share parsers and never notice one another."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markup import HEADER, LIMITS, comparable, parse, pieces
from xmppd.xml.parser import Event, StreamParser
from xmppd.xml.pool import ParserPool

STANZAS = [
    b"<presence/>",
    b"<message xml:lang='de'><body>Hi &amp; bye</body></message>",
    b"<iq xmlns:p='urn:p' p:id='1'><p:query/></iq> \n",
    b"<p:message xmlns:p='jabber:client'><p:body xmlns:p='urn:q'/></p:message>",
    b"<a xmlns=''><b/></a>",
    b"<\xd0\x96 \xd0\x96='\xd0\x96'/>",
    b"\r\n",
]
FAULTS = [
    b"<message>",
    b"<mess",
    b"<<",
    b"<!-- -->",
    b"text",
    b"</stream:stream>",
    b"<p:x/>",
    b"\xff",
    b"<![CDATA[ ",
]


class Stream:
    """A connection that holds a parser only while a stanza is incomplete."""

    def __init__(self, pool: ParserPool) -> None:
        self.pool = pool
        self.own: StreamParser | None = None
        self.events: list[Event] = []

    def feed(self, data: bytes) -> None:
        if self.own is not None:
            self.events += self.own.feed(data)
            if self.pool.give_back(self.own):
                self.own = None
        else:
            parser = self.pool.ready
            self.events += parser.feed(data)
            if not parser.idle:
                self.own = self.pool.take()


@given(st.data())
def test_streams_that_share_parsers_do_not_notice_one_another(data: st.DataObject) -> None:
    pool = ParserPool(LIMITS)
    streams: list[tuple[Stream, bytes, list[bytes]]] = []
    for _ in range(data.draw(st.integers(2, 4))):
        sent = b"".join(data.draw(st.lists(st.sampled_from(STANZAS), max_size=6)))
        sent += data.draw(st.sampled_from([b"", *FAULTS]))
        cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=6))
        streams.append((Stream(pool), sent, pieces(sent, cuts)))
    while waiting := [(stream, parts) for stream, _, parts in streams if parts]:
        stream, parts = data.draw(st.sampled_from(waiting))
        stream.feed(parts.pop(0))
    for stream, sent, _ in streams:
        assert comparable(stream.events) == comparable(parse(sent, primed=True))


def test_a_parser_is_used_again() -> None:
    pool = ParserPool(LIMITS)
    parser = pool.take()
    parser.feed(b"<presence/>")
    assert pool.give_back(parser)
    assert pool.take() is not parser
    assert pool.take() is parser


def test_a_parser_that_read_the_standard_header_itself_serves_the_pool() -> None:
    pool = ParserPool(LIMITS)
    parser = StreamParser(LIMITS)
    assert not pool.give_back(parser)
    parser.feed(b"<?xml version='1.0'?>" + HEADER[:-1] + b" to='a.example' xml:lang='de'>")
    assert pool.give_back(parser)
    pool.take()
    other = pool.take()
    assert other is parser
    assert comparable(other.feed(b"<presence/>")) == comparable(parse(b"<presence/>", primed=True))


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace(b"jabber:client", b"jabber:server"),
        HEADER[:-1] + b" xmlns:p='urn:p'>",
        HEADER.replace(b"stream:", b"s:").replace(b":stream=", b":s="),
    ],
)
def test_a_parser_behind_another_header_never_gets_into_the_pool(header: bytes) -> None:
    parser = StreamParser(LIMITS)
    parser.feed(header)
    assert parser.idle
    assert not ParserPool(LIMITS).give_back(parser)


@pytest.mark.parametrize("data", [*FAULTS, b"<", b"&am", b"\r", b"\xd0", b"<presence/><", b"]"])
def test_a_parser_is_kept_out_in_the_middle_of_anything_and_after_an_end_or_error(data: bytes) -> None:
    pool = ParserPool(LIMITS)
    parser = pool.take()
    parser.feed(data)
    assert not pool.give_back(parser)
    assert pool.take() is not parser


def test_an_idle_parser_keeps_nothing_of_the_last_stanza() -> None:
    parser = ParserPool(LIMITS).ready
    (event,) = parser.feed(b"<message><body>Hi</body></message>")
    referrers = [holder for holder in gc.get_referrers(event) if holder is parser]
    assert not referrers


def test_the_pool_is_bounded() -> None:
    pool = ParserPool(LIMITS)
    parsers = [pool.take() for _ in range(200)]
    assert all(pool.give_back(parser) for parser in parsers)
    kept = {id(parser) for parser in parsers if parser.idle}
    assert len(kept) == 64
    assert {id(pool.take()) for _ in range(200)} >= kept
