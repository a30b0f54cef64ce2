"""What every registry keeps: the newest session has the name, and who loaded an account hears of every change."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.cluster.parts import Cluster
from xmppd.cluster.interfaces import Changed, Displace, Forget, Gone, ResourceEntry
from xmppd.jid import Jid
from xmppd.stanza import Presence

ROMEO = Jid.parse("romeo@montague.lit")
JULIET = Jid.parse("juliet@capulet.lit")


def entry(
    resource: str = "garden",
    node: str = "a",
    connection: str = "1",
    *,
    priority: int = 0,
    traits: int = 0,
    available: bool = False,
    account: Jid = ROMEO,
) -> ResourceEntry:
    jid = account.with_resource(resource)
    presence = Presence(type="", sender=jid, to=None) if available else None
    return ResourceEntry(jid, node, connection, presence, priority, traits)


async def test_what_is_bound_is_loaded(cluster: Cluster) -> None:
    registry = cluster.registry
    assert await registry.load(ROMEO, "a") == ()
    garden, home = entry(), entry("home", "b", "2", priority=-5, traits=3)
    await registry.bind(garden)
    await registry.bind(home)
    await registry.bind(entry("balcony", account=JULIET))
    assert sorted(await registry.load(ROMEO, "c"), key=lambda each: each.jid) == [garden, home]


async def test_all_of_a_presence_is_kept(cluster: Cluster) -> None:
    registry = cluster.registry
    await registry.bind(entry())
    registry.update(entry(available=True, priority=7, traits=5))
    (loaded,) = await registry.load(ROMEO, "b")
    assert (loaded.priority, loaded.traits, loaded.node, loaded.connection) == (7, 5, "a", "1")
    assert loaded.presence is not None
    assert loaded.presence.wire() == b"<presence from='romeo@montague.lit/garden'/>"


async def test_who_loaded_the_account_hears_of_changes_in_order_and_nobody_else_does(
    cluster: Cluster,
) -> None:
    registry = cluster.registry
    await registry.load(ROMEO, "a")
    await registry.load(ROMEO, "b")
    await registry.load(JULIET, "c")
    bound, available, gone = entry(), entry(priority=3), entry(priority=4)
    await registry.bind(bound)
    registry.update(available)
    registry.update(gone)
    registry.unbind(gone)
    assert await cluster.take("b") == [Changed(bound), Changed(available), Changed(gone), Gone(gone)]
    assert await cluster.take("a") == [], "it made the changes itself"
    assert await cluster.take("c") == []
    assert await registry.load(ROMEO, "c") == ()


async def test_who_released_the_account_hears_nothing_more(cluster: Cluster) -> None:
    registry = cluster.registry
    await registry.load(ROMEO, "b")
    await registry.load(ROMEO, "b")
    registry.release(ROMEO, "b")
    registry.release(ROMEO, "b")
    registry.release(JULIET, "b")
    await registry.bind(entry())
    assert await cluster.take("b") == []
    await registry.load(ROMEO, "b")
    registry.update(entry(priority=1))
    assert await cluster.take("b") == [Changed(entry(priority=1))]


async def test_the_newest_session_has_the_name_and_the_older_one_is_told(cluster: Cluster) -> None:
    registry = cluster.registry
    for node in "abc":
        await registry.load(ROMEO, node)
    old, new = entry(connection="1"), entry(node="b", connection="2")
    await registry.bind(old)
    await cluster.settle()
    for node in "abc":
        cluster.heard[node].clear()
    await registry.bind(new)
    assert await cluster.take("a") == [Displace(old.jid, "1"), Changed(new)]
    assert await cluster.take("b") == []
    assert await cluster.take("c") == [Changed(new)]
    assert await registry.load(ROMEO, "c") == (new,)


async def test_the_older_one_is_told_even_where_the_account_is_not_in_memory(cluster: Cluster) -> None:
    await cluster.registry.bind(entry(connection="1"))
    await cluster.registry.bind(entry(node="b", connection="2"))
    assert Displace(entry().jid, "1") in await cluster.take("a")


async def test_on_one_node_the_node_itself_ends_the_older_one(cluster: Cluster) -> None:
    await cluster.registry.load(ROMEO, "a")
    await cluster.registry.bind(entry(connection="1"))
    await cluster.registry.bind(entry(connection="2"))
    assert await cluster.take("a") == []
    assert await cluster.registry.load(ROMEO, "c") == (entry(connection="2"),)


@pytest.mark.parametrize("node", ["a", "b"])
async def test_a_session_that_lost_its_name_changes_nothing_any_more(cluster: Cluster, node: str) -> None:
    registry = cluster.registry
    await registry.load(ROMEO, "c")
    old, new = entry(connection="1"), entry(node=node, connection="2")
    await registry.bind(old)
    await registry.bind(new)
    await cluster.take("c")
    registry.update(entry(connection="1", priority=9))
    registry.unbind(old)
    assert await cluster.take("c") == []
    assert await registry.load(ROMEO, "b") == (new,)


async def test_what_is_not_bound_can_be_neither_updated_nor_unbound(cluster: Cluster) -> None:
    registry = cluster.registry
    await registry.load(ROMEO, "c")
    registry.update(entry())
    registry.unbind(entry())
    assert await cluster.take("c") == []
    assert await registry.load(ROMEO, "b") == ()


async def test_everybody_but_one_can_be_told_something_about_an_account(cluster: Cluster) -> None:
    registry = cluster.registry
    await registry.load(ROMEO, "a")
    await registry.load(ROMEO, "b")
    registry.tell(ROMEO, Forget(ROMEO), but="a")
    registry.tell(JULIET, Forget(JULIET), but="a")
    assert await cluster.take("b") == [Forget(ROMEO)]
    assert await cluster.take("a") == await cluster.take("c") == []


async def test_of_those_who_bind_at_once_one_is_left_and_all_others_are_told(cluster: Cluster) -> None:
    registry = cluster.registry
    before: set[str] = set()
    for number in range(20):
        entries = [entry(node=node, connection=f"{number}{node}") for node in "abc"]
        await asyncio.gather(*(registry.bind(each) for each in entries))
        (winner,) = await registry.load(ROMEO, "a")
        told = {
            (node, envelope.connection)
            for node in "abc"
            for envelope in await cluster.take(node)
            if isinstance(envelope, Displace)
        }
        losers = {(each.node, each.connection) for each in entries if each != winner}
        assert losers <= told
        assert (winner.node, winner.connection) not in told
        assert {connection for _, connection in told - losers} <= before
        before = {winner.connection}


async def test_nothing_is_left_of_who_left(cluster: Cluster) -> None:
    registry = cluster.registry
    for node in "abc":
        await registry.load(ROMEO, node)
        await registry.bind(entry(node, node, node))
    for node in "abc":
        registry.unbind(entry(node, node, node))
        registry.release(ROMEO, node)
    assert await registry.load(ROMEO, "a") == ()
    registry.release(ROMEO, "a")
    assert getattr(registry, "known", frozenset()) == frozenset()
