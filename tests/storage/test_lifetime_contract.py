"""What holds for every method of every store: durability, cancelling, closing."""

from __future__ import annotations

import asyncio

import pytest

from tests.storage.parts import Engine, add_account, drop, put
from xmppd.jid import Jid
from xmppd.storage.interfaces import (
    LastSeen,
    RosterItem,
    ScramHash,
    ScramKeys,
    StorageUnavailable,
    Stores,
    Subscription,
    Vcard,
)

JULIET = Jid.parse("juliet@capulet.example")
ROMEO = Jid.parse("romeo@montague.example")
KEYS = {ScramHash.SHA1: ScramKeys(b"salt", 4096, b"stored", b"server")}


async def befriend(stores: Stores, owner: int, number: int) -> int:
    """Put another contact into the roster; its version from then on."""
    contact = RosterItem(Jid(f"c{number}", "a.example"))
    (update,) = await stores.rosters.update([put(owner, contact)])
    return update.version


async def test_what_was_stored_is_there_when_it_is_opened_again(durable: Engine) -> None:
    async def everything(stores: Stores) -> list[object]:
        return [
            await stores.accounts.list(),
            await stores.accounts.credentials(JULIET),
            await stores.accounts.last_seen([JULIET]),
            await stores.rosters.load(owner),
            await stores.blocklists.load(owner),
            await stores.private.get(owner, "storage", "storage:bookmarks"),
            await stores.vcards.get(owner),
            await stores.secrets.get("caps"),
        ]

    stores = await durable.open()
    (owner,) = await stores.accounts.create([(JULIET, KEYS)], now=1)
    await stores.accounts.set_last_seen(owner, LastSeen(2, "bye"))
    await stores.rosters.update([put(owner, RosterItem(ROMEO, "Romeo", ("a",), Subscription.TO))])
    await stores.blocklists.add(owner, [ROMEO], limit=0)
    await stores.private.put(owner, [("storage", "storage:bookmarks", b"<storage/>")])
    await stores.vcards.put(owner, Vcard(b"<vCard/>", "00"))
    before = await everything(stores)
    await stores.close()
    for _ in range(2):
        stores = await durable.open()
        assert await everything(stores) == before
        await stores.close()


async def test_what_never_goes_back_does_not_after_opening_again(durable: Engine) -> None:
    stores = await durable.open()
    owner = await add_account(stores, str(JULIET))
    await stores.rosters.update([put(owner, RosterItem(ROMEO)), drop(owner, ROMEO)])
    gone = await add_account(stores, str(ROMEO))
    await stores.accounts.delete(ROMEO)
    await stores.close()
    stores = await durable.open()
    assert (await stores.rosters.load(owner)).version == 2
    assert await add_account(stores, str(ROMEO)) > gone
    await stores.close()


async def test_closing_first_does_what_was_asked_before(durable: Engine) -> None:
    stores = await durable.open()
    owner = await add_account(stores, str(JULIET))
    changes = [asyncio.create_task(befriend(stores, owner, number)) for number in range(300)]
    await asyncio.sleep(0)  # all of them have asked
    await stores.close()
    versions = await asyncio.gather(*changes)
    assert versions == sorted(versions)
    stores = await durable.open()
    roster = await stores.rosters.load(owner)
    assert (len(roster.items), roster.version) == (300, versions[-1])
    await stores.close()


async def test_a_closed_storage_refuses_work_and_may_be_closed_again(engine: Engine) -> None:
    stores = await engine.open()
    await asyncio.gather(stores.close(), stores.close())
    await stores.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await stores.accounts.get(JULIET)
    with pytest.raises(StorageUnavailable, match="closed"):
        await stores.accounts.create([(JULIET, KEYS)], now=0)


async def test_cancelling_abandons_the_result_only(stores: Stores, owner: int) -> None:
    for round_ in range(10):
        changes = [asyncio.create_task(befriend(stores, owner, 20 * round_ + number)) for number in range(20)]
        loads = [asyncio.create_task(stores.rosters.load(owner)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in (*changes[::2], *loads[::2]):
            task.cancel()
        results = await asyncio.gather(*changes, *loads, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 20
    assert len((await stores.rosters.load(owner)).items) == 200


async def test_what_was_written_is_read(stores: Stores, owner: int) -> None:
    """Whoever got the answer to a write sees it in every read from then on."""

    async def write_and_read(number: int) -> None:
        contact = Jid(f"c{number}", "a.example")
        (update,) = await stores.rosters.update([put(owner, RosterItem(contact))])
        roster = await stores.rosters.load(owner)
        assert contact in roster.items
        assert roster.version >= update.version

    for round_ in range(10):
        await asyncio.gather(*(write_and_read(round_ * 20 + number) for number in range(20)))
