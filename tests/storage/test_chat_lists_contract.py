"""ChatListStore: what each engine promises about checkpoints."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from xmppd.jid import Jid
from xmppd.storage.archive import Checkpoint, Conversation
from xmppd.storage.conversations import read_conversations
from xmppd.storage.interfaces import Stores

LINES = (
    Conversation(-(2**63), 2**63 - 1, 2**62, 2**32 - 1, 7),
    Conversation(4, 1_700_000_000_000_000, 0, 0, 0),
)


async def test_what_was_saved_is_loaded(stores: Stores, owner: int, other: int) -> None:
    assert await stores.chat_lists.load(owner) == Checkpoint()
    assert await stores.chat_lists.save(owner, Checkpoint(5, LINES))
    assert await stores.chat_lists.load(owner) == Checkpoint(5, LINES, 1)
    assert await stores.chat_lists.load(other) == Checkpoint()
    many = tuple(Conversation(4 * number, number, number, number, 0) for number in range(5_000))
    assert await stores.chat_lists.save(owner, Checkpoint(5, many, 1))
    assert await stores.chat_lists.load(owner) == Checkpoint(5, many, 2)
    assert await stores.chat_lists.save(owner, Checkpoint(0, (), 2))
    assert await stores.chat_lists.load(owner) == Checkpoint(0, (), 3)


async def test_whoever_did_not_see_the_last_one_changes_nothing(stores: Stores, owner: int) -> None:
    assert not await stores.chat_lists.save(owner, Checkpoint(5, LINES, 1))
    assert await stores.chat_lists.load(owner) == Checkpoint()
    assert await stores.chat_lists.save(owner, Checkpoint(5, LINES))
    for version in (0, 2, 7):
        assert not await stores.chat_lists.save(owner, Checkpoint(9, (), version))
    assert await stores.chat_lists.load(owner) == Checkpoint(5, LINES, 1)


async def test_one_of_many_at_once_wins(stores: Stores, owner: int) -> None:
    for _ in range(5):
        before = await stores.chat_lists.load(owner)
        done = await asyncio.gather(
            *(stores.chat_lists.save(owner, replace(before, upto=number)) for number in range(10))
        )
        assert sum(done) == 1
        assert await stores.chat_lists.load(owner) == Checkpoint(done.index(True), (), before.version + 1)


async def test_a_deleted_account_leaves_none(stores: Stores, owner: int) -> None:
    await stores.chat_lists.save(owner, Checkpoint(5, LINES))
    await stores.accounts.delete(Jid.parse("juliet@capulet.example"))
    assert await stores.chat_lists.load(owner) == Checkpoint()
    for version in (0, 1):  # by who had read it before
        assert not await stores.chat_lists.save(owner, Checkpoint(5, LINES, version))
    assert await stores.chat_lists.load(owner) == Checkpoint()


def test_a_form_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="form"):
        read_conversations(b"\2")
