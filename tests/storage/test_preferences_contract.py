"""PreferenceStore: what each engine promises about XEP-0441 preferences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.storage.parts import add_account
from xmppd.jid import Jid
from xmppd.storage.archive import Preferences
from xmppd.storage.interfaces import NoSuchAccount, Stores

SOME = Preferences(
    "roster",
    frozenset(map(Jid.parse, ("romeo@montague.example", "nurse@capulet.example/phone"))),
    frozenset(map(Jid.parse, ("tybalt@capulet.example", "straße.example", "ö@bücher.example/日本"))),
)


async def test_what_was_saved_is_loaded(stores: Stores, owner: int, other: int) -> None:
    assert await stores.preferences.load(owner) is None
    for preferences in (SOME, Preferences("never"), Preferences()):
        await stores.preferences.save(owner, preferences)
        assert await stores.preferences.load(owner) == preferences
    assert await stores.preferences.load(other) is None


async def test_who_keeps_less_than_the_server(stores: Stores) -> None:
    owners = [await add_account(stores, f"user{number}@capulet.example") for number in range(7)]
    for number, owner in enumerate(owners):
        await stores.preferences.set_days(owner, number if number % 2 else None)
    expected = [(owners[1], 1), (owners[3], 3), (owners[5], 5)]
    assert await stores.preferences.with_days() == expected
    assert await stores.preferences.with_days(limit=2) == expected[:2]
    assert await stores.preferences.with_days(after=owners[1]) == expected[1:]
    await stores.preferences.set_days(owners[3], None)
    assert await stores.preferences.with_days() == [expected[0], expected[2]]


async def test_what_the_owner_wants_and_how_long_it_is_kept_change_apart(stores: Stores, owner: int) -> None:
    await stores.preferences.set_days(owner, 30)
    assert await stores.preferences.load(owner) == Preferences(days=30)
    await stores.preferences.save(owner, SOME)
    assert await stores.preferences.load(owner) == replace(SOME, days=30)
    await stores.preferences.set_days(owner, None)
    assert await stores.preferences.load(owner) == SOME
    with pytest.raises(NoSuchAccount):
        await stores.preferences.set_days(owner + 1, 30)


async def test_a_deleted_account_has_none_and_gets_none(stores: Stores, owner: int) -> None:
    await stores.preferences.save(owner, SOME)
    await stores.accounts.delete(Jid.parse("juliet@capulet.example"))
    assert await stores.preferences.load(owner) is None
    with pytest.raises(NoSuchAccount):
        await stores.preferences.save(owner, SOME)
    assert await stores.preferences.with_days() == []
