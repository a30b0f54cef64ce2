"""The client's half of SCRAM (RFC 5802), written apart from the server's: neither can hide the other's mistake."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Final

HASHES: Final = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class ScramExchange:
    """One exchange: ``first``, ``final``, ``verify``. ``binding`` is the type and data of the channel, for -PLUS."""

    def __init__(
        self, mechanism: str, user: str, password: str, binding: tuple[str, bytes] | None = None
    ) -> None:
        self._hash = HASHES[mechanism.removesuffix("-PLUS")]
        self._password = password
        self._nonce = secrets.token_urlsafe(18)
        self._bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self._nonce}"
        self._gs2 = (f"p={binding[0]},," if binding else "n,,").encode()
        self._channel = self._gs2 + (binding[1] if binding else b"")
        self._server_signature = b""

    def first(self) -> bytes:
        return self._gs2 + self._bare.encode()

    def final(self, challenge: bytes) -> bytes:
        fields = _fields(challenge)
        assert fields["r"].startswith(self._nonce), "the server's nonce has to begin with ours"
        salted = _salted(self._hash, self._password, b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", self._hash)
        unproven = f"c={b64encode(self._channel).decode()},r={fields['r']}"
        signed = f"{self._bare},{challenge.decode()},{unproven}".encode()
        signature = hmac.digest(hashlib.new(self._hash, client_key).digest(), signed, self._hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = hmac.digest(
            hmac.digest(salted, b"Server Key", self._hash), signed, self._hash
        )
        return f"{unproven},p={b64encode(proof).decode()}".encode()

    def verify(self, outcome: bytes) -> None:
        assert b64decode(_fields(outcome)["v"]) == self._server_signature, (
            "the server does not know the password"
        )


@lru_cache(maxsize=64)  # accounts made for tests share a salt: 500 logins cost one derivation
def _salted(hash: str, password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac(hash, password.encode(), salt, iterations)


def _fields(message: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.decode().split(","))
