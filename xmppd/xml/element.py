"""An XML element as XMPP needs it: a name, a namespace, attributes, and children in document order. No DOM."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

XML_LANG: Final = "xml:lang"


class Element:
    """``children`` holds elements and texts in document order; two texts never stand side by side after parsing.

    Attributes without a namespace have their plain name as key, ``xml:lang`` has ``"xml:lang"``, any other one
    ``"{namespace}name"``. ``ns`` is the element's own namespace, always absolute. Treat elements as immutable once they
    are part of a stanza: the same element is delivered to many.
    """

    __slots__ = ("attrs", "children", "name", "ns", "source")

    def __init__(
        self,
        name: str,
        ns: str,
        attrs: dict[str, str] | None = None,
        children: list[Element | str] | None = None,
    ) -> None:
        self.name = name
        self.ns = ns
        self.attrs: dict[str, str] = {} if attrs is None else attrs
        self.children: list[Element | str] = [] if children is None else children
        # The bytes between the start tag and the end tag as the client sent them, when they may be spliced behind a
        # new start tag (see ``parser.py``); only top-level stanzas have it.
        self.source: bytes | None = None

    def get(self, attribute: str, default: str | None = None) -> str | None:
        return self.attrs.get(attribute, default)

    def elements(self) -> Iterator[Element]:
        """The child elements, without the text between them."""
        for child in self.children:
            if isinstance(child, Element):
                yield child

    def each(self, name: str, ns: str | None = None) -> Iterator[Element]:
        """The children called ``name`` in ``ns`` (default: this element's namespace)."""
        ns = self.ns if ns is None else ns
        for child in self.children:
            if isinstance(child, Element) and child.name == name and child.ns == ns:
                yield child

    def child(self, name: str, ns: str | None = None) -> Element | None:
        """The first child called ``name`` in ``ns`` (default: this element's namespace)."""
        return next(self.each(name, ns), None)

    def text(self) -> str:
        """The element's own text; what stands inside child elements is left out."""
        children = self.children
        if len(children) == 1 and isinstance(children[0], str):
            return children[0]
        return "".join(child for child in children if isinstance(child, str))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return (
            self.name == other.name
            and self.ns == other.ns
            and self.attrs == other.attrs
            and self.children == other.children
        )

    __hash__ = None  # type: ignore[assignment]  # elements are mutable while they are built

    def __repr__(self) -> str:
        attrs = "".join(f" {key}={value!r}" for key, value in self.attrs.items())
        return f"<{self.name} xmlns={self.ns!r}{attrs}: {len(self.children)} children>"


def text_element(name: str, ns: str, text: str, attrs: dict[str, str] | None = None) -> Element:
    """An element whose only child is ``text``; no child at all when the text is empty."""
    return Element(name, ns, attrs, [text] if text else None)


def join_texts(element: Element) -> None:
    """Make one text of those that stand side by side, in ``element`` and everything inside it."""
    joined: list[Element | str] = []
    for is_text, group in groupby(element.children, key=lambda child: isinstance(child, str)):
        if is_text:
            joined.append("".join(text for text in group if isinstance(text, str)))
            continue
        for child in group:
            assert isinstance(child, Element)
            join_texts(child)
            joined.append(child)
    element.children[:] = joined
