"""What is not XML, what XMPP forbids of it, and what is too much: each ends in the stream error that RFC 6120 names."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from itertools import count, islice

import pytest

from tests.markup import HEADER, bytewise, error, parse
from xmppd.errors import StreamError
from xmppd.xml.element import Element
from xmppd.xml.parser import ParserLimits, StreamParser

BOMB = (
    b"<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY a 'lol'>"
    + b"".join(b"<!ENTITY %c '%b'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]>"
    + HEADER
    + b"<message><body>&j;</body></message>"
)
EXTERNAL = b"<!DOCTYPE x SYSTEM 'file:///etc/passwd' [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + HEADER


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        # RFC 6120#4.9.3.18 restricted-xml
        (BOMB, "restricted-xml"),
        (EXTERNAL, "restricted-xml"),
        (b"<!DOCTYPE stream>" + HEADER, "restricted-xml"),
        (b"<!-- hello -->" + HEADER, "restricted-xml"),
        (b"<?php echo?>" + HEADER, "restricted-xml"),
        # RFC 6120#4.9.3.22 unsupported-encoding
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER, "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='UTF-16'?>" + HEADER, "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='klingon'?>" + HEADER, "unsupported-encoding"),
        (HEADER.decode().encode("utf-16"), "unsupported-encoding"),
        (b"\xfe\xff" + HEADER.decode().encode("utf-16-be"), "unsupported-encoding"),
        (b"\x80", "unsupported-encoding"),
        # RFC 6120#4.9.3.13 not-well-formed
        (HEADER.decode().encode("utf-16-le"), "not-well-formed"),
        (b"\0", "not-well-formed"),
        (b"hello ", "not-well-formed"),
        (b"\xef\xbb\xbf" + HEADER, "not-well-formed"),
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "not-well-formed"),  # TLS where none is
        (b"</stream:stream>", "not-well-formed"),
        (b"<stream:stream xmlns='jabber:client'>", "not-well-formed"),
        (b"<a b=c>", "not-well-formed"),
        (b" <?xml version='1.0'?>" + HEADER, "not-well-formed"),
        (b"<?xml version='1.0'?><?xml version='1.0'?>" + HEADER, "not-well-formed"),
    ],
)
def test_before_the_header(data: bytes, condition: str) -> None:
    assert error(data) == condition


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        # RFC 6120#4.9.3.18 restricted-xml
        (b"<!-- hello -->", "restricted-xml"),
        (b"<a><!-- hello --></a>", "restricted-xml"),
        (b"<?php echo?>", "restricted-xml"),
        (b"<a><?php echo?></a>", "restricted-xml"),
        (b"<a>&nbsp;</a>", "restricted-xml"),
        (b"<a b='&foo;'/>", "restricted-xml"),
        # RFC 6120#4.9.3.22 unsupported-encoding: what is no UTF-8
        (b"<a>\xc0\xaf</a>", "unsupported-encoding"),  # overlong
        (b"<a>\xe0\x80\xaf</a>", "unsupported-encoding"),
        (b"<a>\xf0\x80\x80\xaf</a>", "unsupported-encoding"),
        (b"<a>\xed\xa0\x80</a>", "unsupported-encoding"),  # a surrogate
        (b"<a>\xf4\x90\x80\x80</a>", "unsupported-encoding"),  # behind U+10FFFF
        (b"<a>\xf8\x88\x80\x80\x80</a>", "unsupported-encoding"),  # five bytes
        (b"<a>\xc3</a>", "unsupported-encoding"),  # cut off
        (b"<a>\xe2\x82</a>", "unsupported-encoding"),
        (b"<a>\xbf</a>", "unsupported-encoding"),  # a continuation of nothing
        (b"<a>\xff\xfe</a>", "unsupported-encoding"),
        (b"<a b='\xc0\xaf'/>", "unsupported-encoding"),
        (b"<\xc0\xaf/>", "unsupported-encoding"),
        (b"<a \xff='1'/>", "unsupported-encoding"),
        (b"<a xmlns:\xc3='urn:x'/>", "unsupported-encoding"),
        (b"\xff", "unsupported-encoding"),
        # RFC 6120#4.9.3.1 bad-format: only whitespace may stand between stanzas
        (b"hello<presence/>", "bad-format"),
        (b"<presence/>hello<presence/>", "bad-format"),
        (b"<presence/>\xef\xbb\xbf<presence/>", "bad-format"),
        (b"<![CDATA[hello]]>", "bad-format"),
        (b"<![CDATA[ ", "bad-format"),
        (b"&amp; ", "bad-format"),
        # RFC 6120#4.9.3.13 not-well-formed
        (b"\0", "not-well-formed"),
        (b"<a>\0</a>", "not-well-formed"),
        (b"<a>\x1b</a>", "not-well-formed"),
        (b"<a b='\x01'/>", "not-well-formed"),
        (b"<a>&#0;</a>", "not-well-formed"),
        (b"<a>&#x1;</a>", "not-well-formed"),
        (b"<a>&#xD800;</a>", "not-well-formed"),
        (b"<a>&#x110000;</a>", "not-well-formed"),
        (b"<a>\xef\xbf\xbe</a>", "not-well-formed"),  # U+FFFE
        (b"<a></b>", "not-well-formed"),
        (b"<a><b></a></b>", "not-well-formed"),
        (b"</a>", "not-well-formed"),
        (b"<<", "not-well-formed"),
        (b"<a b/>", "not-well-formed"),
        (b"<a b='<'/>", "not-well-formed"),
        (b"<a b='1' b='2'/>", "not-well-formed"),
        (b"<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>", "not-well-formed"),
        (b"<a>]]></a>", "not-well-formed"),
        (b"<a>&amp</a>", "not-well-formed"),
        (b"<a>& </a>", "not-well-formed"),
        (b"<p:a/>", "not-well-formed"),  # the example of RFC 6120#4.9.3.13 is an undeclared prefix
        (b"<a p:b='1'/>", "not-well-formed"),
        (b"<a xmlns:p=''/>", "not-well-formed"),
        (b"<a xmlns:xml='urn:x'/>", "not-well-formed"),
        (b"<a xmlns:xmlns='urn:x'/>", "not-well-formed"),
        (b"<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", "not-well-formed"),
        (b"<?xml version='1.0'?>", "not-well-formed"),
        (b"<presence/><?xml version='1.0'?>" + HEADER, "not-well-formed"),
        (b"<!DOCTYPE a>", "not-well-formed"),
        (b"<a><!DOCTYPE a></a>", "not-well-formed"),
        (b"</stream>", "not-well-formed"),
    ],
)
def test_behind_the_header(data: bytes, condition: str) -> None:
    assert error(data, primed=True) == condition


def test_stanzas_in_front_of_the_fault_still_count() -> None:
    events = parse(b"<presence/><message><body>Hi</body></message><iq><", primed=True)
    assert [event.name for event in events if isinstance(event, Element)] == ["presence", "message"]
    (*_, last) = parse(b"<presence/><<", primed=True)
    assert isinstance(last, StreamError)


def test_a_character_cut_between_two_reads_is_no_fault() -> None:
    for char in "é€😀":
        (message,) = bytewise(f"<a b='{char}'>{char}</a>".encode(), primed=True)
        assert isinstance(message, Element)
        assert (message.get("b"), message.text()) == (char, char)


# Bounds


@pytest.mark.parametrize("chunk", [1, 700, 10**9])
@pytest.mark.parametrize(
    ("limits", "fits", "too_much"),
    [
        (
            ParserLimits(stanza_bytes=100),
            b"<message><body>%s</body>" % (b"x" * 70),
            b"<message><body>%s</body></message>" % (b"x" * 90),
        ),
        (ParserLimits(tag_bytes=50), b"<a b='%s'" % (b"x" * 40), b"<a b='%s'" % (b"x" * 50)),
        (ParserLimits(depth=3), b"<a><a><a>", b"<a><a><a><a>"),
        (ParserLimits(attributes=2), b"<a b='' c=''/>", b"<a b='' c='' d=''/>"),
        (ParserLimits(attributes=2), b"<a><b c='' d=''/>", b"<a><b c='' d='' e=''/>"),
    ],
)
def test_each_bound(limits: ParserLimits, fits: bytes, too_much: bytes, chunk: int) -> None:
    cuts = range(0, len(too_much), chunk)
    assert not any(isinstance(event, StreamError) for event in parse(fits, cuts, limits=limits, primed=True))
    (*_, last) = parse(too_much, cuts, limits=limits, primed=True)
    assert isinstance(last, StreamError)
    assert last.condition == "policy-violation"


def test_the_header_is_bounded_too() -> None:
    many = b"".join(b" a%d=''" % n for n in range(200))
    assert error(HEADER[:-1] + many + b">") == "policy-violation"
    assert error(HEADER[:-1] + b" a='" + b"x" * 40_000) == "policy-violation"
    assert error(b"<?xml version='1.0'" + b" " * 40_000) == "policy-violation"


def test_a_client_that_never_pauses_is_no_offender() -> None:
    """Reads that always end inside a stanza must not add up to a stanza that is too large."""
    limits = ParserLimits(stanza_bytes=2000)
    parser = StreamParser(limits, primed=True)
    message = b"<message><body>%s</body></message>" % (b"x" * 200)
    stream = message * 400
    received = []
    for start in range(0, len(stream), 1000):
        received += parser.feed(stream[start : start + 1000])
    assert len(received) == 400
    assert all(isinstance(event, Element) and event.source == message[9:-10] for event in received)


def chunked(parts: Iterator[bytes]) -> Iterator[bytes]:
    """64 KiB at a time, as a transport reads."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        if len(buffer) >= 65_536:
            yield bytes(buffer)
            buffer.clear()


# Each goes on for ever.
FLOODS = {
    "one open element after the other": (b"<a>" for _ in count()),
    "elements with new names": (b"<a%d>" % n for n in count()),
    "one text": (b"<a>" if n == 0 else b"x" * 100 for n in count()),
    "one attribute": (b"<a b='" if n == 0 else b"x" * 100 for n in count()),
    "one name": (b"<" if n == 0 else b"x" * 100 for n in count()),
    "children": (b"<a>" if n == 0 else b"<b/>" for n in count()),
    "attributes": (b"<a" if n == 0 else b" b%d=''" % n for n in count()),
    "namespaces": (b"<a" if n == 0 else b" xmlns:b%d='urn:%d'" % (n, n) for n in count()),
    "one CDATA section": (b"<a><![CDATA[" if n == 0 else b"x" * 100 for n in count()),
    "one comment": (b"<a><!--" if n == 0 else b"x" * 100 for n in count()),
    "one reference": (b"<a>&" if n == 0 else b"x" * 100 for n in count()),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_ten_mebibytes_of_anything_unfinished_are_refused_and_not_kept(flood: str) -> None:
    parser = StreamParser(ParserLimits(), primed=True)
    tracemalloc.start()
    try:
        events = []
        fed = 0
        for chunk in islice(chunked(FLOODS[flood]), 160):
            fed += len(chunk)
            events += parser.feed(chunk)
            if events:
                break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (event,) = events
    assert isinstance(event, StreamError)
    assert event.condition in ("policy-violation", "restricted-xml")
    assert fed <= 262_144 + 2 * 65_536
    assert peak < 24 * 1024 * 1024  # children: 65,536 elements of about 200 bytes and their bookkeeping


def test_stanzas_with_ever_new_names_are_not_kept() -> None:
    """They are legal, so they may come for ever; Expat never forgets a name, hence it is replaced."""
    parser = StreamParser(ParserLimits(), primed=True)
    numbers = count()

    def feed(chunks: int) -> None:
        for _ in range(chunks):
            names = [b"<n%x a%x=''/>" % (n, n) for n in islice(numbers, 40)]
            for _ in parser.feed(b"".join(names)):
                pass

    feed(100)
    tracemalloc.start()
    try:
        feed(500)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * 1024 * 1024
    assert parser.idle


def test_a_thousand_levels() -> None:
    assert error(b"<a>" * 1000, primed=True) == "policy-violation"


def test_ten_thousand_attributes() -> None:
    tag = b"<a" + b"".join(b" b%d=''" % n for n in range(10_000)) + b"/>"
    for cuts in (range(0), range(0, len(tag), 1400)):
        (event,) = parse(tag, cuts, primed=True)
        assert isinstance(event, StreamError)
        assert event.condition == "policy-violation"


@pytest.mark.parametrize("filler", [b"x", b">", b"&lt;", b"<b/>", b"\r"])
@pytest.mark.parametrize("start", [b"<a b='", b"<a>"])
def test_a_peer_that_sends_byte_by_byte_costs_little(start: bytes, filler: bytes) -> None:
    """Expat scans an unfinished tag again with each byte, which the bound on tags keeps near 16 µs a byte."""
    data = start + filler * (32_000 // len(filler))
    parser = StreamParser(ParserLimits(), primed=True)
    began = time.process_time()
    for place in range(len(data)):
        if parser.feed(data[place : place + 1]):
            break
    assert time.process_time() - began < 4
