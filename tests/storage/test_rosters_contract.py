"""RosterStore: what each engine promises about rosters."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import chain

import pytest

from tests.storage.parts import drop, put
from xmppd.jid import Jid
from xmppd.storage.interfaces import (
    Roster,
    RosterChange,
    RosterFull,
    RosterItem,
    RosterUpdate,
    Stores,
    Subscription,
)

ROMEO = Jid.parse("romeo@montague.example")
NURSE = Jid.parse("nurse@capulet.example")
FULL = RosterItem(
    ROMEO,
    "Romeo & <ü>",
    ("Friends", "a b'\"", "😀"),
    Subscription.BOTH,
    True,
    True,
    b"<presence/>\0\xff",
    True,
)
REQUEST = RosterItem(ROMEO, request=b"<presence type='subscribe'/>", listed=False)


async def test_there_is_an_empty_roster_for_everyone(stores: Stores, owner: int) -> None:
    assert await stores.rosters.load(owner) == Roster(0, {})


@pytest.mark.parametrize(
    "item",
    [
        FULL,
        REQUEST,
        RosterItem(ROMEO),
        RosterItem(Jid.parse("montague.example")),
        RosterItem(Jid.parse("romeo@montague.example/orchard of fruits")),
        RosterItem(Jid.parse("юлія@капулеті.укр/Ωbalcony/ a@b")),
        *(RosterItem(ROMEO, subscription=subscription) for subscription in Subscription),
    ],
)
async def test_an_item_comes_back_as_it_was(stores: Stores, owner: int, item: RosterItem) -> None:
    (update,) = await stores.rosters.update([put(owner, item)])
    version = int(item.listed)
    assert update == RosterUpdate(owner, item.jid, None, item, version)
    assert await stores.rosters.load(owner) == Roster(version, {item.jid: item})
    (update,) = await stores.rosters.update([RosterChange(owner, item.jid, lambda before: before)])
    assert update == RosterUpdate(owner, item.jid, item, item, version)


async def test_rosters_are_apart(stores: Stores, owner: int, other: int) -> None:
    await stores.rosters.update([put(owner, FULL), put(other, RosterItem(NURSE))])
    assert (await stores.rosters.load(owner)).items == {ROMEO: FULL}
    assert (await stores.rosters.load(other)).items == {NURSE: RosterItem(NURSE)}


async def test_a_change_sees_what_earlier_ones_of_the_same_call_did(stores: Stores, owner: int) -> None:
    def rename(before: RosterItem | None) -> RosterItem:
        assert before is not None
        return replace(before, name=before.name + "!")

    changes = [put(owner, RosterItem(ROMEO)), *(RosterChange(owner, ROMEO, rename) for _ in range(3))]
    updates = await stores.rosters.update(changes)
    assert [update.version for update in updates] == [1, 2, 3, 4]
    assert [update.after and update.after.name for update in updates] == ["", "!", "!!", "!!!"]
    assert [update.before for update in updates[1:]] == [update.after for update in updates[:-1]]


async def test_the_version_grows_by_one_for_what_a_client_sees(stores: Stores, owner: int) -> None:
    async def version(item: RosterItem | None) -> int:
        (update,) = await stores.rosters.update([RosterChange(owner, ROMEO, lambda _: item)])
        assert (await stores.rosters.load(owner)).version == update.version
        return update.version

    assert await version(None) == 0
    assert await version(REQUEST) == 0
    assert await version(replace(REQUEST, request=b"<presence>again</presence>")) == 0
    assert await version(replace(REQUEST, listed=True)) == 1
    assert await version(RosterItem(ROMEO)) == 1  # only the request is gone
    assert await version(RosterItem(ROMEO, ask=True)) == 2
    assert await version(RosterItem(ROMEO, ask=True)) == 2
    assert await version(RosterItem(ROMEO, approved=True)) == 3
    assert await version(replace(RosterItem(ROMEO, approved=True), request=b"x")) == 3
    assert await version(None) == 4
    assert await version(None) == 4


async def test_the_version_outlives_an_emptied_roster(stores: Stores, owner: int) -> None:
    await stores.rosters.update([put(owner, RosterItem(ROMEO)), drop(owner, ROMEO)])
    assert await stores.rosters.load(owner) == Roster(2, {})
    (update,) = await stores.rosters.update([put(owner, RosterItem(NURSE))])
    assert update.version == 3


async def test_the_versions_of_two_rosters_in_one_call(stores: Stores, owner: int, other: int) -> None:
    updates = await stores.rosters.update(
        [put(owner, RosterItem(ROMEO)), put(other, RosterItem(NURSE)), put(owner, RosterItem(NURSE))]
    )
    assert [update.version for update in updates] == [1, 1, 2]


async def test_a_change_that_raises_undoes_all_of_the_call(stores: Stores, owner: int, other: int) -> None:
    class Unwilling(Exception):
        pass

    def refuse(before: RosterItem | None) -> RosterItem:
        assert before == FULL
        raise Unwilling

    await stores.rosters.update([put(owner, FULL)])
    with pytest.raises(Unwilling):
        await stores.rosters.update(
            [
                put(other, FULL),
                drop(owner, NURSE),
                put(owner, RosterItem(NURSE)),
                RosterChange(owner, ROMEO, refuse),
            ]
        )
    assert await stores.rosters.load(owner) == Roster(1, {ROMEO: FULL})
    assert await stores.rosters.load(other) == Roster(0, {})


async def test_a_full_roster_takes_no_new_item_and_undoes_all_of_the_call(stores: Stores, owner: int) -> None:
    first, second, third = (RosterItem(Jid(name, "a.example")) for name in ("a", "b", "c"))
    await stores.rosters.update([put(owner, first), put(owner, second)], limit=2)
    with pytest.raises(RosterFull):
        await stores.rosters.update([put(owner, replace(first, name="new")), put(owner, third)], limit=2)
    assert await stores.rosters.load(owner) == Roster(2, {first.jid: first, second.jid: second})


async def test_a_full_roster_can_be_changed_and_shortened(stores: Stores, owner: int) -> None:
    first, second = RosterItem(ROMEO), RosterItem(NURSE)
    await stores.rosters.update([put(owner, first)], limit=1)
    await stores.rosters.update([put(owner, replace(first, name="still here"))], limit=1)
    await stores.rosters.update([drop(owner, ROMEO), put(owner, second)], limit=1)
    await stores.rosters.update([put(owner, first)])  # no limit
    await stores.rosters.update([drop(owner, ROMEO)], limit=1)
    assert (await stores.rosters.load(owner)).items == {NURSE: second}


async def test_requests_of_strangers_leave_contacts_their_room(stores: Stores, owner: int) -> None:
    strangers = [replace(REQUEST, jid=Jid(f"stranger{number}", "a.example")) for number in range(3)]
    await stores.rosters.update([put(owner, item) for item in strangers[:2]], limit=2)
    with pytest.raises(RosterFull):
        await stores.rosters.update([put(owner, strangers[2])], limit=2)
    await stores.rosters.update([put(owner, RosterItem(ROMEO)), put(owner, RosterItem(NURSE))], limit=2)
    with pytest.raises(RosterFull):  # to accept one is to add a contact
        await stores.rosters.update([put(owner, replace(strangers[0], listed=True))], limit=2)


async def test_requests_may_have_a_limit_of_their_own(stores: Stores, owner: int) -> None:
    def stranger(number: int) -> RosterItem:
        return replace(REQUEST, jid=Jid(f"stranger{number}", "a.example"))

    await stores.rosters.update([put(owner, stranger(1))], limit=9, request_limit=1)
    with pytest.raises(RosterFull):
        await stores.rosters.update([put(owner, stranger(2))], limit=9, request_limit=1)
    await stores.rosters.update([put(owner, stranger(2))], limit=1, request_limit=0)
    await stores.rosters.update([put(owner, RosterItem(ROMEO))], limit=1, request_limit=0)
    with pytest.raises(RosterFull):
        await stores.rosters.update([put(owner, RosterItem(NURSE))], limit=1, request_limit=0)


async def test_no_change_is_lost_among_many_at_once(stores: Stores, owner: int) -> None:
    def add_group(group: str) -> RosterChange:
        def change(before: RosterItem | None) -> RosterItem:
            before = before or RosterItem(ROMEO)
            return replace(before, groups=(*before.groups, group))

        return RosterChange(owner, ROMEO, change)

    groups = [[f"{round_}.{number}" for number in range(20)] for round_ in range(10)]
    versions = list[int]()
    for names in groups:
        updates = await asyncio.gather(*(stores.rosters.update([add_group(name)]) for name in names))
        versions += [update.version for (update,) in updates]
    assert sorted(versions) == list(range(1, 201))  # each change had a version of its own
    roster = await stores.rosters.load(owner)
    assert sorted(roster.items[ROMEO].groups) == sorted(chain(*groups))
    assert roster.version == 200


async def test_a_limit_holds_among_many_at_once(stores: Stores, owner: int) -> None:
    for limit in range(5, 50, 5):
        results = await asyncio.gather(
            *(
                stores.rosters.update(
                    [put(owner, RosterItem(Jid(f"c{limit}.{n}", "a.example")))], limit=limit
                )
                for n in range(20)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(result, list) for result in results) == 5
        assert sum(isinstance(result, RosterFull) for result in results) == 15
        assert len((await stores.rosters.load(owner)).items) == limit


async def test_two_users_who_change_both_rosters_at_once_do_not_block_each_other(
    stores: Stores, owner: int, other: int
) -> None:
    def item(number: int) -> RosterItem:
        return RosterItem(Jid(f"c{number}", "a.example"))

    for round_ in range(10):
        numbers = range(round_ * 10, round_ * 10 + 10)
        pairs = [[put(owner, item(n)), put(other, item(n))][:: 1 if n % 2 else -1] for n in numbers]
        await asyncio.gather(*(stores.rosters.update(pair) for pair in pairs))
    assert await stores.rosters.load(owner) == await stores.rosters.load(other)
    assert (await stores.rosters.load(owner)).version == 100


async def test_a_load_shows_a_version_together_with_its_items(stores: Stores, owner: int) -> None:
    """Each change adds an item, so a roster of version n has n items at any time."""
    changes = [
        asyncio.create_task(stores.rosters.update([put(owner, RosterItem(Jid(f"c{n}", "a.example")))]))
        for n in range(200)
    ]
    seen = set[int]()
    while not all(change.done() for change in changes):
        roster = await stores.rosters.load(owner)
        assert len(roster.items) == roster.version
        seen.add(roster.version)
    assert seen <= set(range(201))
