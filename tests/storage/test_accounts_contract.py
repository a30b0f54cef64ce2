"""AccountStore: what each engine promises about accounts."""

from __future__ import annotations

import asyncio

import pytest

from tests.storage.parts import add_account, put
from xmppd.jid import Jid
from xmppd.storage.interfaces import (
    AccountExists,
    AccountRecord,
    Credentials,
    LastSeen,
    NoSuchAccount,
    RosterItem,
    ScramHash,
    ScramKeys,
    Stores,
    Vcard,
)

JULIET = Jid.parse("juliet@capulet.example")
ROMEO = Jid.parse("romeo@montague.example")
KEYS: Credentials = {
    ScramHash.SHA1: ScramKeys(b"salt\0", 4096, b"stored" * 3, b"server" * 3),
    ScramHash.SHA256: ScramKeys(b"pepper", 10_000, bytes(range(32)), bytes(32)),
}
OTHER_KEYS: Credentials = {ScramHash.SHA512: ScramKeys(b"new", 1, b"a", b"b")}


async def test_an_account_is_found_by_its_address(stores: Stores) -> None:
    (owner,) = await stores.accounts.create([(JULIET, KEYS)], now=12.5)
    assert owner > 0
    assert await stores.accounts.get(JULIET) == AccountRecord(owner, JULIET, 12.5)
    assert await stores.accounts.credentials(JULIET) == KEYS


async def test_unknown_accounts_are_none(stores: Stores) -> None:
    await add_account(stores, "juliet@capulet.example")
    for address in ("juliet@montague.example", "romeo@capulet.example", "capulet.example"):
        assert await stores.accounts.get(Jid.parse(address)) is None
        assert await stores.accounts.credentials(Jid.parse(address)) is None


async def test_an_account_without_keys_is_not_the_same_as_no_account(stores: Stores) -> None:
    await stores.accounts.create([(JULIET, {})], now=0)
    assert await stores.accounts.credentials(JULIET) == {}


async def test_ids_come_in_the_order_of_the_accounts(stores: Stores) -> None:
    jids = [Jid("same", "b.example"), Jid("same", "a.example"), Jid("юлія", "капулеті.укр")]
    ids = await stores.accounts.create([(jid, KEYS) for jid in jids], now=0)
    assert len(set(ids)) == 3
    found = [await stores.accounts.get(jid) for jid in jids]
    assert [account and (account.id, account.jid) for account in found] == list(zip(ids, jids, strict=True))


async def test_all_accounts_are_created_or_none(stores: Stores) -> None:
    await stores.accounts.create([(JULIET, KEYS)], now=1)
    with pytest.raises(AccountExists, match=r"^juliet@capulet\.example$"):
        await stores.accounts.create([(ROMEO, OTHER_KEYS), (JULIET, OTHER_KEYS)], now=2)
    assert await stores.accounts.get(ROMEO) is None
    assert await stores.accounts.credentials(JULIET) == KEYS


async def test_an_address_given_twice_exists_the_second_time(stores: Stores) -> None:
    with pytest.raises(AccountExists):
        await stores.accounts.create([(JULIET, KEYS), (JULIET, KEYS)], now=0)
    assert await stores.accounts.get(JULIET) is None


async def test_one_of_many_that_create_the_same_account_succeeds(stores: Stores) -> None:
    for round_ in range(10):
        jid = Jid(f"user{round_}", "capulet.example")
        results = await asyncio.gather(
            *(stores.accounts.create([(jid, KEYS)], now=number) for number in range(20)),
            return_exceptions=True,
        )
        created = [result for result in results if isinstance(result, list)]
        assert len(created) == 1
        assert all(isinstance(result, AccountExists) for result in results if result is not created[0])


async def test_new_credentials_replace_all_old_ones(stores: Stores) -> None:
    await stores.accounts.create([(JULIET, KEYS), (ROMEO, KEYS)], now=0)
    await stores.accounts.set_credentials(JULIET, OTHER_KEYS)
    assert await stores.accounts.credentials(JULIET) == OTHER_KEYS
    assert await stores.accounts.credentials(ROMEO) == KEYS


async def test_what_is_not_there_can_be_neither_changed_nor_deleted(stores: Stores) -> None:
    with pytest.raises(NoSuchAccount, match=r"^juliet@capulet\.example$"):
        await stores.accounts.set_credentials(JULIET, KEYS)
    with pytest.raises(NoSuchAccount, match=r"^juliet@capulet\.example$"):
        await stores.accounts.delete(JULIET)


async def fill(stores: Stores, owner: int) -> None:
    """Something in every aggregate."""
    await stores.accounts.set_credentials(JULIET, KEYS)
    await stores.accounts.set_last_seen(owner, LastSeen(1))
    await stores.rosters.update([put(owner, RosterItem(ROMEO))])
    await stores.blocklists.add(owner, [ROMEO], limit=1)
    await stores.private.put(owner, [("storage", "storage:bookmarks", b"<storage/>")])
    await stores.vcards.put(owner, Vcard(b"<vCard/>", "0" * 40))


async def test_deleting_takes_everything_along(stores: Stores, owner: int, other: int) -> None:
    await fill(stores, owner)
    await stores.rosters.update([put(other, RosterItem(JULIET))])
    await stores.accounts.delete(JULIET)
    assert await stores.accounts.get(JULIET) is None
    again = await add_account(stores, str(JULIET))
    for gone in (owner, again):
        assert await stores.rosters.load(gone) == await stores.rosters.load(999_999)
        assert await stores.blocklists.load(gone) == frozenset()
        assert await stores.private.get(gone, "storage", "storage:bookmarks") is None
        assert await stores.vcards.get(gone) is None
    assert await stores.accounts.credentials(JULIET) == {}
    assert await stores.accounts.last_seen([JULIET]) == {}
    assert list((await stores.rosters.load(other)).items) == [JULIET]


async def test_what_was_approved_for_a_deleted_account_is_not_for_who_gets_its_address(
    stores: Stores, owner: int, other: int
) -> None:
    await stores.rosters.update([put(other, RosterItem(JULIET, name="Juliet", approved=True))])
    await stores.accounts.delete(JULIET)
    assert (await stores.rosters.load(other)).items == {JULIET: RosterItem(JULIET, name="Juliet")}


async def test_the_id_of_a_deleted_account_is_never_used_again(stores: Stores) -> None:
    ids = []
    for _ in range(5):
        ids.append(await add_account(stores, str(JULIET)))
        await stores.accounts.delete(JULIET)
    assert ids == sorted(set(ids))


async def test_nothing_can_be_stored_for_a_deleted_account(stores: Stores, owner: int, other: int) -> None:
    await stores.accounts.delete(JULIET)
    with pytest.raises(NoSuchAccount):
        await stores.rosters.update([put(other, RosterItem(JULIET)), put(owner, RosterItem(ROMEO))])
    assert (await stores.rosters.load(other)).items == {}
    with pytest.raises(NoSuchAccount):
        await stores.blocklists.add(owner, [ROMEO], limit=1)
    with pytest.raises(NoSuchAccount):
        await stores.private.put(owner, [("storage", "storage:bookmarks", b"<storage/>")])
    with pytest.raises(NoSuchAccount):
        await stores.vcards.put(owner, Vcard(b"<vCard/>"))
    await stores.accounts.set_last_seen(owner, LastSeen(1))  # nothing happens, by contract
    assert await stores.blocklists.remove(owner, None) == frozenset()


async def test_deleting_while_others_store_leaves_nothing_behind(stores: Stores) -> None:
    for _ in range(10):
        owner = await add_account(stores, str(JULIET))
        blocks = (stores.blocklists.add(owner, [Jid(f"b{n}", "capulet.example")], limit=0) for n in range(10))
        changes = (
            stores.rosters.update([put(owner, RosterItem(Jid(f"c{n}", "capulet.example")))])
            for n in range(10)
        )
        await asyncio.gather(*blocks, stores.accounts.delete(JULIET), *changes, return_exceptions=True)
        assert await stores.blocklists.load(owner) == frozenset()
        assert (await stores.rosters.load(owner)).items == {}


# ---- the list


@pytest.fixture
async def listed(stores: Stores) -> list[Jid]:
    """Some accounts, in the order of domain and localpart: that of code points, whatever the locale."""
    jids = [
        Jid(local, domain)
        for domain in ("a.example", "b.example", "ß.example")
        for local in ("10", "9", "ab", "abc", "b", "zoë", "Ωmega", "\U0001f600")
    ]
    await stores.accounts.create([(jid, {}) for jid in sorted(jids, key=str, reverse=True)], now=7)
    return jids


async def test_the_list_is_sorted_by_domain_then_localpart(stores: Stores, listed: list[Jid]) -> None:
    assert [account.jid for account in await stores.accounts.list()] == listed


async def test_the_list_has_whole_records(stores: Stores, owner: int) -> None:
    await stores.accounts.set_last_seen(owner, LastSeen(9.5, "gone to the ball"))
    expected = AccountRecord(owner, JULIET, 1000, LastSeen(9.5, "gone to the ball"))
    assert await stores.accounts.list() == [expected]
    assert await stores.accounts.get(JULIET) == expected


async def test_pages_follow_one_another_without_gap_or_double(stores: Stores, listed: list[Jid]) -> None:
    seen: list[Jid] = []
    while page := await stores.accounts.list(after=seen[-1] if seen else None, limit=5):
        assert len(page) <= 5
        seen += [account.jid for account in page]
    assert seen == listed


async def test_a_page_may_start_behind_an_account_that_is_gone(stores: Stores, listed: list[Jid]) -> None:
    await stores.accounts.delete(listed[3])
    assert [account.jid for account in await stores.accounts.list(after=listed[3], limit=1)] == [listed[4]]


@pytest.mark.parametrize("domain", ["a.example", "b.example", "ß.example", "c.example"])
async def test_the_list_of_one_domain(stores: Stores, listed: list[Jid], domain: str) -> None:
    expected = [jid for jid in listed if jid.domain == domain]
    assert [account.jid for account in await stores.accounts.list(domain=domain)] == expected
    for after in listed:
        page = await stores.accounts.list(domain=domain, after=after)
        assert [account.jid for account in page] == [
            jid for jid in expected if listed.index(jid) > listed.index(after)
        ]


async def test_the_list_can_be_filtered(stores: Stores, listed: list[Jid]) -> None:
    page = await stores.accounts.list(contains="b", domain="b.example")
    assert [account.jid.local for account in page] == ["ab", "abc", "b"]
    for literal in ("%", "_", "*", "B"):
        assert await stores.accounts.list(contains=literal) == []


# ---- last seen


async def test_last_seen_of_many_accounts(stores: Stores) -> None:
    jids = [Jid(f"user{number}", "capulet.example") for number in range(700)]
    ids = await stores.accounts.create([(jid, {}) for jid in jids], now=0)
    seen = {jid: LastSeen(number + 0.25, f"bye {number}") for number, jid in enumerate(jids) if number % 2}
    await asyncio.gather(
        *(
            stores.accounts.set_last_seen(ids[number], seen[jid])
            for number, jid in enumerate(jids)
            if number % 2
        )
    )
    strangers = [Jid(f"user{number}", "montague.example") for number in range(300)]
    assert await stores.accounts.last_seen([*strangers, *jids, Jid(None, "capulet.example")]) == seen
    assert await stores.accounts.last_seen([]) == {}


async def test_last_seen_is_not_told_to_whom_the_account_blocks(
    stores: Stores, owner: int, other: int
) -> None:
    for account in (owner, other):
        await stores.accounts.set_last_seen(account, LastSeen(1))
    await stores.blocklists.add(owner, [Jid.parse("montague.example")], limit=0)
    await stores.blocklists.add(other, [Jid.parse("tybalt@capulet.example")], limit=0)

    async def seen(*asker: str) -> list[Jid]:
        blocking = [Jid.parse(text) for text in asker]
        return sorted(await stores.accounts.last_seen([JULIET, ROMEO], unless_blocking=blocking))

    assert await seen() == [JULIET, ROMEO]
    assert await seen("romeo@montague.example", "montague.example") == [ROMEO]
    assert await seen("tybalt@capulet.example", "capulet.example") == [JULIET]
    assert await seen("nurse@capulet.example", "capulet.example") == [JULIET, ROMEO]


async def test_last_seen_is_replaced(stores: Stores, owner: int) -> None:
    await stores.accounts.set_last_seen(owner, LastSeen(1, "old"))
    await stores.accounts.set_last_seen(owner, LastSeen(2))
    assert await stores.accounts.last_seen([JULIET]) == {JULIET: LastSeen(2)}
