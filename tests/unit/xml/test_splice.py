"""Splicing: the bytes that are copied behind a new start tag must mean what serialising would have written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markup import HEADER, NAMESPACES, elements, parse, spelling, stanza
from xmppd import ns
from xmppd import stanza as stanzas
from xmppd.jid import Jid
from xmppd.xml.element import Element

ROMEO = Jid.parse("romeo@montague.example/orchard")


def assert_same_on_another_stream(element: Element) -> None:
    """What goes out spliced reads like what goes out serialised."""
    spliced = stanzas.parse(element, ROMEO, "de")
    serialised = spliced.with_children(element.children)
    assert stanza(spliced.wire()) == stanza(serialised.wire())
    assert stanza(spliced.wire()).children == element.children


SPLICED = [
    b"<message><body>Hi</body></message>",
    b"<message to='a@b.example' type=\"chat\" id='1'><body>Hi</body><x xmlns='urn:x'><y/></x></message>",
    b"<message >text<body/></message >",
    b"<message\n  id='1'\n><body/></message\n>",
    b"<message id='a/b' ><body/></message>",
    b"<message xmlns='jabber:client' xml:lang='en'><body>Hi</body></message>",
    b"<message><body><![CDATA[<&>]]>&amp;&#x41;&gt; > \r\n</body></message>",
    b"<message><p:x xmlns:p='urn:p' p:y='z'><p:z/></p:x></message>",
    b"<message><stream:x/></message>",
    b"<message><x a='/>' b=\"'>'\"/></message>",
    b"<message>></message>",
    b"<presence from='xmlns.example'><show>away</show></presence>",
    b"<presence id='a:b' xml:lang='x'><show>away</show></presence>",
]
NOT_SPLICED = [
    b"<message/>",
    b"<message></message>",
    b"<message id='>'><body>Hi</body></message>",
    b'<message id="a\'>b"><body>Hi</body></message>',
    b"<message id='&gt;'><body>Hi</body></message>",
    b"<message xmlns:p='urn:p'><p:x/></message>",
    b"<message id='1' xmlns:p='>'><p:x/></message>",
    b"<message xmlns:p='urn:p' p:id='>'><p:x/></message>",
    b"<message xmlns='urn:other'><body/></message>",
    b"<p:message xmlns:p='jabber:client'><p:body/></p:message>",
    b"<stream:features><x/></stream:features>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>",
]


@pytest.mark.parametrize("source", SPLICED)
def test_what_is_spliced(source: bytes) -> None:
    element = stanza(source)
    assert element.source is not None
    assert isinstance(element.source, bytes)
    assert element.source in source
    assert_same_on_another_stream(element)


@pytest.mark.parametrize("source", NOT_SPLICED)
def test_what_is_not(source: bytes) -> None:
    element = stanza(source)
    assert element.source is None


@pytest.mark.parametrize("source", SPLICED)
def test_the_source_is_the_same_however_it_was_read(source: bytes) -> None:
    kept = stanza(source).source
    before = b"<presence/> <message><body>first</body></message>"
    for place in range(len(source)):
        (*_, element) = parse(before + source + b"<iq", [3, len(before) + place], primed=True)
        assert isinstance(element, Element)
        assert element.source == kept
        assert type(element.source) is bytes


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace(b"jabber:client", b"jabber:server"),
        HEADER[:-1] + b" xmlns:p='urn:p'>",
        b"<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>",
    ],
)
def test_nothing_is_spliced_from_a_stream_with_another_header(header: bytes) -> None:
    _, element = parse(header + b"<message xmlns='jabber:client'><body>Hi</body></message>")
    assert isinstance(element, Element)
    assert element.ns == ns.CLIENT
    assert element.source is None


MESSAGES = st.builds(
    lambda message, children: Element("message", ns.CLIENT, message.attrs, message.children + children),
    elements(keys=st.sampled_from(["id", "xml:lang", "other"])),
    st.lists(elements(keys=st.sampled_from(["id", "xml:lang"]), spaces=NAMESPACES), max_size=2),
)


@given(MESSAGES, st.data())
def test_any_message_in_any_spelling(message: Element, data: st.DataObject) -> None:
    element = stanza(spelling(message, data.draw).encode())
    assert element == message
    assert_same_on_another_stream(element)


@given(st.data())
def test_most_spellings_are_spliced(data: st.DataObject) -> None:
    """Guards the property above against passing because nothing is spliced any more."""
    message = data.draw(
        elements(keys=st.just("id"), spaces=st.just(ns.CLIENT)).filter(lambda e: bool(e.children))
    )
    message.attrs.clear()
    spelt = spelling(message, data.draw).encode()
    first = spelt[: spelt.index(b">")]
    assert (stanza(spelt).source is not None) == (b"xmlns:" not in first)
