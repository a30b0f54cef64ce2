"""Elements that were kept as bytes, outside any stream."""

from __future__ import annotations

from typing import Final

from xmppd.xml.element import Element
from xmppd.xml.parser import ParserLimits, StreamParser

# They were within the bounds that held when they came in, which may have been others than today's.
_ANY: Final = ParserLimits(2**62, 2**62, 2**62, 2**62)


def from_bytes(data: bytes) -> Element:
    """The element that ``writer.to_bytes`` made ``data`` of; ``ValueError`` where it made it of none."""
    parser = StreamParser(_ANY, primed=True)
    events = parser.feed(data)
    parser.close()
    match events:
        case [Element() as element]:
            return element
    raise ValueError(f"these {len(data)} bytes are not one element")
