"""What the tests of logging in are made of: a clock moved by hand, accounts in memory, a server, a client."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from hashlib import new, pbkdf2_hmac
from hmac import digest
from typing import Any, cast

import pytest

from xmppd.auth.passwords import Passwords
from xmppd.auth.sasl import MECHANISMS, Authenticator, Challenge, Exchange, Security, Success
from xmppd.auth.scram import make_credentials
from xmppd.auth.throttle import Throttle, ThrottleConfig
from xmppd.clock import Timer
from xmppd.errors import SaslError
from xmppd.jid import Jid
from xmppd.storage.interfaces import AccountStore, Credentials, StorageUnavailable

DOMAIN = "capulet.example"
JULIET = Jid("juliet", DOMAIN)
ADDRESS = "192.0.2.1"
ITERATIONS = 8  # the arithmetic is the same as with 10,000
BINDING = b"\x01\x02\xff,=" * 7
PLAIN_TCP = Security(tls=False)
TLS = Security(tls=True)
BOUND_TLS = Security(tls=True, channel_bindings={"tls-server-end-point": BINDING})
PLUS = tuple(name for name in MECHANISMS if name.endswith("-PLUS"))
SCRAM = tuple(name for name in MECHANISMS if name.startswith("SCRAM") and name not in PLUS)


class ManualClock:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        raise NotImplementedError


class Accounts:
    """As much of an ``AccountStore`` as logging in uses."""

    def __init__(self) -> None:
        self.keys: dict[Jid, Credentials] = {}
        self.available = True

    async def credentials(self, jid: Jid) -> Credentials | None:
        if not self.available:
            raise StorageUnavailable("the disk is gone")
        return self.keys.get(jid)


@dataclass
class Server:
    """An authenticator and what it works with. juliet's password is "pencil"."""

    clock: ManualClock = field(default_factory=ManualClock)
    accounts: Accounts = field(default_factory=Accounts)
    passwords: Passwords = field(default_factory=lambda: Passwords(ITERATIONS))
    limits: ThrottleConfig = field(default_factory=ThrottleConfig)
    mechanisms: tuple[str, ...] = MECHANISMS
    require_tls: bool = True
    auth: Authenticator = field(init=False)

    def __post_init__(self) -> None:
        self.accounts.keys[JULIET] = make_credentials("pencil", ITERATIONS)
        self.auth = Authenticator(
            cast("AccountStore", self.accounts),  # of which it calls what Accounts has
            self.passwords,
            Throttle(self.limits, self.clock),
            secret=b"the secret of this server",
            mechanisms=self.mechanisms,
            require_tls=self.require_tls,
        )

    def begin(self, mechanism: str, security: Security = BOUND_TLS, *, address: str = ADDRESS) -> Exchange:
        return self.auth.begin(mechanism, DOMAIN, address, security)

    async def plain(self, name: str, password: str, *, address: str = ADDRESS) -> Success:
        end = await self.begin("PLAIN", address=address).step(f"\0{name}\0{password}".encode())
        assert isinstance(end, Success)
        return end

    async def scram(
        self, name: str, password: str, mechanism: str = "SCRAM-SHA-256", *, address: str = ADDRESS
    ) -> Success:
        client = Client(mechanism, name, password)
        exchange = self.begin(mechanism, address=address)
        challenge = await exchange.step(client.first())
        assert isinstance(challenge, Challenge)
        end = await exchange.step(client.final(challenge.data))
        assert isinstance(end, Success)
        assert end.data == client.signature
        return end


class Client:
    """The client's half of SCRAM, written apart from the server's half, with every part open to tampering."""

    def __init__(
        self,
        mechanism: str,
        name: str,
        password: str,
        *,
        nonce: str = "rOprNGfwEbeRWgbNEkqO",
        header: str | None = None,
    ) -> None:
        self.plus = mechanism.endswith("-PLUS")
        self.hash = {
            "SCRAM-SHA-1": "sha1",
            "SCRAM-SHA-256": "sha256",
            "SCRAM-SHA-512": "sha512",
        }[mechanism.removesuffix("-PLUS")]
        self.name, self.password, self.nonce = name, password, nonce
        self.header = header if header is not None else "p=tls-server-end-point,," if self.plus else "n,,"
        self.binding = BINDING if self.plus else b""
        self.extensions = ""
        self.signature = b""

    @property
    def bare(self) -> str:
        name = self.name.replace("=", "=3D").replace(",", "=2C")
        return f"n={name},r={self.nonce}"

    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, challenge: bytes, *, nonce: str | None = None) -> bytes:
        attributes = dict(part.split("=", 1) for part in challenge.decode().split(","))
        if nonce is None:
            nonce = attributes["r"]
        assert attributes["r"].startswith(self.nonce)
        salted = pbkdf2_hmac(
            self.hash, self.password.encode(), b64decode(attributes["s"]), int(attributes["i"])
        )
        bound = b64encode(self.header.encode() + self.binding).decode()
        unproven = f"c={bound},r={nonce}{self.extensions}"
        signed = f"{self.bare},{challenge.decode()},{unproven}".encode()
        client_key = digest(salted, b"Client Key", self.hash)
        mask = digest(new(self.hash, client_key).digest(), signed, self.hash)
        proof = bytes(a ^ b for a, b in zip(client_key, mask, strict=True))
        server_key = digest(salted, b"Server Key", self.hash)
        self.signature = b"v=" + b64encode(digest(server_key, signed, self.hash))
        return f"{unproven},p={b64encode(proof).decode()}".encode()


async def condition(attempt: Coroutine[Any, Any, object]) -> str:
    """The condition that ``attempt`` fails with."""
    with pytest.raises(SaslError) as caught:
        await attempt
    return caught.value.condition


async def challenge(exchange: Exchange, data: bytes | None) -> bytes:
    answer = await exchange.step(data)
    assert isinstance(answer, Challenge)
    return answer.data
