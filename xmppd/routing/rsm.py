"""XEP-0059: Result Set Management. How a client asks for a part of a long list, and hears which part it got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from xmppd.errors import StanzaError
from xmppd.xml.element import Element, text_element

NS: Final = "http://jabber.org/protocol/rsm"

_DIGITS: Final = 18  # more than any list has items, and quick to read


@dataclass(frozen=True, slots=True)
class Paging:
    """What a ``<set/>`` asks for; each is None where it does not say.

    ``max``: at most so many items; 0: only how many there are (XEP-0059#count). ``after``: those behind the item that
    has this id. ``before``: the last ones before it; "": the last ones of all (XEP-0059#last). ``index``: those from
    this position on, the first being 0.
    """

    max: int | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None

    @classmethod
    def parse(cls, element: Element) -> Self:
        """What ``element``, a ``<set/>``, says; ``bad-request`` where a number is none. Both ``after`` and ``before``
        may be given, which XEP-0059 does not define.
        """
        # COMPAT: an empty <after/> is what some clients send for the first page; it names no item
        after = _text(element, "after") or None
        return cls(_number(element, "max"), after, _text(element, "before"), _number(element, "index"))

    @classmethod
    def of(cls, query: Element) -> Self:
        """What the ``<set/>`` inside ``query`` says; nothing, if there is none."""
        element = query.child("set", NS)
        return cls() if element is None else cls.parse(element)

    def limit(self, usual: int, most: int) -> int:
        """The number of items to return at most: ``usual`` where nothing was said, never more than ``most``."""
        return min(usual if self.max is None else self.max, most)


def set_element(
    first: str | None = None,
    last: str | None = None,
    *,
    count: int | None = None,
    index: int | None = None,
) -> Element:
    """The ``<set/>`` of an answer: the ids of the ``first`` and the ``last`` item (both None: the page is empty,
    XEP-0059#forwards), the number of items in the whole list, and the position of the first one in it. None: not told.
    """
    children: list[Element | str] = []
    if first is not None and last is not None:
        position = {} if index is None else {"index": str(index)}
        children.append(text_element("first", NS, first, position))
        children.append(text_element("last", NS, last))
    if count is not None:
        children.append(text_element("count", NS, str(count)))
    return Element("set", NS, children=children)


def _text(element: Element, name: str) -> str | None:
    child = element.child(name)
    return None if child is None else child.text()


def _number(element: Element, name: str) -> int | None:
    text = _text(element, name)
    if text is None:
        return None
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise StanzaError("bad-request", f"<{name}/> is a number of items, from 0 on")
    return int(text)
