"""SCRAM against the examples of its RFCs, and against what else a client may send."""

from __future__ import annotations

from base64 import b64decode

import pytest

from xmppd.auth.scram import ClientFirst, ScramServer, derive_keys
from xmppd.storage.interfaces import ScramHash


@pytest.mark.parametrize(
    ("hash", "salt", "client_nonce", "nonce", "proof", "signature"),
    [
        pytest.param(  # RFC 5802#5
            ScramHash.SHA1,
            "QSXCR+Q6sek8bf92",
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            id="RFC 5802",
        ),
        pytest.param(  # RFC 7677#3
            ScramHash.SHA256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            id="RFC 7677",
        ),
    ],
)
def test_the_example_of_the_rfc(
    hash: ScramHash, salt: str, client_nonce: str, nonce: str, proof: str, signature: str
) -> None:
    keys = derive_keys("pencil", hash, b64decode(salt), 4096)
    first = ClientFirst.parse(f"n,,n=user,r={client_nonce}".encode())
    assert first.username == "user"
    server = ScramServer(hash, first, keys, nonce, b"")
    assert server.challenge == f"r={client_nonce}{nonce},s={salt},i=4096".encode()
    assert server.finish(f"c=biws,r={client_nonce}{nonce},p={proof}".encode()) == f"v={signature}".encode()
