"""Elements to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markup import HEADER, elements, joined, parse, stanza
from xmppd import ns
from xmppd.jid import escape_attribute
from xmppd.xml.element import Element, text_element
from xmppd.xml.writer import children_to_bytes, escape_text, to_bytes


@given(elements())
def test_what_is_written_reads_the_same(element: Element) -> None:
    assert stanza(to_bytes(element)) == element


@given(elements())
def test_what_is_written_for_another_stream_reads_the_same_there(element: Element) -> None:
    header = HEADER.replace(b"jabber:client", b"jabber:server")
    _, event = parse(header + to_bytes(element, ns.SERVER))
    assert event == element


@given(st.lists(elements() | st.text("ab<&>\r\n\t \"'", max_size=5), max_size=3))
def test_children_written_on_their_own_read_the_same(children: list[Element | str]) -> None:
    children = joined(children)
    message = stanza(b"<message>" + children_to_bytes(children, ns.CLIENT) + b"</message>")
    assert message.children == children


ANY_TEXT = st.text(st.characters(), min_size=1)  # what XML cannot hold included


@given(ANY_TEXT)
def test_no_text_breaks_the_stream(text: str) -> None:
    """A control character out of some database must not end the stream of everybody who gets it."""
    read = stanza(to_bytes(Element("a", ns.CLIENT, {"b": text}, [text])))
    assert len(read.text()) == len(text)
    assert read.get("b") == read.text()
    assert all(was == now or now == "\ufffd" for was, now in zip(text, read.text(), strict=True))


@given(ANY_TEXT)
def test_escaping_leaves_alone_what_needs_none(text: str) -> None:
    plain = "".join(char for char in text if char.isalnum())
    assert escape_text(plain) == plain
    assert escape_attribute(plain) == plain


@pytest.mark.parametrize(
    ("element", "written"),
    [
        (Element("presence", ns.CLIENT), b"<presence/>"),
        (Element("body", ns.CLIENT, {}, ["<&>\"'\r\n\t"]), b"<body>&lt;&amp;&gt;\"'&#13;\n\t</body>"),
        (Element("a", ns.CLIENT, {"b": "<&>\"'\r\n\t"}), b"<a b='&lt;&amp;&gt;&quot;&apos;&#13;&#10;&#9;'/>"),
        (Element("q", "urn:q", {}, [Element("i", "urn:q")]), b"<q xmlns='urn:q'><i/></q>"),
        (
            Element("q", "urn:q", {}, [Element("i", ns.CLIENT)]),
            b"<q xmlns='urn:q'><i xmlns='jabber:client'/></q>",
        ),
        (
            Element("error", ns.STREAMS, {}, [Element("x", "urn:x"), Element("y", ns.CLIENT)]),
            b"<stream:error><x xmlns='urn:x'/><y/></stream:error>",
        ),
        (Element("a", "", {}, [Element("b", "")]), b"<a xmlns=''><b/></a>"),
        (Element("a", ns.CLIENT, {}, [Element("b", ns.XML)]), b"<a><xml:b/></a>"),
        (Element("a", ns.CLIENT, {"xml:lang": "en"}), b"<a xml:lang='en'/>"),
        (Element("a", ns.CLIENT, {"{urn:}x}b": "c"}), b"<a xmlns:n1='urn:}x' n1:b='c'/>"),
        (text_element("t", ns.CLIENT, ""), b"<t/>"),
        (text_element("t", ns.CLIENT, "x", {"y": "z"}), b"<t y='z'>x</t>"),
    ],
)
def test_how_it_is_written(element: Element, written: bytes) -> None:
    assert to_bytes(element) == written
    assert stanza(written) == element
