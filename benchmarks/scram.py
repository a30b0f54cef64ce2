"""The client half of SCRAM (RFC 5802, RFC 7677) with the expensive keys remembered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_GS2 = "n,,"  # RFC 5802#7: the client does no channel binding


@dataclass(frozen=True, slots=True)
class Keys:
    """What RFC 5802#3 derives from the salted password."""

    client: bytes
    stored: bytes
    server: bytes


def derive(mechanism: str, password: str, salt: bytes, iterations: int) -> Keys:
    """Derive the keys; about 3 ms of CPU at 10,000 iterations."""
    name = HASHES[mechanism]
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", name)
    return Keys(client, hashlib.new(name, client).digest(), hmac.digest(salted, b"Server Key", name))


class KeyCache:
    """Remembers derived keys, so that a repeated login costs the generator no password hashing."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, bytes, int], Keys] = {}

    def get(self, mechanism: str, password: str, salt: bytes, iterations: int) -> Keys:
        key = (mechanism, password, salt, iterations)
        keys = self._keys.get(key)
        if keys is None:
            keys = self._keys[key] = derive(mechanism, password, salt, iterations)
        return keys


class ScramClient:
    """One SCRAM exchange. `first`, `final` and `verify` are called once each, in this order.

    `nonce`: a random one where it is empty.
    """

    def __init__(self, mechanism: str, name: str, password: str, cache: KeyCache, nonce: str = "") -> None:
        self._mechanism = mechanism
        self._hash = HASHES[mechanism]
        self._password = password
        self._cache = cache
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._bare = f"n={name},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """client-first-message."""
        return (_GS2 + self._bare).encode()

    def final(self, challenge: bytes) -> bytes:
        """client-final-message for the server-first-message `challenge`."""
        fields = _fields(challenge)
        try:
            nonce, salt, iterations = fields["r"], base64.b64decode(fields["s"]), int(fields["i"])
        except (KeyError, ValueError) as error:
            raise BenchmarkError(
                f"{self._mechanism}: the server's challenge is malformed: {challenge!r}"
            ) from error
        if not nonce.startswith(self._nonce):
            raise BenchmarkError(f"{self._mechanism}: the server's nonce does not extend ours")
        keys = self._cache.get(self._mechanism, self._password, salt, iterations)
        unproven = f"c={base64.b64encode(_GS2.encode()).decode()},r={nonce}"
        signed = f"{self._bare},{challenge.decode()},{unproven}".encode()
        proof = _xor(keys.client, hmac.digest(keys.stored, signed, self._hash))
        self._signature = hmac.digest(keys.server, signed, self._hash)
        return f"{unproven},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, outcome: bytes) -> None:
        """Check the server-final-message; raise BenchmarkError where the server does not know the password."""
        if base64.b64decode(_fields(outcome).get("v", "")) != self._signature:
            raise BenchmarkError(f"{self._mechanism}: the server's signature is wrong: {outcome!r}")


def _fields(message: bytes) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.decode().split(",") if "=" in part)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
