"""BlocklistStore: what each engine promises about block lists."""

from __future__ import annotations

import asyncio

import pytest

from xmppd.jid import Jid
from xmppd.storage.interfaces import BlocklistFull, Stores

# XEP-0191#matching: an address may be full, bare, a domain with a resource, a domain.
TEXTS = (
    "romeo@montague.example/orchard",
    "romeo@montague.example",
    "montague.example/x",
    "montague.example",
    "юлія@укр",
)
JIDS = frozenset(map(Jid.parse, TEXTS))
ROMEO = Jid.parse("romeo@montague.example")


async def test_what_is_blocked_is_loaded(stores: Stores, owner: int, other: int) -> None:
    assert await stores.blocklists.load(owner) == frozenset()
    assert await stores.blocklists.add(owner, JIDS, limit=5) == JIDS
    assert await stores.blocklists.load(owner) == JIDS
    assert await stores.blocklists.load(other) == frozenset()


async def test_only_new_addresses_are_returned(stores: Stores, owner: int) -> None:
    await stores.blocklists.add(owner, [ROMEO, ROMEO], limit=5)
    assert await stores.blocklists.add(owner, JIDS, limit=5) == JIDS - {ROMEO}
    assert await stores.blocklists.add(owner, JIDS, limit=5) == frozenset()
    assert await stores.blocklists.add(owner, [], limit=5) == frozenset()


async def test_a_full_list_takes_all_or_nothing(stores: Stores, owner: int) -> None:
    await stores.blocklists.add(owner, [ROMEO], limit=4)
    with pytest.raises(BlocklistFull):
        await stores.blocklists.add(owner, JIDS, limit=4)
    assert await stores.blocklists.load(owner) == {ROMEO}
    assert await stores.blocklists.add(owner, [ROMEO], limit=1) == frozenset()  # makes them no more
    assert await stores.blocklists.add(owner, JIDS, limit=0) == JIDS - {ROMEO}  # no limit


async def test_unblocking_some(stores: Stores, owner: int, other: int) -> None:
    for account in (owner, other):
        await stores.blocklists.add(account, JIDS, limit=5)
    assert await stores.blocklists.remove(owner, [ROMEO, Jid.parse("stranger@a.example")]) == {ROMEO}
    assert await stores.blocklists.remove(owner, [ROMEO]) == frozenset()
    assert await stores.blocklists.remove(owner, []) == frozenset()
    assert await stores.blocklists.load(owner) == JIDS - {ROMEO}
    assert await stores.blocklists.load(other) == JIDS


async def test_unblocking_all(stores: Stores, owner: int, other: int) -> None:
    for account in (owner, other):
        await stores.blocklists.add(account, JIDS, limit=5)
    assert await stores.blocklists.remove(owner, None) == JIDS
    assert await stores.blocklists.remove(owner, None) == frozenset()
    assert await stores.blocklists.load(owner) == frozenset()
    assert await stores.blocklists.load(other) == JIDS


async def test_thousands_of_addresses(stores: Stores, owner: int) -> None:
    jids = [Jid(f"spammer{number}", "a.example") for number in range(5_000)]
    assert await stores.blocklists.add(owner, jids, limit=5_000) == frozenset(jids)
    assert await stores.blocklists.remove(owner, jids) == frozenset(jids)


async def test_a_limit_holds_among_many_at_once(stores: Stores, owner: int) -> None:
    for limit in range(5, 50, 5):
        results = await asyncio.gather(
            *(
                stores.blocklists.add(owner, [Jid(f"s{limit}.{n}", "a.example")], limit=limit)
                for n in range(20)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(result, BlocklistFull) for result in results) == 15
        assert len(await stores.blocklists.load(owner)) == limit


async def test_each_address_is_new_to_one_of_many_at_once(stores: Stores, owner: int) -> None:
    for _ in range(10):
        added = await asyncio.gather(*(stores.blocklists.add(owner, JIDS, limit=0) for _ in range(20)))
        assert sorted(jid for jids in added for jid in jids) == sorted(JIDS)
        removed = await asyncio.gather(*(stores.blocklists.remove(owner, JIDS) for _ in range(20)))
        assert sorted(jid for jids in removed for jid in jids) == sorted(JIDS)
