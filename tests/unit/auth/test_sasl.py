"""Logging in, at the level of a stream: bytes to an ``Exchange``, and how it ends."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from hashlib import pbkdf2_hmac
from typing import Any

import pytest

from tests.unit.auth.parts import (
    BOUND_TLS,
    DOMAIN,
    JULIET,
    PLAIN_TCP,
    PLUS,
    SCRAM,
    TLS,
    Client,
    Server,
    challenge,
    condition,
)
from xmppd.auth.sasl import (
    MECHANISMS,
    Security,
    Success,
)
from xmppd.auth.scram import make_credentials
from xmppd.errors import ConfigError, SaslError
from xmppd.jid import Jid
from xmppd.storage.interfaces import ScramHash

# What is offered


def test_the_strongest_comes_first_and_what_is_bound_only_where_there_is_something_to_bind_to() -> None:
    auth = Server().auth
    assert auth.mechanisms(BOUND_TLS) == (
        "SCRAM-SHA-512-PLUS",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    )
    assert auth.mechanisms(TLS) == (*SCRAM, "PLAIN")
    assert auth.mechanisms(PLAIN_TCP) == ()
    assert Server(require_tls=False).auth.mechanisms(PLAIN_TCP) == SCRAM


def test_only_what_is_switched_on_is_offered_in_the_operators_order() -> None:
    auth = Server(mechanisms=("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1")).auth
    assert auth.mechanisms(BOUND_TLS) == ("SCRAM-SHA-1", "SCRAM-SHA-256")


def test_channel_bindings_are_announced_where_a_mechanism_uses_them() -> None:
    assert Server().auth.channel_bindings(BOUND_TLS) == ("tls-server-end-point",)
    assert Server().auth.channel_bindings(TLS) == ()
    assert Server(mechanisms=SCRAM).auth.channel_bindings(BOUND_TLS) == ()


@pytest.mark.parametrize("mechanisms", [(), ("SCRAM-SHA-256", "CRAM-MD5")])
def test_mechanisms_that_make_no_sense_do_not_start(mechanisms: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="there are SCRAM-SHA-512-PLUS, "):
        Server(mechanisms=mechanisms)


@pytest.mark.parametrize(
    ("mechanism", "security", "enabled", "outcome"),
    [
        ("DIGEST-MD5", TLS, MECHANISMS, "invalid-mechanism"),
        ("", TLS, MECHANISMS, "invalid-mechanism"),
        ("plain", TLS, MECHANISMS, "invalid-mechanism"),
        ("SCRAM-SHA-256-PLUS", TLS, MECHANISMS, "invalid-mechanism"),
        ("SCRAM-SHA-512", TLS, ("SCRAM-SHA-256",), "invalid-mechanism"),
        ("PLAIN", TLS, SCRAM, "mechanism-too-weak"),
        ("SCRAM-SHA-1", TLS, ("SCRAM-SHA-256",), "mechanism-too-weak"),
        ("SCRAM-SHA-256", BOUND_TLS, PLUS, "mechanism-too-weak"),
        ("PLAIN", PLAIN_TCP, MECHANISMS, "encryption-required"),
        ("SCRAM-SHA-256", PLAIN_TCP, MECHANISMS, "encryption-required"),
        ("SCRAM-SHA-256-PLUS", PLAIN_TCP, MECHANISMS, "encryption-required"),
    ],
)
def test_what_is_not_offered_cannot_be_begun(
    mechanism: str, security: Security, enabled: tuple[str, ...], outcome: str
) -> None:
    with pytest.raises(SaslError) as caught:
        Server(mechanisms=enabled).begin(mechanism, security)
    assert caught.value.condition == outcome


def test_plain_needs_tls_even_where_tls_is_not_required() -> None:
    server = Server(require_tls=False)
    server.begin("SCRAM-SHA-1", PLAIN_TCP)
    with pytest.raises(SaslError) as caught:
        server.begin("PLAIN", PLAIN_TCP)
    assert caught.value.condition == "encryption-required"


# SCRAM


@pytest.mark.parametrize("mechanism", [*PLUS, *SCRAM])
async def test_who_knows_the_password_is_let_in(server: Server, mechanism: str) -> None:
    end = await server.scram("juliet", "pencil", mechanism)
    assert (end.jid, end.mechanism) == (JULIET, mechanism)


@pytest.mark.parametrize("mechanism", [*PLUS, *SCRAM])
@pytest.mark.parametrize(("name", "password"), [("juliet", "pencil2"), ("nurse", "pencil"), ("a@b", "x")])
async def test_who_does_not_is_not(server: Server, mechanism: str, name: str, password: str) -> None:
    assert await condition(server.scram(name, password, mechanism)) == "not-authorized"


async def test_the_name_is_prepared_as_in_an_address(server: Server) -> None:
    assert (await server.scram("JULIET", "pencil")).jid == JULIET
    assert (await server.scram("ｊｕｌｉｅｔ", "pencil")).jid == JULIET
    odd = Jid("o,h=dear", DOMAIN)
    server.accounts.keys[odd] = make_credentials("pencil", 8)
    assert (await server.scram("o,h=dear", "pencil")).jid == odd


@pytest.mark.parametrize("name", ["juliet@capulet.example", "jul iet", "x" * 1024, "\u00e9" * 600])
async def test_a_name_that_is_no_localpart_is_not_authorized(server: Server, name: str) -> None:
    assert await condition(server.scram(name, "pencil")) == "not-authorized"
    assert await condition(server.plain(name, "pencil")) == "not-authorized"


async def test_a_client_may_wait_to_be_asked(server: Server) -> None:
    """RFC 6120#6.4.2: no initial response; the empty challenge asks for it."""
    client = Client("SCRAM-SHA-256", "juliet", "pencil")
    exchange = server.begin("SCRAM-SHA-256")
    assert await challenge(exchange, None) == b""
    final = client.final(await challenge(exchange, client.first()))
    assert isinstance(await exchange.step(final), Success)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1"])
async def test_an_empty_response_is_not_a_missing_one(server: Server, mechanism: str) -> None:
    assert await condition(server.begin(mechanism).step(b"")) == "malformed-request"
    exchange = server.begin(mechanism)
    await challenge(exchange, None)
    assert await condition(exchange.step(None)) == "malformed-request"


async def test_nonces_are_the_clients_with_our_own_behind_and_never_the_same(server: Server) -> None:
    client = Client("SCRAM-SHA-256", "juliet", "pencil")
    nonces = {
        (await challenge(server.begin("SCRAM-SHA-256"), client.first())).split(b",")[0] for _ in range(100)
    }
    assert len(nonces) == 100
    assert all(re.fullmatch(rb"r=" + client.nonce.encode() + rb"[\w-]{24}", nonce) for nonce in nonces)


async def test_a_conversation_cannot_be_replayed(server: Server) -> None:
    client = Client("SCRAM-SHA-256", "juliet", "pencil")
    exchange = server.begin("SCRAM-SHA-256")
    final = client.final(await challenge(exchange, client.first()))
    assert isinstance(await exchange.step(final), Success)
    assert await condition(exchange.step(final)) == "malformed-request"
    another = server.begin("SCRAM-SHA-256")
    await challenge(another, client.first())
    assert await condition(another.step(final)) == "not-authorized"


async def test_a_login_bound_to_another_certificate_is_refused(server: Server) -> None:
    client = Client("SCRAM-SHA-256-PLUS", "juliet", "pencil")
    client.binding = b"what somebody in between serves"
    exchange = server.begin("SCRAM-SHA-256-PLUS")
    final = client.final(await challenge(exchange, client.first()))
    assert await condition(exchange.step(final)) == "not-authorized"


@pytest.mark.parametrize(
    ("header", "security", "enabled", "outcome"),
    [
        ("y,,", BOUND_TLS, MECHANISMS, "not-authorized"),  # RFC 5802#6: somebody removed the -PLUS
        ("y,,", BOUND_TLS, SCRAM, None),
        ("y,,", TLS, MECHANISMS, None),
        ("n,,", BOUND_TLS, MECHANISMS, None),
    ],
)
async def test_a_downgrade_is_noticed(
    header: str, security: Security, enabled: tuple[str, ...], outcome: str | None
) -> None:
    client = Client("SCRAM-SHA-256", "juliet", "pencil", header=header)
    exchange = Server(mechanisms=enabled).begin("SCRAM-SHA-256", security)
    if outcome:
        assert await condition(exchange.step(client.first())) == outcome
    else:
        final = client.final(await challenge(exchange, client.first()))
        assert isinstance(await exchange.step(final), Success)


async def test_a_channel_binding_of_another_type_is_refused(server: Server) -> None:
    client = Client("SCRAM-SHA-256-PLUS", "juliet", "pencil", header="p=tls-unique,,")
    assert await condition(server.begin("SCRAM-SHA-256-PLUS").step(client.first())) == "malformed-request"


@pytest.mark.parametrize(
    ("authzid", "allowed"),
    [
        ("juliet@capulet.example", True),
        ("JULIET@CAPULET.example", True),
        ("nurse@capulet.example", False),
        ("juliet@montague.example", False),
        ("juliet", False),
        ("capulet.example", False),
        ("juliet@capulet.example/balcony", False),
        ("@", False),
        ("juliet@", False),
    ],
)
async def test_one_acts_only_as_oneself(server: Server, authzid: str, allowed: bool) -> None:
    client = Client("SCRAM-SHA-256", "juliet", "pencil", header=f"n,a={authzid},")
    exchange = server.begin("SCRAM-SHA-256")
    plain = server.begin("PLAIN").step(f"{authzid}\0juliet\0pencil".encode())
    if allowed:
        final = client.final(await challenge(exchange, client.first()))
        assert isinstance(await exchange.step(final), Success)
        assert isinstance(await plain, Success)
    else:
        assert await condition(exchange.step(client.first())) == "invalid-authzid"
        assert await condition(plain) == "invalid-authzid"


async def test_an_account_of_another_domain_is_another_account(server: Server) -> None:
    exchange = server.auth.begin("PLAIN", "montague.example", "192.0.2.1", TLS)
    assert await condition(exchange.step(b"\0juliet\0pencil")) == "not-authorized"


# Accounts that do not exist


@pytest.mark.parametrize("mechanism", SCRAM)
async def test_an_account_that_does_not_exist_cannot_be_told_by_its_challenge(
    server: Server, mechanism: str
) -> None:
    async def salt(name: str) -> bytes:
        first = Client(mechanism, name, "").first()
        answer = await challenge(server.begin(mechanism), first)
        found = re.fullmatch(rb"r=[^,]+,s=([^,]{24}),i=8", answer)
        assert found is not None
        return found[1]

    assert await salt("juliet") == await salt("juliet")
    assert await salt("nurse") == await salt("nurse") == await salt("NURSE")
    assert len({await salt(name) for name in ("juliet", "nurse", "romeo")}) == 3


async def test_salts_of_accounts_that_do_not_exist_survive_a_restart_and_differ_by_mechanism() -> None:
    async def salt(mechanism: str) -> bytes:
        first = Client(mechanism, "nurse", "").first()
        return (await challenge(Server().begin(mechanism), first)).split(b",")[1]

    assert await salt("SCRAM-SHA-1") == await salt("SCRAM-SHA-1")
    assert len({await salt(mechanism) for mechanism in SCRAM}) == 3


async def test_an_account_without_keys_for_the_mechanism_is_like_one_that_does_not_exist(
    server: Server,
) -> None:
    old = Jid("paris", DOMAIN)
    keys = make_credentials("pencil", 8)
    server.accounts.keys[old] = {ScramHash.SHA1: keys[ScramHash.SHA1]}
    assert await condition(server.scram("paris", "pencil", "SCRAM-SHA-256")) == "not-authorized"
    assert (await server.scram("paris", "pencil", "SCRAM-SHA-1")).jid == old


@pytest.mark.parametrize(
    ("mechanism", "password_hashes"), [("PLAIN", 1), *((name, 0) for name in (*PLUS, *SCRAM))]
)
async def test_the_server_works_as_much_for_a_stranger_as_for_a_user(
    server: Server, monkeypatch: pytest.MonkeyPatch, mechanism: str, password_hashes: int
) -> None:
    """Counted, not measured: password hashing, and the HMACs that are all that is left of the cost."""
    work: dict[str, list[str]] = {}

    def counted(name: str, function: Callable[..., bytes]) -> Callable[..., bytes]:
        def call(*args: Any) -> bytes:
            work[user].append(name)
            return function(*args)

        return call

    monkeypatch.setattr("hashlib.pbkdf2_hmac", counted("pbkdf2", pbkdf2_hmac))
    monkeypatch.setattr("hmac.digest", counted("hmac", hmac.digest))
    for user in ("juliet", "nurse"):
        work[user] = []
        attempt = server.plain if mechanism == "PLAIN" else server.scram
        args = () if mechanism == "PLAIN" else (mechanism,)
        assert await condition(attempt(user, "wrong", *args)) == "not-authorized"
    assert work["juliet"] == work["nurse"]
    assert work["juliet"].count("pbkdf2") == password_hashes
    assert "hmac" in work["juliet"]


# PLAIN


async def test_plain_lets_in_who_knows_the_password(server: Server) -> None:
    end = await server.plain("Juliet", "pencil")
    assert end == Success(JULIET, None, "PLAIN")


async def test_plain_after_an_empty_challenge(server: Server) -> None:
    exchange = server.begin("PLAIN")
    assert await challenge(exchange, None) == b""
    assert isinstance(await exchange.step(b"\0juliet\0pencil"), Success)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (b"\0juliet\0pencil2", "not-authorized"),
        (b"\0juliet\0Pencil", "not-authorized"),
        (b"\0nurse\0pencil", "not-authorized"),
        (b"\0juliet\0pen\ncil", "not-authorized"),
        (b"\0juliet\0" + b"x" * 2000, "not-authorized"),
        (b"juliet", "malformed-request"),
        (b"juliet\0pencil", "malformed-request"),
        (b"\0juliet\0", "malformed-request"),
        (b"\0\0pencil", "malformed-request"),
        (b"\0\0", "malformed-request"),
        (b"\0juliet\0pencil\0", "malformed-request"),
        (b"\0juliet\0pencil\xff", "malformed-request"),
        (b"\0juliet\0" + b"x" * 4096, "malformed-request"),
    ],
)
async def test_plain_lets_in_nobody_else(server: Server, message: bytes, outcome: str) -> None:
    assert await condition(server.begin("PLAIN").step(message)) == outcome
