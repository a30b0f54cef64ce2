"""Reading an element."""

from __future__ import annotations

import pytest

from tests.markup import stanza
from xmppd import ns
from xmppd.xml.element import Element

MESSAGE = stanza(
    b"<message id='1'>a<body>Hi</body>b<x xmlns='urn:x'/><body xml:lang='de'>Ha<i/>llo</body></message>"
)


def test_attributes() -> None:
    assert MESSAGE.get("id") == "1"
    assert MESSAGE.get("to") is None
    assert MESSAGE.get("to", "nobody") == "nobody"


def test_children() -> None:
    assert [child.name for child in MESSAGE.elements()] == ["body", "x", "body"]
    assert [body.text() for body in MESSAGE.each("body")] == ["Hi", "Hallo"]
    assert MESSAGE.child("x") is None  # it is in another namespace
    assert MESSAGE.child("x", "urn:x") == Element("x", "urn:x")
    assert list(MESSAGE.each("x", "urn:x")) == [Element("x", "urn:x")]


def test_text_is_the_elements_own() -> None:
    assert MESSAGE.text() == "ab"
    assert Element("a", ns.CLIENT).text() == ""
    assert Element("a", ns.CLIENT, {}, [Element("b", ns.CLIENT, {}, ["x"])]).text() == ""


def test_equality_is_by_what_it_says() -> None:
    element = Element("a", "urn:a", {"b": "c"}, ["d"])
    assert element == Element("a", "urn:a", {"b": "c"}, ["d"])
    assert element != Element("b", "urn:a", {"b": "c"}, ["d"])
    assert element != Element("a", "urn:b", {"b": "c"}, ["d"])
    assert element != Element("a", "urn:a", {"b": "d"}, ["d"])
    assert element != Element("a", "urn:a", {"b": "c"}, ["e"])
    assert element != "a"
    assert repr(element) == "<a xmlns='urn:a' b='c': 1 children>"
    with pytest.raises(TypeError, match="unhashable"):
        hash(element)


def test_elements_share_no_default() -> None:
    first, second = Element("a", "urn:a"), Element("a", "urn:a")
    first.attrs["b"] = "c"
    first.children.append("d")
    assert second == Element("a", "urn:a")
