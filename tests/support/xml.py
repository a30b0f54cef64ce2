"""XML in tests: written as text, compared as elements."""

from __future__ import annotations

from xmppd import ns
from xmppd.xml.element import Element
from xmppd.xml.parser import ParserLimits, StreamParser
from xmppd.xml.writer import to_bytes

ANY = "*"  # as an attribute's value or as text: whatever it is, it must be there


def parse(text: str) -> list[Element]:
    """The top-level elements in ``text``, which stands inside a standard client stream."""
    parser = StreamParser(ParserLimits(), primed=True)
    elements = []
    for event in parser.feed(text.encode()):
        if not isinstance(event, Element):
            raise AssertionError(f"the test's XML is wrong: {event!r} in {text}")
        elements.append(event)
    if not parser.idle:
        raise AssertionError(f"the test's XML is incomplete: {text}")
    parser.close()
    return elements


def show(element: Element) -> str:
    return to_bytes(element).decode()


def matches(expected: Element, got: Element) -> bool:
    """Whether ``got`` is ``expected``, where ``ANY`` stands for any value and white space between elements
    for none. That it was stored (``<stanza-id/>``, XEP-0359) matters only where ``expected`` says so.
    """
    if (expected.name, expected.ns) != (got.name, got.ns) or expected.attrs.keys() != got.attrs.keys():
        return False
    if any(value not in (ANY, got.attrs[key]) for key, value in expected.attrs.items()):
        return False
    wanted, found = _significant(expected), _significant(got)
    if not any(map(_is_stanza_id, wanted)):
        found = [child for child in found if not _is_stanza_id(child)]
    return len(wanted) == len(found) and all(map(_same, wanted, found))


def _is_stanza_id(child: Element | str) -> bool:
    return isinstance(child, Element) and child.name == "stanza-id" and child.ns == ns.STANZA_ID


def _same(expected: Element | str, got: Element | str) -> bool:
    if isinstance(expected, str) or isinstance(got, str):
        return (expected == ANY and isinstance(got, str)) or expected == got
    return matches(expected, got)


def _significant(element: Element) -> list[Element | str]:
    children = element.children
    if any(isinstance(child, Element) for child in children):
        return [child for child in children if isinstance(child, Element) or child.strip()]
    return children
