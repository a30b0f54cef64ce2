"""Base64 as SASL wants it (RFC 6120#6.4, RFC 4648#4): one text for each sequence of bytes, and nothing else."""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64


def encode(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)


def decode(text: bytes) -> bytes:
    """``ValueError`` for white space and other strangers, wrong padding, and bits set behind the end."""
    try:
        data = a2b_base64(text)
    except Error as err:
        raise ValueError(f"not base64: {err}") from err
    if encode(data) != text:  # the decoder looks over most of that
        raise ValueError("not base64: only letters, digits, + and /, padded with = and with zero bits")
    return data
