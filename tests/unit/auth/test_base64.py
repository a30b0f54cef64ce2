"""Base64 as SASL has it on a stream: strict (RFC 6120#6.4.2, #6.5.5)."""

from __future__ import annotations

import pytest

from xmppd.auth.sasl import (
    decode_base64,
    encode_base64,
)
from xmppd.errors import SaslError


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("=", b""),
        ("AA==", b"\0"),
        ("AGp1bGlldABwZW5jaWw=", b"\0juliet\0pencil"),
        ("+/+/", b"\xfb\xff\xbf"),
    ],
)
def test_base64_is_decoded(text: str, data: bytes) -> None:
    assert decode_base64(text) == data
    if data:
        assert encode_base64(data) == text


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AA=",
        "AAA",
        "AA===",
        "==",
        "====",
        "=AAA",
        "AA==AA==",
        "AAAA=",
        "AAAA====",
        "AAAA\n",
        " AAAA",
        "AA AA",
        "AB==",  # bits behind the end
        "AAB=",
        "-_-_",
        "AAA\u00e9",
        "AAAA\0",
    ],
)
def test_what_is_not_strictly_base64_is_an_incorrect_encoding(text: str) -> None:
    with pytest.raises(SaslError) as caught:
        decode_base64(text)
    assert caught.value.condition == "incorrect-encoding"
