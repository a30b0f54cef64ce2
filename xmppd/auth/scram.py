"""SCRAM, the server's half (RFC 5802, RFC 7677): keys, and the exchange of one attempt; bytes in, bytes out.

    client  n,,n=user,r=abc                      ClientFirst.parse
    server  r=abcXYZ,s=<salt>,i=10000            ScramServer(...).challenge
    client  c=biws,r=abcXYZ,p=<proof>            ScramServer.finish
    server  v=<signature>

The server keeps H(ClientKey) and ServerKey, neither of which lets anybody log in. The client proves that it
knows ClientKey by sending it XORed with a signature over all that both sides said, which the server can
compute as well; hashing what comes out has to give the stored key. No password hashing happens on this side.

An unknown user gets ``decoy_keys``: a challenge like any other, the same each time, and then the answer to a
wrong password.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from xmppd.auth import base64
from xmppd.auth.saslprep import prepare_password
from xmppd.errors import SaslError
from xmppd.storage.interfaces import Credentials, ScramHash, ScramKeys

SALT_SIZE: Final = 16

_NONCE: Final = rb"[\x21-\x2b\x2d-\x7e]+"  # RFC 5802#7: printable, without the comma
_EXTENSIONS: Final = rb"((?:,[A-Za-z]=[^,\0]+)*)"
_CLIENT_FIRST: Final = re.compile(
    rb"((?:p=([A-Za-z0-9.-]+)|([ny])),(?:a=([^,\0]+))?,)(n=([^,\0]+),r=("
    + _NONCE
    + rb")"
    + _EXTENSIONS
    + rb")"
).fullmatch
_CLIENT_FINAL: Final = re.compile(
    rb"(c=([A-Za-z0-9+/=]+),r=(" + _NONCE + rb")" + _EXTENSIONS + rb"),p=([A-Za-z0-9+/=]+)"
).fullmatch
_BAD_ESCAPE: Final = re.compile(r"=(?!2C|3D)").search


def derive_keys(password: str, hash: ScramHash, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of ``password`` (RFC 5802#3), in milliseconds of CPU: ``Passwords`` does it off the event loop.

    ``PasswordError`` if ``password`` can be none.
    """
    name = hash.value
    salted = hashlib.pbkdf2_hmac(name, prepare_password(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", name)
    return ScramKeys(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.new(name, client_key).digest(),
        server_key=hmac.digest(salted, b"Server Key", name),
    )


def make_credentials(password: str, iterations: int, salt: bytes | None = None) -> Credentials:
    """Keys for every hash, each with a fresh salt unless ``salt`` is given; ``PasswordError`` as above."""
    return {
        hash: derive_keys(password, hash, os.urandom(SALT_SIZE) if salt is None else salt, iterations)
        for hash in ScramHash
    }


def decoy_keys(secret: bytes, address: str, hash: ScramHash, iterations: int) -> ScramKeys:
    """What ``address`` shows when it has no keys: the same salt each time, and keys that nobody can match.

    ``secret`` is the server's, so that nobody else can tell such a salt from a real one.
    """
    size = hashlib.new(hash.value).digest_size
    return ScramKeys(
        salt=hmac.digest(secret, f"{hash.value} {address}".encode(), "sha256")[:SALT_SIZE],
        iterations=iterations,
        stored_key=os.urandom(size),
        server_key=os.urandom(size),
    )


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """The client's first message (RFC 5802#7).

    ``flag`` tells what the client thinks of channel binding (RFC 5802#6): "n", it has none; "y", it has but
    believes that we have not; "p", it wants ``binding``. ``header`` and ``bare`` are the two halves of the
    message as they go into later ones.
    """

    flag: Literal["n", "y", "p"]
    binding: str
    authzid: str
    username: str
    nonce: bytes
    header: bytes
    bare: bytes

    @classmethod
    def parse(cls, message: bytes) -> ClientFirst:
        """Read ``message``; ``SaslError`` ``malformed-request`` if it is none."""
        match = _CLIENT_FIRST(message)
        # RFC 5802#5.1: "m" asks for an extension that one must know or fail, and there is none yet
        if match is None or b",m=" in match[8]:
            raise SaslError(
                "malformed-request", "not a SCRAM client-first-message without mandatory extensions"
            )
        return cls(
            flag="p" if match[2] else "y" if match[3] == b"y" else "n",
            binding=(match[2] or b"").decode(),
            authzid=_name(match[4] or b""),
            username=_name(match[6]),
            nonce=match[7],
            header=match[1],
            bare=match[5],
        )

    def check_binding(self, *, plus: bool, available: Mapping[str, bytes], offered: bool) -> bytes:
        """The data that the client's ``c=`` has to hold after the header.

        ``plus``: the mechanism is one of the -PLUS. ``available``: what this connection can be bound to.
        ``offered``: a -PLUS was among the mechanisms. ``SaslError`` where that does not go together.
        """
        if self.flag != "p":
            if plus:
                raise SaslError("malformed-request", "a -PLUS mechanism needs a channel binding")
            if self.flag == "y" and offered:
                # RFC 5802#6: we did offer channel binding; somebody on the way took it out of the list
                raise SaslError("not-authorized", "channel binding is offered here, but did not reach you")
            return b""
        if not plus:
            raise SaslError("malformed-request", "channel binding needs a -PLUS mechanism")
        if self.binding not in available:
            known = ", ".join(available) or "none"
            raise SaslError("malformed-request", f"no such channel binding here; available: {known}")
        return available[self.binding]


class ScramServer:
    """The rest of one attempt, after ``first`` was checked. Use it once: ``finish`` judges one proof.

    ``keys`` are the account's, or a decoy's. ``nonce`` is the server's part, printable ASCII without comma,
    never used before. ``binding`` is what ``ClientFirst.check_binding`` returned.
    """

    __slots__ = ("_binding", "_first", "_hash", "_keys", "_nonce", "challenge")

    challenge: bytes

    def __init__(
        self, hash: ScramHash, first: ClientFirst, keys: ScramKeys, nonce: str, binding: bytes
    ) -> None:
        self._hash = hash.value
        self._first = first
        self._keys = keys
        self._nonce = first.nonce + nonce.encode()
        self._binding = first.header + binding
        self.challenge = b"r=%b,s=%b,i=%d" % (self._nonce, base64.encode(keys.salt), keys.iterations)

    def finish(self, message: bytes) -> bytes:
        """The server's signature if the client proved that it knows the password; ``SaslError`` otherwise."""
        match = _CLIENT_FINAL(message)
        if match is None or b",m=" in match[4]:
            raise SaslError(
                "malformed-request", "not a SCRAM client-final-message without mandatory extensions"
            )
        unproven, binding, nonce, proof = match[1], _data(match[2]), match[3], _data(match[5])
        keys = self._keys
        signed = b"%b,%b,%b" % (self._first.bare, self.challenge, unproven)
        # Everything is computed before anything is judged: what was wrong cannot be told by the time it took.
        signature = hmac.digest(keys.stored_key, signed, self._hash)
        client_key = _xor(proof, signature) if len(proof) == len(signature) else b""
        proven = hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), keys.stored_key)
        bound = hmac.compare_digest(binding, self._binding)
        fresh = hmac.compare_digest(nonce, self._nonce)
        if not (proven and bound and fresh):
            raise SaslError("not-authorized")
        return b"v=" + base64.encode(hmac.digest(keys.server_key, signed, self._hash))


def _data(text: bytes) -> bytes:
    try:
        return base64.decode(text)
    except ValueError as err:
        raise SaslError("malformed-request", f"in a SCRAM message: {err}") from err


def _name(raw: bytes) -> str:
    """A saslname (RFC 5802#5.1): the comma and the equals sign are escaped, nothing else may follow "="."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as err:
        raise SaslError("malformed-request", "a SCRAM message is UTF-8") from err
    if _BAD_ESCAPE(text):
        raise SaslError("malformed-request", "in a SCRAM name, = is written =3D and the comma =2C")
    return text.replace("=2C", ",").replace("=3D", "=")


def _xor(left: bytes, right: bytes) -> bytes:
    size = len(left)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(size, "big")
