"""DictionaryStore: what each engine promises about dictionaries that were trained on its messages."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.corpus import Corpus
from tests.storage.parts import Engine, add_account
from xmppd.storage.archive import NewMessage, NewRow, Query
from xmppd.storage.interfaces import Stores
from xmppd.storage.packing import FIRST_TRAINED, LAST, Packing, train

CHAT = list(Corpus(8).messages(1_500))


async def append(stores: Stores, owner: int, other: int, stanzas: list[bytes]) -> None:
    for start in range(0, len(stanzas), 200):
        rows = (NewRow(owner, 4), NewRow(other, 8))
        await stores.archive.append([NewMessage(stanza, rows) for stanza in stanzas[start : start + 200]])


async def texts(stores: Stores, owner: int) -> list[bytes]:
    return [row.stanza for row in await stores.archive.read(owner, Query(), limit=10_000)]


async def test_a_sample_has_each_message_once(stores: Stores, owner: int, other: int) -> None:
    assert await stores.dictionaries.sample(10) == []
    await append(stores, owner, other, CHAT)
    sample = await stores.dictionaries.sample(10_000)
    assert len(sample) == len(set(sample)) == len(set(CHAT))
    assert set(sample) == set(CHAT)
    few = await stores.dictionaries.sample(100)
    assert len(set(few)) == len(few) == 100
    assert set(few) <= set(CHAT)


async def test_numbers_are_given_once(stores: Stores) -> None:
    assert await stores.dictionaries.load() == {}
    contents = {FIRST_TRAINED + number: b"%d" % number for number in range(4)}
    numbers = await asyncio.gather(*map(stores.dictionaries.add, contents.values()))
    assert sorted(numbers) == sorted(contents)
    assert len(await stores.dictionaries.load()) == 4


async def test_there_is_an_end(stores: Stores) -> None:
    for number in range(FIRST_TRAINED, LAST + 1):
        assert await stores.dictionaries.add(b"x") == number
    with pytest.raises(ValueError, match="no more"):
        await stores.dictionaries.add(b"x")


async def test_old_and_new_rows_are_read_by_those_who_started_before_and_after(durable: Engine) -> None:
    early = await durable.open()
    owner, other = [await add_account(early, f"{name}@capulet.example") for name in ("juliet", "nurse")]
    await append(early, owner, other, CHAT[:3])
    content = await asyncio.to_thread(train, CHAT)
    number = await early.dictionaries.add(content)
    late = await durable.open()
    await append(late, owner, other, CHAT[3:6])
    assert await texts(early, owner) == await texts(late, owner) == CHAT[:6]
    assert (await early.archive.owed(owner, after=0, limit=10))[0] == []
    await early.maintain()
    await append(early, owner, other, CHAT[6:9])
    await late.close()
    await early.close()
    again = await durable.open()
    assert await texts(again, owner) == CHAT[:9]
    await again.close()
    assert Packing({number: content}).number == number
