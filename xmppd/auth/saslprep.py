"""SASLprep (RFC 4013): how two people who type the same password arrive at the same bytes.

SCRAM hashes the password on the client, with SASLprep (RFC 5802#2.2, RFC 7677#1), so the server has to
prepare it the same way when it makes the keys. PRECIS (RFC 8265) prepares differently (NFC instead of NFKC,
nothing mapped to nothing) and would give keys that no client ever arrives at, which is why addresses go
through PRECIS here and passwords do not.

One rule is softer than in RFC 5802: characters that Unicode 3.2 did not know are allowed. Most emoji are
among them, people use them in passwords, and the clients that prepare them leave them as they are.
"""

from __future__ import annotations

import stringprep
import unicodedata
from typing import Final

from xmppd.errors import UserError

MAX_PASSWORD: Final = 1024  # bytes of UTF-8; RFC 4616#2 asks for at least 255

# RFC 4013#2.3
_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class PasswordError(UserError):
    """The text cannot be a password; the message says why and never repeats it."""


def prepare_password(text: str) -> bytes:
    """``text`` as the bytes that are hashed; ``PasswordError`` if it can be no password."""
    if not text or len(text.encode(errors="surrogatepass")) > MAX_PASSWORD:
        raise PasswordError(f"a password has 1 to {MAX_PASSWORD} bytes")
    if text.isascii():
        if not text.isprintable():
            raise PasswordError("a password holds no control characters")
        return text.encode()
    prepared = _saslprep(text)
    if not prepared:
        raise PasswordError("a password needs more than characters that nobody sees")
    return prepared.encode()


def _saslprep(text: str) -> str:
    # RFC 4013#2.1. U+200B is in both tables; PostgreSQL and libidn look at the table of spaces first, and so do we.
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if stringprep.in_table_c12(char) or not stringprep.in_table_b1(char)
    )
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)  # RFC 4013#2.2, with the Unicode of RFC 3454
    for char in set(text):
        if any(table(char) for table in _PROHIBITED):
            raise PasswordError(f"a password may not hold U+{ord(char):04X}")
    if any(map(stringprep.in_table_d1, text)):
        # RFC 3454#6: a text with right-to-left letters holds no left-to-right ones, and starts and ends with the former
        if any(map(stringprep.in_table_d2, text)):
            raise PasswordError("a password may not mix letters written from the left and from the right")
        if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
            raise PasswordError("a password with right-to-left letters starts and ends with one")
    return text
