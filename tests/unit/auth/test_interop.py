"""Other people's clients against our server, in process: slixmpp's and aioxmpp's (aiosasl) own SASL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import aiosasl
import pytest
from slixmpp.util.sasl import client as slixmpp_sasl

from tests.unit.auth.parts import BINDING, BOUND_TLS, DOMAIN, Server
from xmppd.auth.sasl import MECHANISMS, Challenge, Security, Success
from xmppd.auth.scram import make_credentials
from xmppd.errors import SaslError
from xmppd.jid import Jid

PASSWORDS = ["pencil", "p\u00e4ss\u00adw\u00f6rt \u2168", "a\u0308,=\u00a0", "\u0646\u0647\u0631"]
UNIQUE = Security(tls=True, channel_bindings={"tls-unique": BINDING})
EXPORTER = Security(tls=True, channel_bindings={"tls-exporter": BINDING})


ROMEO = Jid("romeo", DOMAIN)


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Start a server that offers ``mechanisms`` and where romeo has ``password``."""
    servers = []

    def start(password: str, *mechanisms: str) -> Server:
        server = Server(mechanisms=mechanisms or MECHANISMS)
        server.accounts.keys[ROMEO] = make_credentials(password, 8)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.passwords.close()


Start = Callable[..., Server]


class Slixmpp:
    """slixmpp's choice among what ``server`` offers, and its half of the exchange."""

    def __init__(self, server: Server, security: Security, password: str, tls: str = "TLSv1.2") -> None:
        self._server, self._security = server, security
        offered = set(server.auth.mechanisms(security))
        credentials = {"username": "romeo", "password": password, "channel_binding": BINDING}
        self.mechanism = slixmpp_sasl.choose(
            offered,
            lambda required, optional: {
                key: value for key, value in credentials.items() if key in required | optional
            },
            lambda wanted: {
                "encrypted": True,
                "encrypted_plain": True,
                "unencrypted_plain": False,
                "unencrypted_scram": False,
                "tls_version": tls,
                "binding_proposed": any(name.endswith("-PLUS") for name in offered),
            },
        )

    async def login(self) -> Success:
        exchange = self._server.begin(self.mechanism.name, self._security)
        answer = await exchange.step(self.mechanism.process())
        while isinstance(answer, Challenge):
            answer = await exchange.step(self.mechanism.process(answer.data))
        if answer.data is not None:
            self.mechanism.process(answer.data)  # raises where our signature is wrong
        return answer


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("security", "tls"), [(UNIQUE, "TLSv1.2"), (EXPORTER, "TLSv1.3")])
async def test_slixmpp_logs_in(
    start: Start, password: str, mechanism: str, security: Security, tls: str
) -> None:
    end = await Slixmpp(start(password, mechanism), security, password, tls).login()
    assert (end.jid, end.mechanism) == (ROMEO, mechanism)


async def test_slixmpp_chooses_the_strongest_of_what_we_offer(start: Start) -> None:
    end = await Slixmpp(start("pencil"), UNIQUE, "pencil").login()
    assert end.mechanism == "SCRAM-SHA-512-PLUS"


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_slixmpp_with_another_password_is_refused(start: Start, mechanism: str) -> None:
    with pytest.raises(SaslError, match="not-authorized"):
        await Slixmpp(start("pencil", mechanism), UNIQUE, "pen").login()


class Wire(aiosasl.SASLInterface):  # type: ignore[misc]  # aiosasl has no types
    """What aiosasl takes for a connection: it ends in our ``Exchange``."""

    def __init__(self, server: Server, security: Security) -> None:
        self._server, self._security = server, security
        self.end: Success | None = None

    async def initiate(self, mechanism: str, payload: bytes | None = None) -> tuple[Any, bytes | None]:
        self._exchange = self._server.begin(mechanism, self._security)
        return await self.respond(payload)

    async def respond(self, payload: bytes | None) -> tuple[Any, bytes | None]:
        try:
            answer = await self._exchange.step(payload)
        except SaslError as err:
            raise aiosasl.AuthenticationFailure(err.condition) from err
        if isinstance(answer, Success):
            self.end = answer
            return aiosasl.SASLState.SUCCESS, answer.data
        return aiosasl.SASLState.CHALLENGE, answer.data

    async def abort(self) -> None:
        raise aiosasl.SASLFailure("aborted")


class ServerEndPoint(aiosasl.channel_binding.ChannelBindingProvider):  # type: ignore[misc]  # aiosasl has no types
    cb_name = b"tls-server-end-point"

    def extract_cb_data(self) -> bytes:
        return BINDING


AIOSASL = [name for name in MECHANISMS if "SHA-512" not in name]  # which it does not know


async def aiosasl_logs_in(server: Server, mechanism: str, password: str) -> Success | None:
    async def credentials() -> tuple[str, str]:
        return "romeo", password

    few = {"enforce_minimum_iteration_count": False}  # ours are for tests
    if mechanism == "PLAIN":
        client = aiosasl.PLAIN(credentials)
    elif mechanism.endswith("-PLUS"):
        client = aiosasl.SCRAMPLUS(credentials, ServerEndPoint(), **few)
    else:
        client = aiosasl.SCRAM(credentials, **few)
    token = client.any_supported([mechanism])
    assert token is not None
    wire = Wire(server, BOUND_TLS)
    await client.authenticate(aiosasl.SASLStateMachine(wire), token)
    return wire.end


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("mechanism", AIOSASL)
async def test_aiosasl_logs_in(start: Start, password: str, mechanism: str) -> None:
    end = await aiosasl_logs_in(start(password), mechanism, password)
    assert end is not None
    assert (end.jid, end.mechanism) == (ROMEO, mechanism)


@pytest.mark.parametrize("mechanism", AIOSASL)
async def test_aiosasl_with_another_password_is_refused(start: Start, mechanism: str) -> None:
    with pytest.raises(aiosasl.AuthenticationFailure, match="not-authorized"):
        await aiosasl_logs_in(start("pencil"), mechanism, "pen")
