"""Elements to bytes. A writer never declares a prefix: each element whose namespace differs from its parent's carries
``xmlns``; only ``stream:`` and ``xml:`` are written with one, since every stream header declares the first."""

from __future__ import annotations

import re
from typing import Final

from xmppd import ns
from xmppd.jid import escape_attribute, only_xml
from xmppd.xml.element import Element

# Every stream header declares the first; the second is bound for good and may not be declared.
_PREFIXES: Final = {ns.STREAMS: "stream:", ns.XML: "xml:"}

# Written as what is plain: half the time of looking for what is not.
_PLAIN: Final = re.compile("[\t\n -%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*").fullmatch
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def escape_text(text: str) -> str:
    """``text`` as element content. A carriage return is kept as a reference, or parsers would make it a newline.

    What XML cannot hold at all (control characters) becomes U+FFFD: it would end the stream of whoever reads it.
    """
    if _PLAIN(text):
        return text
    return only_xml(text).translate(_ESCAPES)


def to_bytes(element: Element, context: str = ns.CLIENT) -> bytes:
    """``element`` as UTF-8; ``context`` is the default namespace in force where it will stand."""
    out: list[str] = []
    _write(out, element, context)
    return "".join(out).encode()


def children_to_bytes(children: list[Element | str], context: str) -> bytes:
    """Children one after the other, as they stand inside an element whose namespace is ``context``."""
    out: list[str] = []
    for child in children:
        if isinstance(child, str):
            out.append(escape_text(child))
        else:
            _write(out, child, context)
    return "".join(out).encode()


def _write(out: list[str], element: Element, context: str) -> None:
    prefix = _PREFIXES.get(element.ns)
    if prefix is not None:
        name, inner = prefix + element.name, context
        out.append(f"<{name}")
    else:
        name, inner = element.name, element.ns
        out.append(f"<{name}")
        if inner != context:
            out.append(f" xmlns='{escape_attribute(inner)}'")
    for key, value in element.attrs.items():
        if key.startswith("{"):
            space, _, local = key[1:].rpartition("}")
            # A namespaced attribute needs a prefix; declared on the spot, unique within the element by its position.
            own = f"n{len(out)}"
            out.append(f" xmlns:{own}='{escape_attribute(space)}' {own}:{local}='{escape_attribute(value)}'")
        else:
            out.append(f" {key}='{escape_attribute(value)}'")
    if not element.children:
        out.append("/>")
        return
    out.append(">")
    for child in element.children:
        if isinstance(child, str):
            out.append(escape_text(child))
        else:
            _write(out, child, inner)
    out.append(f"</{name}>")
