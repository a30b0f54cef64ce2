"""Logins that cannot be decided, and guessers that are not heard any more."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.auth.parts import (
    JULIET,
    Client,
    Server,
    challenge,
    condition,
)
from xmppd.auth.passwords import Passwords, TooBusy
from xmppd.auth.sasl import (
    Success,
)
from xmppd.auth.throttle import ThrottleConfig
from xmppd.errors import SaslError
from xmppd.jid import Jid
from xmppd.storage.interfaces import Credentials

# What goes wrong on our side


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_without_storage_one_is_asked_to_come_back(server: Server, mechanism: str) -> None:
    server.accounts.available = False
    attempt = server.plain if mechanism == "PLAIN" else server.scram
    assert await condition(attempt("juliet", "pencil")) == "temporary-auth-failure"
    server.accounts.available = True
    assert (await attempt("juliet", "pencil")).jid == JULIET


async def test_when_too_many_passwords_wait_one_is_asked_to_come_back() -> None:
    class Busy(Passwords):
        async def verify(self, password: str, credentials: Credentials) -> bool:
            raise TooBusy

    server = Server(passwords=Busy(8), limits=ThrottleConfig(failures_per_login=1))
    for _ in range(3):  # which is no failure of the client
        assert await condition(server.plain("juliet", "pencil")) == "temporary-auth-failure"
    assert (await server.scram("juliet", "pencil")).jid == JULIET  # hashes nothing here


async def test_data_that_comes_before_we_have_answered_ends_the_attempt(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client("SCRAM-SHA-256", "juliet", "pencil")
    exchange = server.begin("SCRAM-SHA-256")

    async def credentials(jid: Jid) -> object:
        assert await condition(exchange.step(b"c=biws,r=x,p=AAAA")) == "malformed-request"
        assert await condition(exchange.step(None)) == "malformed-request"
        return server.accounts.keys[jid]

    monkeypatch.setattr(server.accounts, "credentials", credentials)
    final = client.final(await challenge(exchange, client.first()))
    assert isinstance(await exchange.step(final), Success)


# Throttling

FEW = ThrottleConfig(failures_per_login=3, failures_per_address=5, window_seconds=60)
HOME, BOT = "192.0.2.1", "203.0.113.7"


@pytest.mark.parametrize("user", ["juliet", "nobody"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_guesser_is_not_heard_any_more_even_with_the_right_password(
    mechanism: str, user: str
) -> None:
    server = Server(limits=FEW)
    attempt = server.plain if mechanism == "PLAIN" else server.scram
    for _ in range(3):
        assert await condition(attempt(user, "wrong", address=BOT)) == "not-authorized"
    assert await condition(attempt(user, "pencil", address=BOT)) == "temporary-auth-failure"
    assert (await attempt("juliet", "pencil", address=HOME)).jid == JULIET
    server.passwords.close()


async def test_waiting_helps() -> None:
    server = Server(limits=FEW)
    for _ in range(3):
        assert await condition(server.scram("juliet", "wrong")) == "not-authorized"
    server.clock.seconds += 20
    assert (await server.scram("juliet", "pencil")).jid == JULIET
    for _ in range(3):  # the login made a fresh start
        assert await condition(server.scram("juliet", "wrong")) == "not-authorized"


async def test_guesses_side_by_side_are_heard_no_more_often() -> None:
    """All pass the first look, since none has failed yet; each is looked at again before it is told."""
    server = Server(limits=FEW)
    clients = [Client("SCRAM-SHA-256", "juliet", "pencil" if number == 19 else "x") for number in range(20)]
    exchanges = [server.begin("SCRAM-SHA-256") for _ in clients]
    finals = [
        client.final(await challenge(exchange, client.first()))
        for client, exchange in zip(clients, exchanges, strict=True)
    ]
    outcomes = [
        await condition(exchange.step(final)) for exchange, final in zip(exchanges, finals, strict=True)
    ]
    assert outcomes == ["not-authorized"] * 3 + ["temporary-auth-failure"] * 17


async def test_passwords_side_by_side_are_heard_no_more_often() -> None:
    server = Server(limits=FEW)
    guesses = [server.plain("juliet", "pencil" if number == 19 else "x") for number in range(20)]
    outcomes = [str(outcome) for outcome in await asyncio.gather(*guesses, return_exceptions=True)]
    assert outcomes.count("not-authorized") == 3
    assert len([outcome for outcome in outcomes if outcome.startswith("temporary-auth-failure")]) == 17
    server.passwords.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_for_who_is_not_heard_nothing_is_hashed_and_nothing_looked_up(mechanism: str) -> None:
    server = Server(limits=FEW)
    for _ in range(3):
        assert await condition(server.scram("juliet", "wrong")) == "not-authorized"
    server.accounts.available = False
    first = b"\0juliet\0x" if mechanism == "PLAIN" else Client(mechanism, "juliet", "x").first()
    with pytest.raises(SaslError, match="too many failed logins; try again in 20 seconds"):
        await server.begin(mechanism).step(first)


async def test_names_that_are_none_count_for_the_address() -> None:
    server = Server(limits=FEW)
    for _ in range(5):
        assert await condition(server.scram("a@b", "x", address=BOT)) == "not-authorized"
    with pytest.raises(SaslError) as caught:
        server.begin("SCRAM-SHA-256", address=BOT)
    assert caught.value.condition == "temporary-auth-failure"
    server.begin("SCRAM-SHA-256", address=HOME)


async def test_a_client_that_cannot_do_what_it_tried_is_no_guesser() -> None:
    server = Server(limits=ThrottleConfig(failures_per_login=1, failures_per_address=1))
    for header in ("p=tls-unique,,", "y,,", "n,a=x@y,"):
        mechanism = "SCRAM-SHA-256-PLUS" if header[0] == "p" else "SCRAM-SHA-256"
        await condition(
            server.begin(mechanism).step(Client(mechanism, "juliet", "pencil", header=header).first())
        )
    assert (await server.scram("juliet", "pencil")).jid == JULIET
