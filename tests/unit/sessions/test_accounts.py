"""The accounts in memory: one object per address whoever loads, binds, leaves and forgets at the same time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.accounts import Accounts
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores

JULIET, ROMEO = Jid.parse("juliet@capulet.lit"), Jid.parse("romeo@capulet.lit")


class Loader:
    """Loads what belongs to an account; stops while the test holds it."""

    def __init__(self) -> None:
        self.loaded: list[Account] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, account: Account) -> None:
        self.loaded.append(account)
        if self.gate is not None:
            await self.gate.wait()


@pytest_asyncio.fixture
async def stores() -> AsyncIterator[Stores]:
    stores = await open_stores("sqlite::memory:", Path("/nonexistent"))
    await stores.accounts.create([(JULIET, {}), (ROMEO, {})], now=0.0)
    yield stores
    await stores.close()


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def left() -> list[Jid]:
    return []


@pytest.fixture
def accounts(stores: Stores, loader: Loader, left: list[Jid]) -> Accounts:
    accounts = Accounts(stores.accounts, 10)
    accounts.add_loader(loader)
    accounts.on_forget(left.append)
    return accounts


async def known(accounts: Accounts, jid: Jid = JULIET) -> Account:
    account = await accounts.get(jid)
    assert account is not None
    assert accounts.peek(jid) is account
    return account


async def test_an_account_is_loaded_once_and_then_at_hand(accounts: Accounts, loader: Loader) -> None:
    assert accounts.peek(JULIET) is None
    found = await asyncio.gather(*(known(accounts) for _ in range(20)))
    assert len(set(found)) == 1
    assert loader.loaded == [found[0]]
    assert accounts.live() == []


async def test_there_is_no_account_of_nobody(accounts: Accounts, left: list[Jid]) -> None:
    nobody = Jid.parse("nobody@capulet.lit")
    assert set(await asyncio.gather(accounts.get(nobody), accounts.get(nobody))) == {None}
    assert accounts.peek(nobody) is None
    assert left == []


async def test_with_sessions_it_stays_and_after_the_last_one_it_is_read_again(
    accounts: Accounts, loader: Loader, left: list[Jid]
) -> None:
    account = await known(accounts)
    accounts.pin(account)
    accounts.pin(account)
    accounts.forget(JULIET)
    assert await known(accounts) is account
    accounts.unpin(account)
    accounts.forget(JULIET)
    assert await known(accounts) is account
    assert accounts.live() == [account]
    assert left == []
    accounts.unpin(account)
    assert accounts.live() == []
    assert accounts.peek(JULIET) is None
    assert left == [JULIET]
    assert await known(accounts) is not account


async def test_a_second_object_of_one_address_is_a_bug_that_shows(accounts: Accounts) -> None:
    kept_too_long = await known(accounts)
    accounts.forget(JULIET)
    accounts.pin(await known(accounts))
    with pytest.raises(RuntimeError, match=r"two accounts juliet@capulet\.lit in memory"):
        accounts.pin(kept_too_long)


async def test_one_that_makes_room_has_left_unless_it_has_sessions(stores: Stores, left: list[Jid]) -> None:
    accounts = Accounts(stores.accounts, 1)
    accounts.on_forget(left.append)
    juliet = await known(accounts, JULIET)
    accounts.pin(juliet)
    romeo = await known(accounts, ROMEO)
    assert left == []
    assert await known(accounts, JULIET) is juliet
    accounts.unpin(juliet)
    assert left == [JULIET]
    await known(accounts, JULIET)
    assert left == [JULIET, ROMEO]
    assert await known(accounts, ROMEO) is not romeo


async def test_only_own_changes_are_told_to_others(accounts: Accounts) -> None:
    changed: list[Jid] = []
    accounts.on_change(changed.append)
    accounts.drop(JULIET)
    account = await known(accounts)
    accounts.pin(account)
    accounts.unpin(account)
    await accounts.refresh(JULIET)
    assert changed == []
    accounts.forget(JULIET)
    assert changed == [JULIET]


async def test_what_changed_elsewhere_is_read_again(accounts: Accounts, loader: Loader) -> None:
    account = await known(accounts)
    await accounts.refresh(JULIET)
    assert accounts.peek(JULIET) is None
    again = await known(accounts)
    assert again is not account
    accounts.pin(again)
    await accounts.refresh(JULIET)
    assert accounts.peek(JULIET) is again
    assert loader.loaded == [account, again, again], "where it has sessions, in place"


async def test_a_change_during_a_refresh_is_not_missed(accounts: Accounts, loader: Loader) -> None:
    account = await known(accounts)
    accounts.pin(account)
    loader.gate = asyncio.Event()
    refreshes = [asyncio.get_running_loop().create_task(accounts.refresh(JULIET)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(loader.loaded) == 2
    loader.gate.set()
    await asyncio.gather(*refreshes)
    assert len(loader.loaded) == 3, "once more for all that came meanwhile"
    loader.gate = asyncio.Event()
    refresh = asyncio.get_running_loop().create_task(accounts.refresh(JULIET))
    await asyncio.sleep(0)
    accounts.forget(JULIET)  # changed here, in place: what is being read may be older
    loader.gate.set()
    await refresh
    assert len(loader.loaded) == 5


async def test_the_last_session_may_leave_during_a_refresh(
    accounts: Accounts, loader: Loader, left: list[Jid]
) -> None:
    account = await known(accounts)
    accounts.pin(account)
    loader.gate = asyncio.Event()
    refresh = asyncio.get_running_loop().create_task(accounts.refresh(JULIET))
    await asyncio.sleep(0)
    accounts.unpin(account)
    loader.gate.set()
    await refresh
    assert accounts.peek(JULIET) is None
    assert left == [JULIET, JULIET], "what the refresh registered is released as well"
    loader.gate = None
    assert await known(accounts) is not account


@pytest.mark.parametrize("seed", range(30))
async def test_whoever_comes_and_goes_there_is_one_object_per_address(stores: Stores, seed: int) -> None:
    """Sessions bind and end, others look, forget and refresh, over a cache that is always too small."""
    rng = random.Random(seed)
    accounts = Accounts(stores.accounts, rng.choice((1, 2)))
    interested: set[Jid] = set()

    async def register(account: Account) -> None:
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        interested.add(account.jid)
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)

    accounts.add_loader(register)
    accounts.on_forget(interested.discard)

    async def session(jid: Jid) -> None:
        account = await known(accounts, jid)
        accounts.pin(account)  # raises if there is another one
        for _ in range(rng.randrange(20)):
            assert accounts.peek(jid) is account
            assert await accounts.get(jid) is account
            await asyncio.sleep(0)
        accounts.unpin(account)

    async def other(jid: Jid) -> None:
        match rng.randrange(4):
            case 0:
                accounts.forget(jid)
            case 1:
                await accounts.refresh(jid)
            case _:
                await known(accounts, jid)

    jids = (JULIET, ROMEO)
    tasks: list[asyncio.Task[None]] = []
    for _ in range(150):
        work = session if rng.random() < 0.4 else other
        tasks.append(asyncio.get_running_loop().create_task(work(rng.choice(jids))))
        if rng.random() < 0.05:
            rng.choice(tasks).cancel() if work is other else None
        for _ in range(rng.choice((0, 0, 1, 10))):
            await asyncio.sleep(0)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error for error in done if error and not isinstance(error, asyncio.CancelledError)] == []
    in_memory = {jid for jid in jids if accounts.peek(jid) is not None}
    assert in_memory <= interested, "an account in memory hears of what happens elsewhere"
