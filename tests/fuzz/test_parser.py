"""Whatever bytes come in, in whatever pieces: the same events come out, and what we write of them is XML.

A random run takes seconds in `make test`, a minute where CI is set, and an hour in `make soak`. XMPPD_FUZZ_SEED=N runs
a single round again, the one that a failure names.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markup import HEADER, comparable, feed, pieces, stanza
from xmppd import ns
from xmppd.errors import StreamError
from xmppd.xml.element import Element
from xmppd.xml.parser import Event, ParserLimits, StreamEnd, StreamHeader, StreamParser
from xmppd.xml.writer import to_bytes

# Bounds are noticed sooner or later depending on the pieces, so here is what reaches none; unit tests try them.
LIMITS = ParserLimits(depth=10_000, attributes=10_000)
MALFORMED = ("bad-format", "not-well-formed", "unsupported-encoding")
CONDITIONS = {*MALFORMED, "restricted-xml"}

SEEDS = [
    HEADER,
    b"<?xml version='1.0' encoding='UTF-8'?>",
    b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='urn:db'>",
    b"<message to='a@b/c' id='1' type='chat'><body>Hi &amp; bye &#x1F600; &gt;</body></message>",
    b'<message xmlns="jabber:client" xml:lang="en" id=">"><body><![CDATA[<&]]]]><![CDATA[>]]></body></message >',
    b"<message xmlns:p='urn:p' p:a='1'><p:b p:c='>' xmlns:q=\"urn:'&lt;\"><q:d/></p:b></message>",
    b"<presence/>\r\n ",
    b"<iq type='get' id='a'><query xmlns='urn:x'><query xmlns=''/></query></iq>",
    b"<p:message xmlns:p='jabber:client'><p:body/></p:message>",
    "<Ж é='語😀'>\u0085\u2028é\u0301</Ж>".encode(),
    b"<message id='>'><xml:a xml:b='c'><d xmlns:xml='http://www.w3.org/XML/1998/namespace'/></xml:a></message>",
    b"</stream:stream>",
]
TOKENS = [
    *"<>/='\"&;:!-?[] \t\r\n\0x", "<!--", "-->", "<?", "?>", "<![CDATA[", "]]>", "<!DOCTYPE ", "<!ENTITY ", "&#", "&#x",
    "&lt;", "&foo;", "</", "/>", "xmlns", "xmlns:", "xml:", "stream:", "p:", "<xml:a>", "</xml:a>", "<a", "</a>", "<a>",
    "='", "message", "\ufeff", "\ufffe", "\U0010ffff", "http://www.w3.org/XML/1998/namespace",
    "http://etherx.jabber.org/streams",
]  # fmt: skip
BAD_BYTES = [
    b"\xff\xfe",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\x80",
    b"\0<",
    b"<\0",
]


def examine(data: bytes, cuts: Iterable[int], *, primed: bool) -> None:
    """Everything that holds for any input."""
    whole, cut = StreamParser(LIMITS, primed=primed), StreamParser(LIMITS, primed=primed)
    events = whole.feed(data)
    assert told(feed(cut, pieces(data, cuts))) == told(events)
    assert cut.idle == whole.idle
    for place, event in enumerate(events):
        if isinstance(event, StreamHeader):
            assert place == 0
            assert not primed
        elif isinstance(event, StreamEnd | StreamError):
            assert place == len(events) - 1
            assert isinstance(event, StreamEnd) or event.condition in CONDITIONS
        else:
            assert_writable(event)
    if whole.idle:
        assert whole.standard == cut.standard
        (presence,) = whole.feed(b"<presence/>")
        assert isinstance(presence, Element)
    elif over(events):
        assert whole.feed(b"<presence/>") == []


def told(events: list[Event]) -> list[object]:
    """Malformed is malformed: which of several faults side by side is noticed first depends on the pieces."""
    return ["malformed" if event in MALFORMED else event for event in comparable(events)]


def over(events: list[Event]) -> bool:
    return bool(events) and isinstance(events[-1], StreamEnd | StreamError)


def assert_writable(element: Element) -> None:
    """It must reach another stream as what it is: serialised, and spliced where that is allowed."""
    assert stanza(to_bytes(element)) == element
    if element.source is not None:
        assert element.ns == ns.CLIENT
        assert stanza(b"<message>" + element.source + b"</message>").children == element.children


PARTS = (
    st.sampled_from(SEEDS)
    | st.sampled_from(TOKENS).map(str.encode)
    | st.sampled_from(BAD_BYTES)
    | st.binary(max_size=4)
)


@given(
    st.binary() | st.lists(PARTS, max_size=12).map(b"".join),
    st.lists(st.integers(0, 1000), max_size=8),
    st.booleans(),
)
def test_any_bytes_in_any_pieces(data: bytes, cuts: list[int], primed: bool) -> None:
    examine(data, cuts, primed=primed)


def mutated(choose: random.Random) -> bytes:
    """Something that was XML before a few accidents."""
    data = bytearray(b"".join(choose.choices(SEEDS, k=choose.randint(1, 4))))
    if choose.random() < 0.5:
        data[:0] = HEADER
    for _ in range(choose.choice([0, 1, 1, 2, 3, 8])):
        place = choose.randrange(len(data) + 1)
        accident = choose.randrange(6)
        if accident == 0:
            data[place : place + choose.randint(1, 8)] = b""
        elif accident == 1:
            data[place:place] = choose.choice(TOKENS).encode()
        elif accident == 2:
            data[place : place + 1] = bytes([choose.randrange(256)])
        elif accident == 3:
            end = min(len(data), place + choose.randint(1, 60))
            data[place:place] = data[place:end] * choose.randint(1, 3)
        elif accident == 4:
            data[place:place] = choose.choice(BAD_BYTES)
        else:
            data[place:place] = choose.randbytes(choose.randint(1, 20))
    return bytes(data)


def round_of(seed: int) -> None:
    choose = random.Random(seed)
    data = choose.randbytes(choose.randrange(200)) if choose.random() < 0.05 else mutated(choose)
    places = (
        range(len(data))
        if choose.random() < 0.2
        else choose.choices(range(len(data) + 1), k=choose.randrange(5))
    )
    try:
        examine(data, places, primed=choose.random() < 0.3)
    except Exception as err:
        raise AssertionError(f"XMPPD_FUZZ_SEED={seed}: {data!r} cut at {list(places)}") from err


@pytest.mark.timeout(7200)
def test_a_run_of_random_accidents(soak: bool) -> None:
    if seed := os.environ.get("XMPPD_FUZZ_SEED"):
        round_of(int(seed))
        return
    seconds = 3600 if soak else 60 if os.environ.get("CI") else 3
    seed_of_run = random.SystemRandom().getrandbits(48)
    end = time.monotonic() + seconds
    done = 0
    while time.monotonic() < end:
        round_of(seed_of_run + done)
        done += 1
    assert done > 100
