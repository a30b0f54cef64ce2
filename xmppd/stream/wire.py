"""What a server says on a stream besides stanzas: headers, features, stream errors (RFC 6120#4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xmppd import ns
from xmppd.errors import StreamError
from xmppd.jid import Jid, escape_attribute
from xmppd.xml.element import XML_LANG, Element, text_element
from xmppd.xml.writer import to_bytes

CLOSE: Final = b"</stream:stream>"


def open_stream(domain: Jid, stream_id: str, to: Jid | None = None, lang: str | None = None) -> bytes:
    """The server's stream header (RFC 6120#4.7)."""
    text = (
        f"<?xml version='1.0'?><stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}' "
        f"id='{stream_id}' from='{escape_attribute(str(domain))}' version='1.0'"
    )
    if to is not None:
        text += f" to='{escape_attribute(str(to))}'"
    text += f" xml:lang='{escape_attribute(lang or 'en')}'>"
    return text.encode()


def features(children: Iterable[Element]) -> bytes:
    """``<stream:features/>`` with ``children`` (RFC 6120#4.3.2)."""
    return to_bytes(Element("features", ns.STREAMS, children=list(children)))


def stream_error(error: StreamError) -> bytes:
    """``<stream:error/>`` and the end of the stream (RFC 6120#4.9.1.1: an error is always the last word)."""
    condition = text_element(error.condition, ns.STREAM_ERRORS, error.host)
    children: list[Element | str] = [condition]
    if error.text:
        children.append(text_element("text", ns.STREAM_ERRORS, error.text, {XML_LANG: "en"}))
    if error.extra is not None:
        children.append(Element(*error.extra))
    return to_bytes(Element("error", ns.STREAMS, children=children)) + CLOSE
