"""What one node does about the news of others, late, early or twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from xmppd.cluster.interfaces import Changed, Deliver, Displace, End, Gone, Kept, ResourceEntry
from xmppd.cluster.local import LocalBus, LocalRegistry
from xmppd.errors import StreamError
from xmppd.ids import RandomIds
from xmppd.jid import Jid
from xmppd.sessions.account import Account, Trait
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import (
    BecameAvailable,
    BecameUnavailable,
    Facts,
    KeptElsewhere,
    PriorityRaised,
    ReachableElsewhere,
    SessionBound,
    SessionGone,
)
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Presence
from xmppd.storage.open import open_stores
from xmppd.tasks import Tasks
from xmppd.xml.element import text_element

JULIET = Jid.parse("juliet@capulet.lit")
BALCONY = JULIET.with_resource("balcony")


class Wire:
    """A connection; the session lives on until the test ends it, as one does that is still handling something."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.errors: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> bool:
        return True

    def fail(self, error: StreamError) -> None:
        self.errors.append(error.condition)

    def release(self, error: StreamError) -> None:
        self.errors.append(error.condition)


@dataclass
class Node:
    """A directory with what it needs, and the facts that it tells."""

    accounts: Accounts
    directory: Directory
    bus: LocalBus
    registry: LocalRegistry
    tasks: Tasks
    facts: list[object] = field(default_factory=list)
    gate: asyncio.Event | None = None  # while it is there, loading an account stops behind its resources
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def session(self, jid: Jid = BALCONY) -> tuple[Session, Wire]:
        account = await self.account()
        wire = Wire()
        session = Session(account, jid, wire, lambda session, element: None, self.tasks)
        await self.directory.bind(session)
        return session, wire

    async def account(self) -> Account:
        account = await self.accounts.get(JULIET)
        assert account is not None
        return account

    async def hear(self, *envelopes: Changed | Deliver | Displace | End | Gone | Kept) -> None:
        for envelope in envelopes:
            self.bus.send("here", envelope)
        for _ in range(5):
            await asyncio.sleep(0)

    def connection(self, session: Session) -> str:
        return self.registry._entries[JULIET][session.jid].connection


@pytest_asyncio.fixture
async def node() -> AsyncIterator[Node]:
    stores = await open_stores("sqlite::memory:", Path("/nonexistent"))
    await stores.accounts.create([(JULIET, {})], now=0.0)
    bus, facts, tasks = LocalBus(), Facts(), Tasks()
    registry = LocalRegistry(bus)
    accounts = Accounts(stores.accounts, 10)
    directory = Directory("here", accounts, registry, bus, facts, RandomIds(), tasks, resources_per_account=0)
    node = Node(accounts, directory, bus, registry, tasks)

    async def stop(account: Account) -> None:
        if node.gate is not None:
            node.stopped.set()
            await node.gate.wait()

    accounts.add_loader(stop)
    for kind in (
        SessionBound, SessionGone, BecameAvailable, BecameUnavailable, PriorityRaised,
        KeptElsewhere, ReachableElsewhere,
    ):  # fmt: skip
        facts.on(kind, node.facts.append)
    yield node
    await tasks.aclose()
    await stores.close()
    assert tasks.failures == facts.failures == 0


def presence(priority: int = 0, jid: Jid = BALCONY) -> Presence:
    return Presence(
        type="", sender=jid, to=None, children=[text_element("priority", "jabber:client", str(priority))]
    )


def elsewhere(
    connection: str = "there1", *, priority: int | None = None, traits: Trait = Trait.NONE
) -> ResourceEntry:
    """Juliet's balcony on another node; available if it has a priority."""
    shown = None if priority is None else presence(priority)
    return ResourceEntry(BALCONY, "there", connection, shown, priority or 0, traits.value)


async def test_news_of_a_resource_elsewhere(node: Node) -> None:
    account = await node.account()
    await node.hear(Changed(elsewhere(priority=5, traits=Trait.CARBONS)))
    (resource,) = account.resources.values()
    assert resource.jid == BALCONY
    assert resource.priority == 5
    assert resource.traits is Trait.CARBONS
    assert account.reachable() == account.available() == account.with_trait(Trait.CARBONS) == [resource]
    await node.hear(Changed(elsewhere()))
    assert account.available() == []
    await node.hear(Gone(elsewhere("an older one")))
    assert len(account.resources) == 1
    await node.hear(Gone(elsewhere()), Gone(elsewhere()))
    assert account.resources == {}


async def test_what_is_given_to_a_resource_elsewhere_goes_there(node: Node) -> None:
    heard: list[object] = []
    node.bus.join("there", heard.append)
    account = await node.account()
    await node.hear(Changed(elsewhere()))
    message = Message(type="chat", sender=JULIET, to=BALCONY)
    account.resources["balcony"].deliver(message)
    await node.hear()
    assert heard == [Deliver(BALCONY, message)]


async def test_late_news_do_not_take_the_name_from_a_session_here(node: Node) -> None:
    session, wire = await node.session()
    await node.hear(Changed(elsewhere(priority=1)), Gone(elsewhere()))
    assert session.account.resources == {"balcony": session}
    assert wire.errors == []


async def test_a_session_that_lost_its_name_elsewhere_ends_and_the_newer_one_is_known(node: Node) -> None:
    session, wire = await node.session()
    account = session.account
    node.accounts.pin(account)  # another session keeps it in memory
    await node.hear(Displace(BALCONY, node.connection(session)), Changed(elsewhere()))
    assert wire.errors == ["conflict"]
    assert session.over, "at once, whatever it is still handling"
    assert [resource.jid for resource in account.resources.values()] == [BALCONY]
    assert account.resources["balcony"] is not session
    node.accounts.unpin(account)


async def test_a_session_that_is_newer_than_the_news_stays(node: Node) -> None:
    session, wire = await node.session()
    await node.hear(Displace(BALCONY, "an older one"), End(BALCONY, "an older one", "reset", ""))
    assert wire.errors == []
    assert not session.over
    await node.hear(End(BALCONY, node.connection(session), "reset", "new password"))
    assert wire.errors == ["reset"]


async def test_news_of_nobody_here_do_not_matter(node: Node) -> None:
    message = Message(type="chat", sender=JULIET, to=BALCONY)
    await node.hear(
        Displace(BALCONY, "1"), End(BALCONY, "1", "reset", ""), Gone(elsewhere()), Changed(elsewhere()), Kept(JULIET),
        Deliver(BALCONY, message),
    )  # fmt: skip
    assert node.facts == []
    assert node.accounts.peek(JULIET) is None


@pytest.mark.parametrize("gone", [False, True])
async def test_news_of_an_account_that_is_being_loaded_are_not_missed(node: Node, gone: bool) -> None:
    await node.registry.bind(elsewhere())
    node.gate = asyncio.Event()
    loading = asyncio.get_running_loop().create_task(node.account())
    await node.stopped.wait()
    if gone:
        node.registry.unbind(elsewhere())
    else:
        node.registry.update(elsewhere(priority=7))
    await node.hear()
    node.gate.set()
    account = await loading
    assert [resource.priority for resource in account.resources.values()] == ([] if gone else [7])
    assert node.registry._interested == {JULIET: {"here"}}


async def test_who_becomes_reachable_elsewhere_is_told_once(node: Node) -> None:
    account = await node.account()
    await node.hear(
        Changed(elsewhere()), Changed(elsewhere(priority=-1)),
        Changed(elsewhere(priority=0)), Changed(elsewhere(priority=5)),
    )  # fmt: skip
    assert node.facts == [ReachableElsewhere(account)]
    await node.hear(Changed(elsewhere(priority=-1)), Changed(elsewhere(priority=1)))
    assert node.facts == [ReachableElsewhere(account)] * 2


async def test_presence_and_what_it_means(node: Node) -> None:
    session, _ = await node.session()
    directory = node.directory
    node.facts.clear()
    for priority in (-1, -5, 0, 5, -1, 3):
        directory.set_presence(session, presence(priority))
    directory.set_presence(session, None)
    directory.set_presence(session, None)
    raised = PriorityRaised(session)
    assert node.facts == [BecameAvailable(session), raised, raised, BecameUnavailable(session)]


async def test_what_is_over_can_only_become_unavailable(node: Node) -> None:
    session, _ = await node.session()
    node.directory.set_presence(session, presence())
    node.directory.end(session)
    node.directory.end(session)
    node.facts.clear()
    node.directory.set_presence(session, None)
    assert node.facts == [BecameUnavailable(session)]
    node.directory.set_presence(session, presence())
    node.directory.add_trait(session, Trait.CARBONS)
    assert session.presence is None
    assert node.facts == [BecameUnavailable(session)]
    assert node.registry._entries == {}


async def test_only_who_is_bound_is_said_to_be(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Displaced while the registry was asked."""
    bind, gate, both = node.registry.bind, asyncio.Event(), asyncio.Event()
    asked: list[ResourceEntry] = []

    async def slow(entry: ResourceEntry) -> None:
        asked.append(entry)
        if len(asked) == 2:
            both.set()
        await gate.wait()
        await bind(entry)

    monkeypatch.setattr(node.registry, "bind", slow)
    binding = [asyncio.get_running_loop().create_task(node.session()) for _ in range(2)]
    await both.wait()
    gate.set()
    (old, _), (new, _) = await asyncio.gather(*binding)
    assert node.facts == [SessionGone(old), SessionBound(new)]


async def test_traits_are_told_to_others_when_they_change(node: Node) -> None:
    heard: list[object] = []
    node.bus.join("there", heard.append)
    await node.registry.load(JULIET, "there")
    session, _ = await node.session()
    directory = node.directory
    for change in (directory.add_trait, directory.add_trait, directory.drop_trait, directory.drop_trait):
        change(session, Trait.ROSTER)
    await node.hear()
    traits = [envelope.entry.traits for envelope in heard if isinstance(envelope, Changed)]
    assert traits == [0, Trait.ROSTER.value, 0]


async def test_a_node_that_is_no_more_hears_nothing(node: Node) -> None:
    session, wire = await node.session()
    node.directory.close()
    await node.hear(Deliver(BALCONY, Message(type="chat", sender=JULIET, to=BALCONY)))
    assert wire.written == []
    assert not session.over
