"""A row that cannot be read any more takes no other one with it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from xmppd.storage.archive import Kind, NewMessage, NewRow, Query
from xmppd.storage.interfaces import StorageUnavailable, Stores
from xmppd.storage.packing import Damaged, Packing, own_dictionaries
from xmppd.storage.unpacking import Unpacking

SOUND = b"<message><body>O Romeo, Romeo! wherefore art thou Romeo?</body></message>"
BAD = [b"", b"\x01", b"\x01\xff\xff", Packing(own_dictionaries()).pack(SOUND)[:-5]]


async def keep(stores: Stores, owner: int, packed: bytes | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """Store a message, of which ``packed`` is in the database; its id."""
    with monkeypatch.context() as patch:
        if packed is not None:
            patch.setattr(Packing, "pack", lambda self, stanza: packed)
        (placed,) = await stores.archive.append([NewMessage(SOUND, [NewRow(owner, 4, Kind.OWED)])])
    return placed.places[0].id


@pytest.mark.parametrize("packed", BAD)
async def test_it_is_read_as_empty_among_the_others(
    stores: Stores,
    owner: int,
    packed: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = [await keep(stores, owner, each, monkeypatch) for each in (None, packed, None)]
    with caplog.at_level(logging.ERROR):
        owed, newest = await stores.archive.owed(owner, after=0, limit=10)
        read = await stores.archive.read(owner, Query(), limit=10, most_bytes=1_000)
    assert read == owed
    assert newest == ids[2]
    assert [(row.id, row.stanza) for row in owed] == list(zip(ids, (SOUND, b"", SOUND), strict=True))
    (record,) = caplog.records  # said once
    assert f"message {ids[1]}" in record.getMessage()
    assert await stores.dictionaries.sample(10) == [SOUND]


async def test_an_unknown_dictionary_is_to_be_waited_for(
    stores: Stores, owner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(stores, owner, b"\xfehello", monkeypatch)
    with pytest.raises(StorageUnavailable, match="dictionary 254"):
        await stores.archive.owed(owner, after=0, limit=10)


@pytest.mark.parametrize("packed", BAD)
def test_what_was_never_packed_is_damaged(packed: bytes) -> None:
    with pytest.raises(Damaged):
        Packing(own_dictionaries()).unpack(packed)


async def test_others_have_a_turn_while_large_ones_are_unpacked(stores: Stores) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    large = Packing({}).pack(b"x" * 1_048_576)
    unpacking = Unpacking(Packing({}), stores.dictionaries)
    rows = await unpacking.rows(1, [(number, 4, 0, large) for number in range(4)])
    counting.cancel()
    assert len(rows) == 4
    assert turns >= 3
