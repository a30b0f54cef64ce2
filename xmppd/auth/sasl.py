"""SASL for clients (RFC 6120#6): which mechanisms are offered, and the exchange of one attempt.

Bytes in, ``Challenge`` or ``Success`` out, ``SaslError`` for a failure; base64 and XML are the stream's. A
stream asks for the mechanisms, begins an exchange, and feeds it until it ends.

What an attempt tells a stranger is the same for a wrong password and for an account that does not exist: the
same steps, the same salt each time, the same work, the same error, the same throttling.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from xmppd.auth import base64
from xmppd.auth.passwords import Passwords, TooBusy
from xmppd.auth.scram import ClientFirst, ScramServer, decoy_keys
from xmppd.auth.throttle import Throttle
from xmppd.errors import ConfigError, SaslError
from xmppd.jid import MAX_PART, Jid, JidError, prepare_local
from xmppd.storage.interfaces import AccountStore, Credentials, ScramHash, StorageUnavailable

_SCRAM: Final = {
    "SCRAM-SHA-512": ScramHash.SHA512,
    "SCRAM-SHA-256": ScramHash.SHA256,
    "SCRAM-SHA-1": ScramHash.SHA1,
}
_PLUS: Final = "-PLUS"
_MAX_MESSAGE: Final = 4096  # bytes; the longest name that an account can have, twice, and a password fit

MECHANISMS: Final = (*(name + _PLUS for name in _SCRAM), *_SCRAM, "PLAIN")
"""What is implemented, strongest first."""


@dataclass(frozen=True, slots=True)
class Security:
    """What protects a connection. ``channel_bindings``: data by type, empty where a login can be bound to nothing."""

    tls: bool
    channel_bindings: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The server asks for more (RFC 6120#6.4.3)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """The client is the bare address ``jid``. ``data`` goes into <success/> unless None (RFC 6120#6.4.6)."""

    jid: Jid
    data: bytes | None
    mechanism: str


Step = Callable[[bytes], Awaitable[Challenge | Success]]


class Exchange(ABC):
    """One attempt. It ends with ``Success`` or an exception; a stream that is told to abort just drops it.

    ``account`` is what it is for, once the client said so. ``revoked``: set it when that account's password changes or
    the account goes, and the attempt fails, since what it is checked against may have been read before.
    """

    def __init__(self) -> None:
        self.account: Jid | None = None
        self.revoked = False
        self._step: Step = self._first
        self._started = False

    async def step(self, data: bytes | None) -> Challenge | Success:
        """Answer what the client sent: None for an <auth/> without initial response, b"" for an empty one.

        ``SaslError`` when the attempt fails. Nothing else is raised because of what a client sends.
        """
        if data is None and not self._started:
            self._started = True
            return Challenge(b"")  # RFC 6120#6.4.2: in all our mechanisms the client speaks first, so let it
        self._started = True
        data = data or b""
        if len(data) > _MAX_MESSAGE:
            raise SaslError("malformed-request", f"a SASL message has at most {_MAX_MESSAGE} bytes here")
        # While a step is awaited, and after the last one, there is no next.
        step, self._step = self._step, self._over
        try:
            outcome = await step(data)
        except StorageUnavailable as err:
            raise SaslError("temporary-auth-failure", "the accounts cannot be read right now") from err
        if self.revoked:
            raise SaslError("not-authorized")
        return outcome

    @abstractmethod
    async def _first(self, data: bytes) -> Challenge | Success: ...

    async def _over(self, data: bytes) -> Challenge | Success:
        raise SaslError("malformed-request", "this attempt takes no more data")


class Authenticator:
    """Checks logins against ``accounts``.

    ``secret`` makes the salts of accounts that do not exist; it stays the same for good (``SecretStore``).
    ``mechanisms``, names out of ``MECHANISMS``, are offered in this order. Without ``require_tls``, SCRAM
    works over plain connections too; PLAIN never does.
    """

    def __init__(
        self,
        accounts: AccountStore,
        passwords: Passwords,
        throttle: Throttle,
        *,
        secret: bytes,
        mechanisms: Sequence[str] = MECHANISMS,
        require_tls: bool = True,
    ) -> None:
        if not mechanisms:
            raise ConfigError(f"no SASL mechanism, so nobody could log in; there are {', '.join(MECHANISMS)}")
        for name in mechanisms:
            if name not in MECHANISMS:
                raise ConfigError(f"SASL mechanism {name!r} is not known; there are {', '.join(MECHANISMS)}")
        self._backend = _Backend(accounts, passwords, throttle, secret)
        self._throttle = throttle
        self._enabled = tuple(dict.fromkeys(mechanisms))
        self._require_tls = require_tls
        self._offers = {
            (tls, bound): tuple(name for name in self._enabled if self._refusal(name, tls, bound) is None)
            for tls in (False, True)
            for bound in (False, True)
        }

    def mechanisms(self, security: Security) -> tuple[str, ...]:
        """What a connection may use, best first (RFC 6120#6.3.3); empty where TLS has to come first."""
        return self._offers[security.tls, bool(security.channel_bindings)]

    def channel_bindings(self, security: Security) -> tuple[str, ...]:
        """The types to announce (XEP-0440#sasl-cb-type); empty where no mechanism on offer uses them."""
        return tuple(security.channel_bindings) if self._offers_plus(security) else ()

    def begin(self, mechanism: str, domain: str, address: str, security: Security) -> Exchange:
        """Start an attempt from the IP address ``address`` for an account at ``domain``, which is served here.

        ``SaslError``: ``invalid-mechanism``, ``mechanism-too-weak``, ``encryption-required``,
        ``temporary-auth-failure``.
        """
        if refusal := self._refusal(mechanism, security.tls, bool(security.channel_bindings)):
            raise refusal
        self._throttle.check(address)
        login = _Login(self._backend, mechanism, domain, address)
        if mechanism == "PLAIN":
            return _Plain(login)
        return _Scram(login, security.channel_bindings, self._offers_plus(security))

    def _offers_plus(self, security: Security) -> bool:
        return any(name.endswith(_PLUS) for name in self.mechanisms(security))

    def _refusal(self, mechanism: str, tls: bool, bound: bool) -> SaslError | None:
        """Why a connection may not use ``mechanism``; None: it may."""
        if mechanism not in self._enabled:
            strength = MECHANISMS.index(mechanism) if mechanism in MECHANISMS else -1
            if all(strength > MECHANISMS.index(name) for name in self._enabled):
                return SaslError("mechanism-too-weak", f"use one of {', '.join(self._enabled)}")
            return SaslError("invalid-mechanism")
        if not tls and (self._require_tls or mechanism == "PLAIN"):
            return SaslError("encryption-required", f"{mechanism} needs TLS here")
        if not bound and mechanism.endswith(_PLUS):
            return SaslError("invalid-mechanism", "this connection has no channel binding")
        return None


@dataclass(frozen=True, slots=True)
class _Backend:
    """What every attempt needs."""

    accounts: AccountStore
    passwords: Passwords
    throttle: Throttle
    secret: bytes

    async def credentials(self, jid: Jid, hashes: Iterable[ScramHash]) -> Credentials:
        """The keys of ``jid`` for ``hashes``; a decoy, which no proof and no password fits, where it has none."""
        known = await self.accounts.credentials(jid) or {}
        # Decoys are made for accounts that need none as well, so that both take the same time.
        decoys = {hash: decoy_keys(self.secret, str(jid), hash, self.passwords.iterations) for hash in hashes}
        return {hash: known.get(hash, decoy) for hash, decoy in decoys.items()}


@dataclass(frozen=True, slots=True)
class _Login:
    """Where an attempt comes from, and the rules that all mechanisms share."""

    backend: _Backend
    mechanism: str
    domain: str
    address: str

    def account(self, authcid: str, authzid: str) -> Jid:
        """The account that ``authcid`` names, which is to act as ``authzid``, or as itself where empty."""
        if len(authcid.encode()) > MAX_PART:  # preparing it could take milliseconds
            self.reject(None)
        try:
            # RFC 6120#6.3.7: the simple user name is the localpart
            jid = Jid(prepare_local(authcid), self.domain)
        except JidError:
            self.reject(None)
        if authzid:
            self._authorize(jid, authzid)
        self.check(jid)
        return jid

    def _authorize(self, jid: Jid, authzid: str) -> None:
        # RFC 6120#6.3.8: a bare JID; nobody here may act for another
        try:
            # A resource is wrong in any case, and costly to prepare.
            if "/" not in authzid and Jid.parse(authzid) == jid:
                return
        except JidError:
            pass
        raise SaslError("invalid-authzid", "the authorization identity is your own bare address, or left out")

    def check(self, jid: Jid) -> None:
        """Before anything is looked up, and again before the outcome is told: parallel guesses count too."""
        self.backend.throttle.check(self.address, str(jid))

    def reject(self, jid: Jid | None) -> NoReturn:
        self.backend.throttle.failed(self.address, None if jid is None else str(jid))
        raise SaslError("not-authorized")

    def accept(self, jid: Jid, data: bytes | None) -> Success:
        self.backend.throttle.succeeded(self.address, str(jid))
        return Success(jid, data, self.mechanism)


class _Plain(Exchange):
    """RFC 4616: [authzid] NUL authcid NUL password."""

    def __init__(self, login: _Login) -> None:
        super().__init__()
        self._login = login

    async def _first(self, data: bytes) -> Success:
        authzid, authcid, password = _plain(data)
        login = self._login
        jid = self.account = login.account(authcid, authzid)
        credentials = await login.backend.credentials(jid, ScramHash)
        try:
            right = await login.backend.passwords.verify(password, credentials)
        except TooBusy as err:
            raise SaslError("temporary-auth-failure", "too many logins at once; try again") from err
        login.check(jid)
        if not right:
            login.reject(jid)
        return login.accept(jid, None)


def _plain(data: bytes) -> tuple[str, str, str]:
    try:
        authzid, authcid, password = data.decode().split("\0")
    except ValueError as err:  # not UTF-8, or not three parts
        raise SaslError("malformed-request", "not a PLAIN message") from err
    if not authcid or not password:
        raise SaslError("malformed-request", "PLAIN needs a name and a password")
    return authzid, authcid, password


class _Scram(Exchange):
    """RFC 5802 and RFC 7677, through ``ScramServer``."""

    def __init__(self, login: _Login, bindings: Mapping[str, bytes], plus_offered: bool) -> None:
        super().__init__()
        self._login = login
        self._bindings = bindings
        self._plus_offered = plus_offered

    async def _first(self, data: bytes) -> Challenge:
        first = ClientFirst.parse(data)
        login = self._login
        name = login.mechanism.removesuffix(_PLUS)
        hash = _SCRAM[name]
        binding = first.check_binding(
            plus=name != login.mechanism, available=self._bindings, offered=self._plus_offered
        )
        jid = self.account = login.account(first.username, first.authzid)
        keys = (await login.backend.credentials(jid, (hash,)))[hash]
        scram = ScramServer(hash, first, keys, secrets.token_urlsafe(18), binding)

        async def final(data: bytes) -> Success:
            login.check(jid)
            try:
                signature = scram.finish(data)
            except SaslError as err:
                if err.condition == "not-authorized":
                    login.reject(jid)
                raise
            return login.accept(jid, signature)

        self._step = final
        return Challenge(scram.challenge)


def decode_base64(text: str) -> bytes:
    """The data in an <auth/> or <response/>; "=" stands for none, as does "" (RFC 6120#6.4.2).

    ``SaslError`` ``incorrect-encoding`` for what is not strictly base64.
    """
    if text == "=":
        return b""
    try:
        return base64.decode(text.encode("ascii"))
    except ValueError as err:  # UnicodeEncodeError is one
        raise SaslError("incorrect-encoding", str(err)) from err


def encode_base64(data: bytes) -> str:
    """``data`` as it stands in a <challenge/> or <success/>."""
    return base64.encode(data).decode()
