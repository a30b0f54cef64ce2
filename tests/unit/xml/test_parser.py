"""The stream parser: which events come out of well-formed streams, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markup import HEADER, LIMITS, bytewise, comparable, elements, feed, parse, spelling, stanza
from xmppd import ns
from xmppd.errors import StreamError
from xmppd.xml.element import Element
from xmppd.xml.parser import StreamEnd, StreamHeader, StreamParser

MESSAGE = (
    b"<message to='juliet@capulet.example' id=\"m&amp;1\" xml:lang='en'>"
    b"<body>Wherefore &lt;art&gt; <![CDATA[thou & I]]>?</body>\n<active xmlns='http://jabber.org/protocol/chatstates'/>"
    b"</message>"
)
PARSED = Element(
    "message",
    ns.CLIENT,
    {"to": "juliet@capulet.example", "id": "m&1", "xml:lang": "en"},
    [
        Element("body", ns.CLIENT, {}, ["Wherefore <art> thou & I?"]),
        "\n",
        Element("active", ns.CHAT_STATES),
    ],
)
STREAM = (
    b"<?xml version='1.0'?>" + HEADER + b"\n" + MESSAGE + b"\r\n <presence/>" + MESSAGE + b"</stream:stream>"
)


# One stanza, however it comes


def test_whole() -> None:
    assert stanza(MESSAGE) == PARSED


def test_byte_by_byte() -> None:
    assert bytewise(MESSAGE, primed=True) == [PARSED]


def test_with_trailing_data_that_is_kept_for_later() -> None:
    parser = StreamParser(LIMITS, primed=True)
    assert parser.feed(MESSAGE + b"<presence") == [PARSED]
    assert not parser.idle
    assert parser.feed(b"/>") == [Element("presence", ns.CLIENT)]
    assert parser.idle


def test_cut_at_every_place() -> None:
    for place in range(len(MESSAGE) + 1):
        assert parse(MESSAGE, [place], primed=True) == [PARSED]


@pytest.mark.parametrize(
    "tag", [b"<presence to='a@b.example/c' id='1'/>", b"<r xmlns='urn:xmpp:sm:3'/>", HEADER]
)
def test_a_tag_cut_at_every_byte_gives_its_event_without_anything_behind_it(tag: bytes) -> None:
    """Expat 2.6 would wait for more bytes; a client that waits for our answer would wait for ever."""
    for place in range(1, len(tag)):
        parser = StreamParser(LIMITS, primed=tag is not HEADER)
        assert parser.feed(tag[:place]) == []
        assert len(parser.feed(tag[place:])) == 1


def test_a_start_tag_in_three_reads_is_seen_by_the_next_end_tag_at_once() -> None:
    parser = StreamParser(LIMITS, primed=True)
    for part in (b"<mess", b"age id='", b"1'", b"><bo", b"dy>Hi</b", b"ody>", b"</message"):
        assert parser.feed(part) == []
    assert len(parser.feed(b">")) == 1


def test_a_whole_stream() -> None:
    events = [
        StreamHeader("stream", ns.STREAMS, {"version": "1.0"}, ns.CLIENT, standard=True),
        PARSED,
        Element("presence", ns.CLIENT),
        PARSED,
        StreamEnd(),
    ]
    assert parse(STREAM) == events
    assert bytewise(STREAM) == events


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_a_whole_stream_cut_anywhere(cuts: list[int]) -> None:
    assert comparable(parse(STREAM, cuts)) == comparable(parse(STREAM))


@given(st.data())
def test_any_element_in_any_spelling_cut_anywhere(data: st.DataObject) -> None:
    element = data.draw(elements(keys=st.sampled_from(["id", "a", "xml:lang"])))
    spelt = spelling(element, data.draw).encode()
    cuts = data.draw(st.lists(st.integers(0, len(spelt)), max_size=5))
    assert parse(spelt, primed=True) == [element]
    assert comparable(parse(spelt, cuts, primed=True)) == comparable(parse(spelt, primed=True))


def test_whitespace_between_stanzas_is_no_event() -> None:
    parser = StreamParser(LIMITS, primed=True)
    assert feed(parser, [b" ", b"\n\n", b"\t", b"\r\n"]) == []
    assert parser.idle


def test_a_text_that_is_read_in_pieces_is_one_text() -> None:
    text = "".join(chr(0x430 + n % 32) for n in range(30_000))
    message = f"<message><subject>a</subject><body>{text}<b/>{text}</body></message>".encode()
    for size in (1000, 8191, 65_536):
        events = parse(message, range(0, len(message), size), primed=True)
        assert events == [
            Element(
                "message",
                ns.CLIENT,
                {},
                [
                    Element("subject", ns.CLIENT, {}, ["a"]),
                    Element("body", ns.CLIENT, {}, [text, Element("b", ns.CLIENT), text]),
                ],
            )
        ]


def test_newlines_are_normalised_but_references_to_them_are_not() -> None:
    assert stanza(b"<a>\r\n\r&#13;&#10;</a>").text() == "\n\n\r\n"
    assert stanza(b"<a b='\r\n&#13;&#9;'/>").get("b") == " \r\t"


# Headers


@pytest.mark.parametrize(
    "header",
    [
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        b'<stream:stream\n  xmlns:stream="http://etherx.jabber.org/streams"\n  xmlns="jabber:client" to="a.example" >',
        b"\n <stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='de'>",
        b"<?xml version='1.0' encoding='utf-8'?><stream:stream xmlns='jabber:client' "
        b"xmlns:stream='http://etherx.jabber.org/streams'>",
    ],
)
def test_the_standard_header_in_its_spellings(header: bytes) -> None:
    for events in (parse(header), bytewise(header)):
        (event,) = events
        assert isinstance(event, StreamHeader)
        assert (event.name, event.ns, event.default_ns) == ("stream", ns.STREAMS, ns.CLIENT)
        assert event.standard


@pytest.mark.parametrize(
    ("declarations", "default"),
    [
        (b"xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'", "jabber:server"),
        (
            b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'",
            "jabber:client",
        ),
        (b"xmlns:stream='http://etherx.jabber.org/streams'", None),
        (b"xmlns='' xmlns:stream='http://etherx.jabber.org/streams'", None),
    ],
)
def test_other_headers(declarations: bytes, default: str | None) -> None:
    (event,) = parse(b"<stream:stream " + declarations + b" to='a.example'>")
    assert event == StreamHeader("stream", ns.STREAMS, {"to": "a.example"}, default, standard=False)


def test_a_header_with_another_prefix_or_none() -> None:
    (event,) = parse(b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>")
    assert isinstance(event, StreamHeader)
    assert (event.name, event.ns, event.standard) == ("stream", ns.STREAMS, False)
    (event,) = parse(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.example'>")
    assert isinstance(event, StreamHeader)
    assert (event.name, event.ns) == ("open", "urn:ietf:params:xml:ns:xmpp-framing")


def test_attributes_of_the_header() -> None:
    (event,) = parse(HEADER[:-1] + b" xml:lang='en' stream:x='y' from='a&amp;b'>")
    assert isinstance(event, StreamHeader)
    assert event.attrs == {"version": "1.0", "xml:lang": "en", f"{{{ns.STREAMS}}}x": "y", "from": "a&b"}


def test_a_header_that_ends_itself_is_a_whole_stream() -> None:
    header, end = parse(HEADER[:-1] + b"/>")
    assert isinstance(header, StreamHeader)
    assert end == StreamEnd()


# The end


def test_nothing_comes_after_the_end() -> None:
    for rest in (b"", b" \n", b"<presence/>", HEADER, b"<!-- -->", b"<<", b"\xff"):
        parser = StreamParser(LIMITS, primed=True)
        assert parser.feed(b"<presence/></stream:stream>" + rest) == [
            Element("presence", ns.CLIENT),
            StreamEnd(),
        ]
        assert parser.feed(rest) == []
        assert not parser.idle


def test_nothing_comes_after_an_error() -> None:
    parser = StreamParser(LIMITS, primed=True)
    *first, last = parser.feed(b"<presence/><message></presence><iq/>")
    assert first == [Element("presence", ns.CLIENT)]
    assert isinstance(last, StreamError)
    assert parser.feed(b"<presence/>") == []
    assert parser.feed(b"<<") == []
    assert not parser.idle


def test_nothing_comes_out_of_a_closed_parser() -> None:
    parser = StreamParser(LIMITS, primed=True)
    parser.feed(b"<message>")
    parser.close()
    assert parser.feed(b"</message>") == []
    assert not parser.idle


# Names, and a parser that has seen much


def test_attributes_with_a_namespace() -> None:
    (event,) = parse(b"<a xmlns:p='urn:x' xml:lang='en' xml:space='preserve' p:b='1' b='2'/>", primed=True)
    assert event == Element(
        "a", ns.CLIENT, {"xml:lang": "en", "xml:space": "preserve", "{urn:x}b": "1", "b": "2"}
    )


def test_elements_without_a_namespace() -> None:
    assert stanza(b"<a xmlns=''><b/></a>") == Element("a", "", {}, [Element("b", "")])


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        b"<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' xmlns:db='urn:a&amp;&apos;'>",
        b"<?xml version='1.0'?><stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>",
    ],
)
def test_expat_is_replaced_unnoticed(header: bytes) -> None:
    """Many distinct names make Expat grow for ever, so it is renewed; the stream must not notice."""
    parser = StreamParser(LIMITS)
    fresh = StreamParser(LIMITS)
    parser.feed(header)
    fresh.feed(header)
    expat = parser._expat
    for number in range(400):
        (filler,) = parser.feed(b"<a%d>%s</a%d> " % (number, b"x" * 1000, number))
        assert isinstance(filler, Element)
    assert parser._expat is not expat
    assert parser.idle
    declares_dialback = b"xmlns:db" in header
    for part in [
        b"<message id='1'><body>Hi</body></message>",
        b"<db:result xml:lang='en'/>" if declares_dialback else b"<x/>",
        b"<c:message c:x='1'/>" if b"xmlns:c" in header else b"<y",
        b"</s:stream>" if b"<s:stream" in header else b"></stream>",
    ]:
        assert comparable(parser.feed(part)) == comparable(fresh.feed(part))
