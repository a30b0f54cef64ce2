"""Which stream error tells of what is wrong with the XML (RFC 6120#4.9.3)."""

from __future__ import annotations

from codecs import utf_8_decode
from typing import Final
from xml.parsers.expat import ErrorString, errors

from xmppd.errors import StreamError

_ENTITY: Final = errors.codes[errors.XML_ERROR_UNDEFINED_ENTITY]
_ENCODING: Final = (
    errors.codes[errors.XML_ERROR_UNKNOWN_ENCODING],
    errors.codes[errors.XML_ERROR_INCORRECT_ENCODING],
)


def stream_error(code: int, data: bytes | bytearray, at: int) -> StreamError:
    """The error for Expat's ``code``, which it found in ``data`` at the index ``at``."""
    if code == _ENTITY:
        return StreamError("restricted-xml", "an entity that XML does not predefine")  # RFC 6120#11.1
    if code in _ENCODING or not _is_character(data, at):
        return StreamError("unsupported-encoding", "streams are UTF-8")  # RFC 6120#4.9.3.22
    # RFC 6120#4.9.3.13: what violates XML or its namespaces, undeclared prefixes included
    return StreamError("not-well-formed", ErrorString(code) or "")


def _is_character(data: bytes | bytearray, at: int) -> bool:
    """Whether a character of UTF-8 starts at ``at``, as far as its bytes are there."""
    try:
        utf_8_decode(data[at : at + 4], "strict", False)
    except UnicodeDecodeError as err:
        return err.start > 0
    return True
