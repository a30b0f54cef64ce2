"""Only ``to`` decides where a stanza goes, and what can be done at once is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.routing.outbox import Outbox
from xmppd.routing.pipeline import Drop, Inbound, Pipeline
from xmppd.routing.router import Router, Waiting
from xmppd.sessions.account import Account, Trait
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Message, Presence, Stanza
from xmppd.storage.open import open_stores
from xmppd.xml.element import Element

DOMAIN, JULIET = Jid.parse("capulet.lit"), Jid.parse("juliet@capulet.lit/balcony")


class Handler:
    """Notes what it accepts; ``error`` is raised, ``slow`` work takes a while."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, Stanza]] = []
        self.error: StanzaError | None = None
        self.slow = False

    def accept(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        return self._note(f"account {account.jid}", stanza)

    def accept_stranger(self, stanza: Stanza, session: Session | None) -> Waiting:
        return self._note("stranger", stanza)

    def accept_server(self, stanza: Stanza, session: Session | None) -> Waiting:
        return self._note("server", stanza)

    def _note(self, what: str, stanza: Stanza) -> Waiting:
        if self.error is not None:
            raise self.error
        if self.slow:
            return self._later(what, stanza)
        self.accepted.append((what, stanza))
        return None

    async def _later(self, what: str, stanza: Stanza) -> None:
        await asyncio.sleep(0)
        self.accepted.append((what, stanza))


class Elsewhere:
    """A host; notes what it accepts."""

    def __init__(self) -> None:
        self.accepted: list[Stanza] = []

    def accept(self, stanza: Stanza, session: Session | None) -> Waiting:
        self.accepted.append(stanza)
        return None


class Routes:
    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.pipeline = Pipeline()
        self.router = Router([DOMAIN], accounts, self.pipeline)
        self.messages, self.presence, self.iqs = Handler(), Handler(), Handler()
        self.router.set_handlers(messages=self.messages, presence=self.presence, iqs=self.iqs)


@pytest_asyncio.fixture
async def routes() -> AsyncIterator[Routes]:
    stores = await open_stores("sqlite::memory:", Path("/nonexistent"))
    await stores.accounts.create([(JULIET.bare, {})], now=0.0)
    yield Routes(Accounts(stores.accounts, 10))
    await stores.close()


def message(to: str, type: str = "chat") -> Message:
    return Message(type=type, sender=Jid.parse("romeo@montague.lit/x"), to=Jid.parse(to), id="1")


async def test_each_kind_has_its_handler(routes: Routes) -> None:
    for kind in (Message, Presence, Iq):
        assert routes.router.route(kind(type="get", sender=JULIET, to=DOMAIN, id="1")) is None
    for handler in (routes.messages, routes.presence, routes.iqs):
        assert [what for what, _ in handler.accepted] == ["server"]


async def test_the_account_is_loaded_once_and_from_then_on_nothing_waits(routes: Routes) -> None:
    waiting = routes.router.route(message("juliet@capulet.lit/balcony"))
    assert waiting is not None
    await waiting
    assert routes.router.route(message("juliet@capulet.lit")) is None
    assert [what for what, _ in routes.messages.accepted] == ["account juliet@capulet.lit"] * 2
    assert [str(stanza.to) for _, stanza in routes.messages.accepted] == [
        "juliet@capulet.lit/balcony",
        "juliet@capulet.lit",
    ]


async def test_an_address_without_account_is_a_stranger(routes: Routes) -> None:
    waiting = routes.router.route(message("nobody@capulet.lit"))
    assert waiting is not None
    await waiting
    assert [what for what, _ in routes.messages.accepted] == ["stranger"]


async def test_what_the_recipient_drops_goes_no_further(routes: Routes) -> None:
    routes.pipeline.add(Inbound.BLOCK, Message, lambda stanza, account: Drop("blocked"), "test")
    for _ in range(2):
        if (waiting := routes.router.route(message("juliet@capulet.lit"))) is not None:
            await waiting
    assert routes.messages.accepted == []


async def test_hosts_answer_for_their_domains(routes: Routes) -> None:
    rooms, remote = Elsewhere(), Elsewhere()
    routes.router.add_host("rooms.capulet.lit", rooms)
    with pytest.raises(StanzaError) as raised:
        routes.router.route(message("a@verona.lit"))
    assert raised.value.condition == "remote-server-not-found"
    routes.router.set_remote(remote)
    for to in ("rooms.capulet.lit", "a@rooms.capulet.lit/b", "a@verona.lit", "deep.rooms.capulet.lit"):
        assert routes.router.route(message(to)) is None
    assert [str(stanza.to) for stanza in rooms.accepted] == ["rooms.capulet.lit", "a@rooms.capulet.lit/b"]
    assert [str(stanza.to) for stanza in remote.accepted] == ["a@verona.lit", "deep.rooms.capulet.lit"]
    assert routes.router.hosts == ("rooms.capulet.lit",)


@pytest.mark.parametrize("domain", ["capulet.lit", "rooms.capulet.lit"])
async def test_a_domain_has_one_owner(routes: Routes, domain: str) -> None:
    routes.router.add_host("rooms.capulet.lit", Elsewhere())
    with pytest.raises(RuntimeError, match="is taken"):
        routes.router.add_host(domain, Elsewhere())


async def test_what_the_server_sends_and_cannot_deliver_comes_back_to_whom_it_is_from(routes: Routes) -> None:
    remote = Elsewhere()
    routes.router.set_remote(remote)
    for slow in (False, True):
        routes.messages.slow = slow
        routes.messages.error = StanzaError("gone")
        await routes.router.send(message("juliet@capulet.lit"))
        (bounced,) = remote.accepted
        assert (bounced.type, str(bounced.sender), bounced.id) == ("error", "juliet@capulet.lit", "1")
        remote.accepted.clear()
    await routes.router.send(message("juliet@capulet.lit", type="error"))
    assert remote.accepted == [], "errors are not answered"


async def test_a_bounce_that_cannot_be_delivered_ends_there(routes: Routes) -> None:
    routes.messages.error = StanzaError("gone")
    await routes.router.send(message("juliet@capulet.lit"))


async def test_effects_are_carried_out_in_order(routes: Routes) -> None:
    routes.messages.slow = True
    done: list[str] = []
    account = Account(1, JULIET.bare)

    class Phone:
        jid = JULIET
        presence = None
        priority = 0
        traits = Trait.ROSTER

        def deliver(self, stanza: Stanza) -> None:
            done.append(f"push {stanza.id} to {stanza.to} from {stanza.sender}")

    account.resources["balcony"] = Phone()
    outbox = Outbox()
    outbox.call(lambda: done.append("first"))
    outbox.send(message("capulet.lit"))
    outbox.call(lambda: done.append(f"{len(routes.messages.accepted)} sent"))
    outbox.push(account, Element("x", "urn:x"), Trait.ROSTER)
    outbox.push(account, Element("x", "urn:x"), Trait.CARBONS)
    assert done == []
    await routes.router.carry_out(outbox, lambda: "new")
    assert done == ["first", "1 sent", f"push new to {JULIET} from {JULIET.bare}"]
