"""What the tests of XML share: feeding a parser in pieces, and random elements in random spelling."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from xmppd import ns
from xmppd.errors import StreamError
from xmppd.xml.element import XML_LANG, Element
from xmppd.xml.parser import STANDARD_HEADER, Event, ParserLimits, StreamParser

LIMITS = ParserLimits()
HEADER = STANDARD_HEADER


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at each of ``cuts``; some of the pieces may be empty."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def feed(parser: StreamParser, parts: Iterable[bytes]) -> list[Event]:
    return [event for part in parts for event in parser.feed(part)]


def parse(
    data: bytes, cuts: Iterable[int] = (), *, limits: ParserLimits = LIMITS, primed: bool = False
) -> list[Event]:
    """The events of a whole stream, cut at ``cuts``."""
    return feed(StreamParser(limits, primed=primed), pieces(data, cuts))


def bytewise(data: bytes, *, limits: ParserLimits = LIMITS, primed: bool = False) -> list[Event]:
    return parse(data, range(len(data)), limits=limits, primed=primed)


def stanza(data: bytes) -> Element:
    """The one stanza that ``data`` is on a stream with the standard header."""
    (event,) = parse(data, primed=True)
    assert isinstance(event, Element), event
    return event


def error(data: bytes, **options: Any) -> str:
    """The condition of the stream error that ``data`` leads to, whole and byte by byte."""
    (*_, event) = parse(data, **options)
    assert isinstance(event, StreamError), event
    (*_, again) = bytewise(data, **options)
    assert isinstance(again, StreamError), again
    assert event.condition == again.condition
    return event.condition


def comparable(events: Sequence[Event]) -> list[object]:
    """Events as values that are equal when they tell the same, sources included."""
    return [
        event.condition if isinstance(event, StreamError)
        else (event, event.source) if isinstance(event, Element)
        else event
        for event in events
    ]  # fmt: skip


# Random elements

XML_CHARACTERS = st.characters(
    exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff", include_characters="\t\n\r"
)
TEXTS = st.text(XML_CHARACTERS, max_size=20)
NAMES = st.sampled_from(["body", "x", "error", "a-b.c_1", "é", "Ж"]) | st.builds(
    str.__add__,
    st.sampled_from(string.ascii_letters + "_"),
    st.text(st.sampled_from(string.ascii_letters + string.digits + "._-"), max_size=5),
).filter(lambda name: not name.lower().startswith("xml"))
NAMESPACES = st.sampled_from(
    [ns.CLIENT, ns.CLIENT, "urn:a", "http://example.org/?a=b&c=\"d'>", "urn:ж{}", ns.SERVER]
)
PLAIN_KEYS = NAMES | st.just(XML_LANG)
KEYS = PLAIN_KEYS | st.builds("{{{}}}{}".format, NAMESPACES, NAMES)


ALL_NAMESPACES = NAMESPACES | st.just(ns.STREAMS)


def elements(
    *, keys: st.SearchStrategy[str] = KEYS, spaces: st.SearchStrategy[str] = ALL_NAMESPACES
) -> st.SearchStrategy[Element]:
    """Elements as a parser makes them: no empty text, no two texts side by side."""
    attrs = st.dictionaries(keys, TEXTS, max_size=3)

    def element(name: str, space: str, attrs: dict[str, str], children: list[Element | str]) -> Element:
        return Element(name, space, attrs, joined(children))

    return st.recursive(
        st.builds(element, NAMES, spaces, attrs, st.lists(TEXTS, max_size=1)),
        lambda inner: st.builds(element, NAMES, spaces, attrs, st.lists(inner | TEXTS, max_size=4)),
        max_leaves=8,
    )


def joined(children: Iterable[Element | str]) -> list[Element | str]:
    out: list[Element | str] = []
    for child in children:
        if isinstance(child, str) and out and isinstance(out[-1], str):
            out[-1] += child
        elif child != "":
            out.append(child)
    return out


# Random spelling: the many ways in which XML writes the same element

Draw = Callable[[st.SearchStrategy[Any]], Any]
_SPACE = st.sampled_from([" ", "\n", "\t ", "  "])
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}


def spelling(element: Element, draw: Draw, context: str = ns.CLIENT) -> str:
    """``element``, without namespaced attributes, as somebody may write it; ``context`` is the default namespace."""
    prefix = ""
    parts = [f"{key}={_quoted(value, draw)}" for key, value in element.attrs.items()]
    inner = context
    if element.ns == ns.STREAMS:
        prefix = "stream:"
    elif draw(st.integers(0, 3)) == 0:
        prefix = "p:"
        parts.append(f"xmlns:p={_quoted(element.ns, draw)}")
    else:
        inner = element.ns
        if inner != context or draw(st.booleans()):
            parts.append(f"xmlns={_quoted(inner, draw)}")
    if draw(st.integers(0, 9)) == 0:
        parts.append("xmlns:q='urn:unused>'")
    tag = prefix + element.name + "".join(draw(_SPACE) + part for part in draw(st.permutations(parts)))
    space = draw(st.sampled_from(["", "", " ", "\n"]))
    if not element.children and draw(st.booleans()):
        return f"<{tag}{space}/>"
    content = "".join(
        _text(child, draw) if isinstance(child, str) else spelling(child, draw, inner)
        for child in element.children
    )
    return f"<{tag}{space}>{content}</{prefix}{element.name}{space}>"


def _quoted(value: str, draw: Draw) -> str:
    quote: str = draw(st.sampled_from("'\""))
    return (
        quote + "".join(_character(char, draw, {"<", "&", quote, "\n", "\t", "\r"}) for char in value) + quote
    )


def _text(text: str, draw: Draw) -> str:
    if "]]>" not in text and "\r" not in text and draw(st.booleans()):
        return f"<![CDATA[{text}]]>"
    escaped = {"<", "&", "\r"} | ({">"} if "]]>" in text else set())
    return "".join(_character(char, draw, escaped) for char in text)


def _character(char: str, draw: Draw, escaped: set[str]) -> str:
    if char not in escaped and (char.isalnum() or draw(st.booleans())):
        return char
    ways = [f"&#{ord(char)};", f"&#x{ord(char):x};"]
    drawn: str = draw(st.sampled_from([_REFERENCES[char], *ways] if char in _REFERENCES else ways))
    return drawn
