"""Sessions and their names: conflicts, limits, the order of the end, and nothing left behind."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.conversations.contacts import JULIET, ROMEO, sees
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.cluster.interfaces import ResourceEntry
from xmppd.errors import StanzaError, StreamError
from xmppd.jid import Jid
from xmppd.sessions.session import Session
from xmppd.storage.interfaces import Roster


async def nothing_is_left(server: Harness) -> None:
    """After everybody left: no session, no pinned account, no registered resource, no work, no timer."""
    await server.advance(10)  # when they were last seen is written behind
    assert server.clock.pending == 0
    for node in server.nodes:
        assert len(node.core.directory) == 0
        assert node.core.accounts.live() == []
        assert node.core.tasks.running == ()
    assert {jid for jid in server.registry.known if server.registry._entries.get(jid)} == set()
    interested = set(server.registry._interested)
    in_memory = {
        jid for jid in interested for node in server.nodes if node.core.accounts.peek(jid) is not None
    }
    assert interested == in_memory, "nodes hear only of accounts that they have in memory"


# ---- conflicts (RFC 6120#7.7.2.2): the newest wins


async def test_the_newest_connection_has_the_resource(server: Harness) -> None:
    await sees(server, ROMEO, JULIET)
    romeo = await server.client(f"{ROMEO}/garden", available=True)
    old = await server.client(f"{JULIET}/balcony", available=True)
    romeo.received.clear()
    new = await server.client(f"{JULIET}/balcony")
    await server.settle()
    assert old.error is not None
    assert old.error.condition == "conflict"
    assert new.error is None
    romeo.expect(f"<presence type='unavailable' from='{JULIET}/balcony' to='{ROMEO}'/>")
    await romeo.send(f"<message to='{JULIET}/balcony'><body>1</body></message>")
    assert [each.name for each in new.received] == ["message"]
    assert not [each for each in old.received if each.name == "message"]
    await new.send("<presence/>")
    romeo.expect(f"<presence from='{JULIET}/balcony' to='{ROMEO}'/>")
    await old.close()
    assert server.node.core.directory.sessions == [romeo.session, new.session]
    await new.close()
    await romeo.close()
    await nothing_is_left(server)


async def test_what_the_older_one_sent_before_still_counts_but_it_is_not_there_any_more() -> None:
    """It was cut off while a message of it was on its way into the storage; behind that it had sent presence."""
    store = HeldBack()
    async with Harness("capulet.lit", "montague.lit", wrap=store.wrap) as server:
        await sees(server, ROMEO, JULIET)
        nurse = await server.client("nurse@capulet.lit/kitchen")
        romeo = await server.client(f"{ROMEO}/garden", available=True)
        await server.account("paris@capulet.lit")
        romeo.received.clear()
        old = await server.client(f"{JULIET}/balcony")
        store.hold("append")
        old.send_nowait(
            "<message to='paris@capulet.lit'><body>1</body></message>"
            f"<message to='{nurse.jid}'><body>2</body></message><presence/>"
            f"<presence to='{nurse.jid}'/><message to='{nurse.jid}'><body>3</body></message>"
        )
        await server.pass_by()
        new = await server.client(f"{JULIET}/balcony")
        new.send_nowait("<presence><status>new</status></presence>")
        await server.pass_by()
        store.let_go()
        await server.settle()
        assert [each.name for each in nurse.received] == ["message", "message"]
        romeo.expect(f"<presence from='{JULIET}/balcony' to='{ROMEO}'><status>new</status></presence>")
        romeo.expect_nothing()
        account = new.session.account
        assert list(account.resources.values()) == [new.session]
        assert new.session.presence is not None
        for client in (new, romeo, nurse):
            await client.close()
        await nothing_is_left(server)


async def test_an_older_one_whose_presence_waits_for_its_roster_does_not_come_back(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sees(server, ROMEO, JULIET)
    romeo = await server.client(f"{ROMEO}/garden", available=True)
    rosters, gate = server.stores.rosters, asyncio.Event()
    load = rosters.load

    async def slow(owner: int) -> Roster:
        await gate.wait()
        return await load(owner)

    monkeypatch.setattr(rosters, "load", slow)
    old = await server.client(f"{JULIET}/balcony")
    romeo.received.clear()
    old.send_nowait("<presence/>")
    await server.pass_by()
    new = await server.client(f"{JULIET}/balcony")
    gate.set()
    await server.settle()
    romeo.expect_nothing()
    assert old.session.presence is None
    assert new.session.presence is None


async def test_the_older_one_may_end_in_any_order(server: Harness) -> None:
    clients = [await server.client(f"{JULIET}/balcony") for _ in range(5)]
    for client in clients[:-1]:
        assert client.error is not None
        await client.close()
    account = server.node.core.accounts.peek(Jid.parse(JULIET))
    assert account is not None
    assert list(account.resources.values()) == [clients[-1].session]
    await clients[-1].close()
    await nothing_is_left(server)


# ---- limits (RFC 6120#7.6.2)


async def test_an_account_has_so_many_resources_at_a_time() -> None:
    async with Harness("capulet.lit", toml="[limits]\nresources_per_account = 2") as server:
        one = await server.client(f"{JULIET}/1")
        await server.client(f"{JULIET}/2")
        with pytest.raises(StanzaError) as refused:
            await server.client(f"{JULIET}/3")
        assert refused.value.condition == "resource-constraint"
        again = await server.client(f"{JULIET}/1")  # takes the place of the older one
        assert one.error is not None
        await again.close()
        await server.client(f"{JULIET}/3")
        await server.client("nurse@capulet.lit/3")


async def test_without_limit_there_may_be_any_number() -> None:
    async with Harness("capulet.lit", toml="[limits]\nresources_per_account = 0") as server:
        for number in range(120):
            await server.client(f"{JULIET}/{number}")
        assert len(server.node.core.directory) == 120


async def test_a_resource_that_is_none_is_refused_and_one_that_is_not_named_is_made(server: Harness) -> None:
    directory = server.node.core.directory
    await server.account(JULIET)
    account = await server.node.core.accounts.get(Jid.parse(JULIET))
    assert account is not None
    for name in ("", "\u0001", "x" * 1_024):
        with pytest.raises(StanzaError) as refused:
            directory.choose(account, name)
        assert refused.value.condition == "bad-request"
    made = {directory.choose(account, None) for _ in range(10)}
    assert len(made) == 10
    assert all(jid.bare == account.jid for jid in made)


# ---- the end


async def test_presence_ends_after_what_was_sent_before() -> None:
    store = HeldBack()
    async with Harness("capulet.lit", "montague.lit", wrap=store.wrap) as server:
        await sees(server, ROMEO, JULIET)
        await server.account("paris@capulet.lit")
        romeo = await server.client(f"{ROMEO}/garden", available=True)
        juliet = await server.client(f"{JULIET}/balcony", available=True)
        romeo.received.clear()
        store.hold("append.done")
        juliet.send_nowait(
            "<message to='paris@capulet.lit'><body>1</body></message>"
            f"<message to='{romeo.jid}'><body>2</body></message>"
            "<presence><show>away</show></presence>"
        )
        juliet.cut()
        await server.pass_by()
        romeo.expect_nothing()
        store.let_go()
        await server.settle()
        romeo.expect(
            f"<message from='{juliet.jid}' to='{romeo.jid}'><body>2</body></message>",
            f"<presence from='{juliet.jid}' to='{ROMEO}'><show>away</show></presence>",
            f"<presence type='unavailable' from='{juliet.jid}' to='{ROMEO}'/>",
        )
        romeo.expect_nothing()
        await romeo.close()
        await nothing_is_left(server)


async def test_reading_is_paused_while_too_much_waits() -> None:
    store = HeldBack()
    async with Harness("capulet.lit", wrap=store.wrap) as server:
        await server.account("paris@capulet.lit")
        juliet = await server.client(f"{JULIET}/balcony")
        nurse = await server.client("nurse@capulet.lit/kitchen")
        await juliet.send(
            "<message to='paris@capulet.lit' type='headline'/>"
        )  # so that the account is in memory
        store.hold("append")
        juliet.send_nowait("<message to='paris@capulet.lit'><body>0</body></message>")
        juliet.send_nowait("".join(f"<message to='{nurse.jid}' id='{number}'/>" for number in range(150)))
        await server.pass_by()
        assert juliet.reading == "not asked to pause", "they are on their way behind what is stored"
        juliet.send_nowait(
            "".join(f"<message to='{nurse.jid}' id='{number}'/>" for number in range(150, 170))
        )
        await server.pass_by()
        assert juliet.reading == "paused"
        nurse.expect_nothing()
        store.let_go()
        await server.settle()
        assert juliet.reading == "going on"
        assert [each.get("id") for each in nurse.received] == [str(number) for number in range(170)]


# ---- kicking


async def test_sessions_are_kicked_but_for_one(server: Harness) -> None:
    clients = [await server.client(f"{JULIET}/{name}") for name in ("a", "b", "c")]
    other = await server.client(f"{ROMEO}/garden")
    directory = server.node.core.directory
    kicked = directory.kick(Jid.parse(JULIET), StreamError("reset", "go"), spare=clients[1].session)
    await server.settle()
    assert kicked == 2
    assert [client.error is None for client in (*clients, other)] == [False, True, False, True]
    assert directory.kick(Jid.parse("nobody@capulet.lit"), StreamError("reset")) == 0


# ---- a registry that takes its time


async def test_a_session_that_is_displaced_while_it_is_being_bound(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a registry over a network, binding takes a moment."""
    gate = asyncio.Event()
    bind = server.registry.bind

    async def slow(entry: ResourceEntry) -> None:
        await gate.wait()
        await bind(entry)

    monkeypatch.setattr(server.registry, "bind", slow)
    await server.account(JULIET)
    loop = asyncio.get_running_loop()
    first, second = [Client(server, server.node, Jid.parse(f"{JULIET}/balcony")) for _ in range(2)]
    binding = [loop.create_task(client.bind()) for client in (first, second)]
    await server.pass_by()
    gate.set()
    await asyncio.gather(*binding)
    assert first.error is not None
    assert first.session.over
    assert server.node.core.directory.sessions == [second.session]
    await second.close()
    await nothing_is_left(server)


async def test_a_registry_that_fails_leaves_nothing_behind(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(entry: ResourceEntry) -> None:
        raise ConnectionError("the registry is gone")

    with monkeypatch.context() as patch:
        patch.setattr(server.registry, "bind", fail)
        with pytest.raises(ConnectionError):
            await server.client(f"{JULIET}/balcony")
        await nothing_is_left(server)
    await server.client(f"{JULIET}/balcony")


# ---- everything at once


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("seed", range(15))
async def test_whatever_comes_and_goes_nothing_is_left(nodes: int, seed: int) -> None:
    rng = random.Random(seed)
    names = [f"{JULIET}/a", f"{JULIET}/b", f"{ROMEO}/a", f"{ROMEO}/b", "nurse@capulet.lit/a"]
    async with Harness(
        "capulet.lit", "montague.lit", nodes=nodes, toml="[limits]\ncached_accounts = 16"
    ) as server:
        await sees(server, ROMEO, JULIET)
        for name in names:
            await server.account(name)
        clients: list[Client] = []

        async def come(name: str, node: int) -> None:
            client = await server.client(name, node=node)
            clients.append(client)

        for _ in range(60):
            loop = asyncio.get_running_loop()
            match rng.randrange(6):
                case 0 | 1:
                    coming = [
                        loop.create_task(come(rng.choice(names), rng.randrange(nodes)))
                        for _ in range(rng.choice((1, 2, 4)))
                    ]
                    await asyncio.gather(*coming)
                case 2 if clients:
                    clients.pop(rng.randrange(len(clients))).cut()
                case 3 if clients:
                    rng.choice(clients).send_nowait(
                        rng.choice(
                            (
                                "<presence/>",
                                "<presence type='unavailable'/>",
                                f"<message to='{JULIET}'><body/></message>",
                            )
                        )
                    )
                case 4:
                    rng.choice(server.nodes).core.accounts.forget(Jid.parse(rng.choice(names)).bare)
                case _:
                    for _ in range(rng.randrange(30)):
                        await asyncio.sleep(0)
            for node in server.nodes:
                sessions = node.core.directory.sessions
                assert all(_is_known(server, session) for session in sessions if not session.over)
        await server.settle()
        await server.settle()
        assert sum(len(node.core.directory) for node in server.nodes) == sum(
            client.error is None for client in clients
        )
        for node in server.nodes:
            for account in node.core.accounts.live():
                assert account.resources.keys() == {
                    entry.jid.resource for entry in server.registry._entries[account.jid].values()
                }
        for client in clients:
            await client.close()
        await server.settle()
        await nothing_is_left(server)


def _is_known(server: Harness, session: Session) -> bool:
    """Whether its account is the one that everybody finds."""
    return any(node.core.accounts.peek(session.account.jid) is session.account for node in server.nodes)
