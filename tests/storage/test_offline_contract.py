"""OfflineStore: what each engine promises about messages kept for later."""

from __future__ import annotations

import asyncio
from itertools import chain

import pytest

from tests.storage.parts import add_account
from xmppd.jid import Jid
from xmppd.storage.interfaces import OfflineFull, OfflineMessage, Stores

JULIET = Jid.parse("juliet@capulet.example")


async def append(stores: Stores, owner: int, *stanzas: bytes) -> list[int]:
    return [await stores.offline.append(owner, stanza, limit=0) for stanza in stanzas]


async def test_messages_come_back_as_they_were_in_order_of_arrival(
    stores: Stores, owner: int, other: int
) -> None:
    stanzas = [b"<message>\xf0\x9f\x98\x80</message>", b"", b"\0\xff" * 40_000, b"<message/>", b"<message/>"]
    ids = await append(stores, owner, *stanzas)
    await append(stores, other, b"<message>for another</message>")
    assert ids == sorted(set(ids))
    assert ids[0] > 0  # so that after=0 is before the first
    expected = [OfflineMessage(id_, stanza) for id_, stanza in zip(ids, stanzas, strict=True)]
    assert await stores.offline.load(owner, now=0) == expected
    assert await stores.offline.count(owner) == 5


async def test_nothing_is_kept_for_a_new_account(stores: Stores, owner: int) -> None:
    assert await stores.offline.load(owner, now=0) == []
    assert await stores.offline.count(owner) == 0


async def test_pages(stores: Stores, owner: int) -> None:
    ids = await append(stores, owner, *(b"%d" % number for number in range(25)))
    seen: list[OfflineMessage] = []
    while page := await stores.offline.load(owner, now=0, after=seen[-1].id if seen else 0, limit=10):
        assert len(page) <= 10
        seen += page
    assert [message.id for message in seen] == ids
    assert [message.stanza for message in seen] == [b"%d" % number for number in range(25)]


async def test_what_is_discarded_is_gone_and_makes_room(stores: Stores, owner: int, other: int) -> None:
    ids = await append(stores, owner, b"a", b"b", b"c")
    await append(stores, other, b"a", b"b", b"c")
    await stores.offline.discard(owner, [ids[0], ids[2], 999_999, -1])
    await stores.offline.discard(owner, [ids[0]])
    await stores.offline.discard(owner, [])
    assert await stores.offline.load(owner, now=0) == [OfflineMessage(ids[1], b"b")]
    assert await stores.offline.count(owner) == 1
    assert await stores.offline.count(other) == 3
    await stores.offline.append(owner, b"d", limit=2)
    with pytest.raises(OfflineFull):
        await stores.offline.append(owner, b"e", limit=2)


async def test_ids_are_not_used_again_when_the_queue_was_emptied(stores: Stores, owner: int) -> None:
    last = 0
    for _ in range(3):
        ids = await append(stores, owner, b"a", b"b")
        assert last < ids[0] < ids[1]
        last = ids[1]
        await stores.offline.discard(owner, ids)
        assert await stores.offline.load(owner, now=0) == []


async def test_discarding_thousands_at_once(stores: Stores, owner: int) -> None:
    ids = await asyncio.gather(*(stores.offline.append(owner, b"x", limit=0) for _ in range(3_000)))
    await stores.offline.discard(owner, [*ids[1:], *range(10**9, 10**9 + 100_000)])
    assert await stores.offline.load(owner, now=0) == [OfflineMessage(ids[0], b"x")]


async def test_a_full_queue_keeps_what_it_has(stores: Stores, owner: int, other: int) -> None:
    for stanza in (b"a", b"b"):
        await stores.offline.append(owner, stanza, limit=2)
    with pytest.raises(OfflineFull):
        await stores.offline.append(owner, b"c", limit=2)
    await stores.offline.append(other, b"a", limit=2)
    await stores.offline.append(owner, b"d", limit=3)
    await stores.offline.append(owner, b"e", limit=0)
    assert [message.stanza for message in await stores.offline.load(owner, now=0)] == [b"a", b"b", b"d", b"e"]


async def test_an_expired_message_is_not_returned_but_takes_room_until_it_is_removed(
    stores: Stores, owner: int, other: int
) -> None:
    await stores.offline.append(owner, b"soon", limit=0, expires=100.0)
    await stores.offline.append(owner, b"later", limit=0, expires=100.5)
    await stores.offline.append(owner, b"never", limit=0)
    await stores.offline.append(other, b"soon", limit=0, expires=99.0)

    async def loaded(now: float) -> list[bytes]:
        return [message.stanza for message in await stores.offline.load(owner, now=now)]

    assert await loaded(99.9) == [b"soon", b"later", b"never"]
    assert await loaded(100.0) == [b"later", b"never"]
    assert await loaded(1e12) == [b"never"]
    with pytest.raises(OfflineFull):
        await stores.offline.append(owner, b"x", limit=3)
    assert await stores.offline.expire(now=100.0) == 2
    assert await stores.offline.expire(now=100.0) == 0
    assert await stores.offline.count(owner) == 2
    assert await stores.offline.count(other) == 0
    await stores.offline.append(owner, b"x", limit=3)
    assert await loaded(0) == [b"later", b"never", b"x"]


async def test_expired_messages_can_be_removed_a_few_at_a_time(
    stores: Stores, owner: int, other: int
) -> None:
    for number in range(7):
        await stores.offline.append((owner, other)[number % 2], b"x", limit=0, expires=1)
    assert [await stores.offline.expire(now=2, limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert await stores.offline.count(owner) == await stores.offline.count(other) == 0


async def test_a_limit_holds_among_many_at_once(stores: Stores, owner: int) -> None:
    for limit in range(5, 50, 5):
        results = await asyncio.gather(
            *(stores.offline.append(owner, b"x", limit=limit) for _ in range(20)), return_exceptions=True
        )
        assert sum(isinstance(result, int) for result in results) == 5
        assert sum(isinstance(result, OfflineFull) for result in results) == 15
        assert await stores.offline.count(owner) == limit
        assert len(await stores.offline.load(owner, now=0)) == limit


async def test_ids_are_distinct_and_grow_among_many_at_once(stores: Stores, owner: int, other: int) -> None:
    last = {owner: 0, other: 0}
    for _ in range(10):
        for account in (owner, other):
            ids = await asyncio.gather(*(stores.offline.append(account, b"x", limit=0) for _ in range(20)))
            assert len(set(ids)) == 20
            assert min(ids) > last[account]
            last[account] = max(ids)


async def test_a_reader_who_follows_the_ids_misses_nothing(stores: Stores) -> None:
    """Invariant I4: ids become visible in their order, so what comes behind the last one seen is all that is new."""
    owner = await add_account(stores, str(JULIET))
    done = False
    seen: list[OfflineMessage] = []

    async def read() -> None:
        ended = False
        while not ended:
            ended = done  # one more look after the last append
            while page := await stores.offline.load(owner, now=0, after=seen[-1].id if seen else 0, limit=7):
                seen.extend(page)

    async def write(writer: int) -> list[bytes]:
        stanzas = [b"%d.%d" % (writer, number) for number in range(50)]
        await append(stores, owner, *stanzas)
        return stanzas

    reader = asyncio.create_task(read())
    written = await asyncio.gather(*(write(writer) for writer in range(10)))
    done = True
    await reader
    assert sorted(message.stanza for message in seen) == sorted(chain(*written))
    for writer, stanzas in enumerate(written):  # and each writer's in the order in which they were written
        assert [m.stanza for m in seen if m.stanza.startswith(b"%d." % writer)] == stanzas
