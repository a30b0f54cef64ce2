"""The same with aioxmpp, which is stricter about what it reads than most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioxmpp
import aioxmpp.connector
import aioxmpp.dispatcher
import aioxmpp.errors
import aioxmpp.ping
import aioxmpp.security_layer
import pytest
from aiosasl import AuthenticationFailure
from OpenSSL import SSL

from tests.support.process import DOMAIN, PASSWORD, ServerProcess

SECONDS = 10.0


class Verifier(aioxmpp.security_layer.CertificateVerifier):  # type: ignore[misc]  # aioxmpp has no types
    """Trusts what OpenSSL trusts. aioxmpp's own asks for what pyOpenSSL has not had for years."""

    def verify_callback(
        self, _connection: Any, _certificate: Any, _error: int, _depth: int, good: int
    ) -> bool:
        return bool(good)

    async def post_handshake(self, transport: Any) -> None:
        pass


@asynccontextmanager
async def person(
    server: ServerProcess, name: str, *, password: str = PASSWORD, direct_tls: bool = False
) -> AsyncIterator[aioxmpp.PresenceManagedClient]:
    """A client that is online."""

    def context() -> SSL.Context:
        made = SSL.Context(SSL.TLS_CLIENT_METHOD)
        made.load_verify_locations(str(server.certificate))
        return made

    connector = (
        aioxmpp.connector.XMPPOverTLSConnector() if direct_tls else aioxmpp.connector.STARTTLSConnector()
    )
    host, port = server.c2s_tls if direct_tls else server.c2s
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(f"{name}@{DOMAIN}"),
        aioxmpp.make_security_layer(password)._replace(
            ssl_context_factory=context, certificate_verifier_factory=Verifier
        ),
        override_peer=[(host, port, connector)],
    )
    for service in (aioxmpp.RosterClient, aioxmpp.PresenceClient, aioxmpp.dispatcher.SimpleMessageDispatcher):
        client.summon(service)
    async with client.connected():
        yield client


def queue_of(client: Any, service: Any, signal: str) -> asyncio.Queue[Any]:
    """What the signal comes with, as tuples."""
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def keep(*args: Any, **_: Any) -> None:
        queue.put_nowait(args)

    getattr(client.summon(service), signal).connect(keep)
    return queue


def messages_of(client: Any) -> asyncio.Queue[Any]:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher).register_callback(
        aioxmpp.MessageType.CHAT, None, queue.put_nowait
    )
    return queue


async def until(queue: asyncio.Queue[Any], wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    async with asyncio.timeout(SECONDS):
        while not wanted(got := await queue.get()):
            pass
    return got


@pytest.mark.parametrize("direct", [True, False], ids=["direct TLS", "STARTTLS"])
async def test_login(direct: bool, town: ServerProcess) -> None:
    async with person(town, "juliet", direct_tls=direct) as juliet:
        await aioxmpp.ping.ping(juliet, aioxmpp.JID.fromstr(DOMAIN))


async def test_a_wrong_password_is_refused(town: ServerProcess) -> None:
    with pytest.raises((AuthenticationFailure, aioxmpp.errors.MultiOSError)):
        async with person(town, "juliet", password="wrong"):
            pass


async def test_two_people_meet_talk_and_part(town: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        peter = await stack.enter_async_context(person(town, "peter"))
        asked = queue_of(peter, aioxmpp.RosterClient, "on_subscribe")
        heard = messages_of(peter)
        async with person(town, "laurence") as laurence:
            answers = messages_of(laurence)
            subscribed = queue_of(laurence, aioxmpp.RosterClient, "on_subscribed")
            seen = queue_of(laurence, aioxmpp.PresenceClient, "on_available")
            roster = laurence.summon(aioxmpp.RosterClient)
            peer = peter.local_jid.bare()
            added = queue_of(laurence, aioxmpp.RosterClient, "on_entry_added")
            await roster.set_entry(peer, name="Peter", add_to_groups={"Servants"})
            (entry,) = await until(added)
            assert (entry.jid, entry.name, entry.groups) == (peer, "Peter", {"Servants"})
            roster.subscribe(peer)
            (request,) = await until(asked)
            assert request.from_ == laurence.local_jid.bare()
            peter.summon(aioxmpp.RosterClient).approve(request.from_)
            await until(subscribed)
            full, _ = await until(seen, lambda got: got[0].bare() == peer)
            assert full == peter.local_jid

            message = aioxmpp.Message(to=peer, type_=aioxmpp.MessageType.CHAT)
            message.body[None] = "Wisely and slow; they stumble that run fast."
            await laurence.send(message)
            got = await until(heard)
            assert got.body.any() == "Wisely and slow; they stumble that run fast."
            assert got.from_ == laurence.local_jid
            reply = aioxmpp.Message(to=got.from_, type_=aioxmpp.MessageType.CHAT)
            reply.body[None] = "Musicians, O, musicians!"
            await peter.send(reply)
            assert (await until(answers)).body.any() == "Musicians, O, musicians!"

            gone = queue_of(laurence, aioxmpp.PresenceClient, "on_unavailable")
            peter.presence = aioxmpp.PresenceState(False)
            await until(gone, lambda got: got[0].bare() == peer)
            removed = queue_of(laurence, aioxmpp.RosterClient, "on_entry_removed")
            await roster.remove_entry(peer)
            await until(removed)
