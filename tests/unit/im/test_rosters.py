"""Rosters in memory: bounded, and never older than what was committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from xmppd.im.rosters import Change, Rosters
from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.facts import Facts, RosterChanged
from xmppd.storage.interfaces import Roster, RosterItem, Stores, Subscription
from xmppd.storage.open import open_stores

JULIET, NURSE, ROMEO = (Jid.parse(f"{name}@capulet.lit") for name in ("juliet", "nurse", "romeo"))


@pytest_asyncio.fixture
async def stores() -> AsyncIterator[Stores]:
    stores = await open_stores("sqlite::memory:", Path("/nonexistent"))
    yield stores
    await stores.close()


async def account(stores: Stores, jid: Jid) -> Account:
    (id,) = await stores.accounts.create([(jid, {})], now=0.0)
    return Account(id, jid)


def put(account: Account, item: RosterItem) -> Change:
    return Change(account, item.jid, lambda _: item)


async def test_memory_holds_so_many_rosters_whoever_is_connected(stores: Stores) -> None:
    rosters = Rosters(stores.rosters, Facts(), 1, items=0, requests=0)
    juliet, nurse = await account(stores, JULIET), await account(stores, NURSE)
    assert rosters.peek(juliet) is None
    known = await rosters.get(juliet)
    assert rosters.peek(juliet) is known
    await rosters.get(nurse)
    assert rosters.peek(juliet) is None


async def test_a_roster_that_was_read_before_a_change_is_given_to_nobody_behind_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, changed = stores.rosters.load, asyncio.Event()

    async def slow(owner: int) -> Roster:
        roster = await load(owner)
        await changed.wait()
        return roster

    monkeypatch.setattr(stores.rosters, "load", slow)
    rosters = Rosters(stores.rosters, Facts(), 16, items=0, requests=0)
    juliet = await account(stores, JULIET)
    reading = asyncio.create_task(rosters.get(juliet))
    await asyncio.sleep(0)
    await rosters.update([put(juliet, RosterItem(ROMEO, subscription=Subscription.BOTH))])
    changed.set()
    for known in (await reading, await rosters.get(juliet)):
        assert known.watchers == known.watched == (ROMEO,)
        assert known.shows_to(Jid.parse("romeo@capulet.lit/orchard"))


async def test_a_change_is_a_fact_once_it_is_committed(stores: Stores) -> None:
    facts = Facts()
    told: list[RosterChanged] = []
    facts.on(RosterChanged, told.append)
    rosters = Rosters(stores.rosters, facts, 16, items=0, requests=0)
    juliet = await account(stores, JULIET)
    item = RosterItem(ROMEO, request=b"<presence/>", listed=False)
    await rosters.update([put(juliet, item), put(juliet, item)])  # the second one changes nothing
    assert [(fact.account, fact.update.after) for fact in told] == [(JULIET, item)]
    assert [waiting.jid for waiting in (await rosters.get(juliet)).requests] == [ROMEO]
