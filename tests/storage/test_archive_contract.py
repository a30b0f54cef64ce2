"""ArchiveStore: what each engine promises about history, and about what is owed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.parts import ENGINES, Engine, add_account
from xmppd.jid import Jid
from xmppd.storage.archive import (
    MOST_ROWS,
    RESENDS,
    Kind,
    Mark,
    NewMessage,
    NewRow,
    Place,
    Placed,
    Query,
    Row,
    origin_key,
    peer_key,
)
from xmppd.storage.interfaces import Stores

ROMEO = peer_key(Jid.parse("romeo@montague.example"))
NURSE = peer_key(Jid.parse("nurse@capulet.example"))
ALL = 2**62


def message(owner: int, text: bytes = b"<message/>", *, peer: int = ROMEO, kind: int = 0) -> NewMessage:
    return NewMessage(text, (NewRow(owner, peer, kind),))


async def append(stores: Stores, *messages: NewMessage) -> list[int]:
    """Their first rows' ids."""
    return [placed.places[0].id for placed in await stores.archive.append(messages)]


async def read(stores: Stores, owner: int, query: Query | None = None) -> list[Row]:
    return await stores.archive.read(owner, query or Query(), limit=10_000)


# Writing


async def test_what_was_written_is_read_as_it_was_in_its_order(
    stores: Stores, owner: int, other: int
) -> None:
    texts = [
        b"<message to='juliet@capulet.example'><body>\xf0\x9f\x98\x80</body></message>",
        b"",
        b"\0\xff" * 40_000,
        b"<message/>",
        b"<message/>",
    ]
    peers = [ROMEO, ROMEO | Mark.SENT, NURSE | Mark.UNREAD, ROMEO | Mark.SENT | Mark.UNREAD, NURSE]
    new = [message(owner, text, peer=peer, kind=Kind.OWED) for text, peer in zip(texts, peers, strict=True)]
    await append(stores, message(other, b"<message>for another</message>"))
    ids = await append(stores, *new)
    assert ids == sorted(set(ids))
    assert await read(stores, owner) == [
        Row(id, peer, Kind.OWED, text) for id, peer, text in zip(ids, peers, texts, strict=True)
    ]


async def test_a_message_is_a_row_for_each_whom_it_concerns(stores: Stores, owner: int, other: int) -> None:
    rows = (NewRow(owner, ROMEO | Mark.SENT), NewRow(other, NURSE | Mark.UNREAD, Kind.OWED))
    (placed,) = await stores.archive.append([NewMessage(b"<message>hi</message>", rows)])
    assert not placed.duplicate
    sent, received = placed.places
    assert await read(stores, owner) == [Row(sent.id, ROMEO | 1, 0, b"<message>hi</message>")]
    assert await read(stores, other) == [Row(received.id, NURSE | 2, Kind.OWED, b"<message>hi</message>")]


async def test_a_place_tells_what_was_the_owners_newest_before(
    stores: Stores, owner: int, other: int
) -> None:
    both = NewMessage(b"x", (NewRow(owner, ROMEO), NewRow(other, NURSE)))
    placed = await stores.archive.append([message(owner), both, message(other), both])
    placed += await stores.archive.append([both])
    seen = {owner: 0, other: 0}
    for new, (places, duplicate) in zip(
        [message(owner), both, message(other), both, both], placed, strict=True
    ):
        assert not duplicate
        for row, place in zip(new.rows, places, strict=True):
            assert place.prev == seen[row.owner] < place.id
            seen[row.owner] = place.id
    assert await stores.archive.newest([owner, other]) == seen


async def test_ids_tell_the_time(stores: Stores, owner: int) -> None:
    before = int(time.time() * 1e6)
    first, second = await append(stores, message(owner), message(owner))
    assert before - 1_000_000 <= first < second <= int(time.time() * 1e6) + 1_000_000


async def test_a_batch_as_large_as_allowed(stores: Stores, owner: int, other: int) -> None:
    both = NewMessage(b"x", (NewRow(owner, ROMEO), NewRow(other, NURSE)))
    assert len(await stores.archive.append([both] * (MOST_ROWS // 2))) == MOST_ROWS // 2
    assert len(await read(stores, owner)) == len(await read(stores, other)) == MOST_ROWS // 2
    with pytest.raises(ValueError, match="more than"):
        await stores.archive.append([message(owner)] * (MOST_ROWS + 1))
    assert await stores.archive.append([]) == []


async def test_all_of_a_batch_or_nothing(stores: Stores, owner: int, other: int) -> None:
    wrong = NewMessage(b"x", (NewRow(owner, ROMEO), NewRow(other, 2**70)))
    with pytest.raises(Exception, match=r"."):
        await stores.archive.append([message(owner), wrong])
    assert await read(stores, owner) == []
    ids = await append(stores, message(owner))
    assert [row.id for row in await read(stores, owner)] == ids


async def test_those_who_append_at_once_get_ids_of_their_own(stores: Stores, owner: int) -> None:
    groups = await asyncio.gather(*(append(stores, message(owner), message(owner)) for _ in range(20)))
    ids = [id for group in groups for id in group]
    assert len(set(ids)) == 40
    assert [row.id for row in await read(stores, owner)] == sorted(ids)


# Resends


async def test_a_resend_is_found_by_its_origin(stores: Stores, owner: int, other: int) -> None:
    rows = (NewRow(owner, ROMEO | Mark.SENT), NewRow(other, NURSE, Kind.OWED))
    first = NewMessage(b"first", rows, origin=7)
    (before,) = await stores.archive.append([message(owner)])
    (placed,) = await stores.archive.append([first])
    await stores.archive.append([message(owner)])
    again = NewMessage(b"again", rows, origin=7, check=1)
    fresh = NewMessage(b"fresh", rows, origin=-8, check=1)
    results = await stores.archive.append([message(owner, b"a"), again, fresh, message(other, b"b")])
    assert results[1] == Placed(placed.places[:1], duplicate=True)
    assert placed.places[0].prev == before.places[0].id
    assert [result.duplicate for result in results] == [False, True, False, False]
    stanzas = [row.stanza for row in await read(stores, owner)]
    assert stanzas == [b"<message/>", b"first", b"<message/>", b"a", b"fresh"]
    assert [row.stanza for row in await read(stores, other)] == [b"first", b"fresh", b"b"]
    # The gap that it left is not seen.
    assert results[2].places[0].prev == results[0].places[0].id
    assert results[3].places[0].prev == results[2].places[1].id


async def test_a_resend_is_none_where_the_first_is_older_or_somebody_elses(
    stores: Stores, owner: int, other: int
) -> None:
    (first,) = await append(stores, message(owner)._replace(origin=7))
    for again in (
        message(owner)._replace(origin=7, check=first + 1),
        message(other)._replace(origin=7, check=1),
        message(owner)._replace(origin=8, check=1),
        message(owner)._replace(origin=7),
        NewMessage(b"x", (NewRow(other, ROMEO), NewRow(owner, ROMEO)), origin=9, check=1),
    ):
        (placed,) = await stores.archive.append([again])
        assert not placed.duplicate
    # The origin stands with the first row only.
    (placed,) = await stores.archive.append([message(owner)._replace(origin=9, check=1)])
    assert not placed.duplicate
    (placed,) = await stores.archive.append([message(owner)._replace(origin=7, check=first)])
    assert placed.duplicate


async def test_a_resend_is_looked_for_among_the_newest_rows_only(
    stores: Stores, owner: int, other: int
) -> None:
    """To look through all that somebody wrote in a day would hold up everybody's messages."""
    await append(stores, *(message(owner)._replace(origin=origin) for origin in (7, 8)))
    for start in range(2, RESENDS, MOST_ROWS):  # with the two: one more than are looked through
        await append(stores, *[message(owner)] * min(MOST_ROWS, RESENDS + 1 - start))
    again = [message(who)._replace(origin=origin, check=1) for who in (owner, other) for origin in (7, 8)]
    assert [placed.duplicate for placed in await stores.archive.append(again)] == [False, True, False, False]


async def test_a_resend_in_the_same_batch(stores: Stores, owner: int) -> None:
    new = message(owner)._replace(origin=7, check=1)
    one, two, three = await stores.archive.append([new, message(owner), new])
    assert (one.duplicate, two.duplicate, three.duplicate) == (False, False, True)
    assert three.places == one.places
    assert len(await read(stores, owner)) == 2
    four, five = await stores.archive.append([new, new])
    assert four == five == Placed(one.places, duplicate=True)
    # Of several with one origin the newest counts.
    _, six, seven = await stores.archive.append([new, new._replace(check=0), new])
    assert not six.duplicate
    assert seven == Placed(six.places, duplicate=True)


# Reading


@pytest.fixture
async def ten(stores: Stores, owner: int, other: int) -> list[int]:
    """Ids of rows 0 to 9; the peers take turns, 4 is hidden and owed, 5 is owed."""
    kinds = {4: Kind.OWED | Kind.HIDDEN, 5: Kind.OWED}
    new = [
        message(
            owner, b"%d" % number, peer=(ROMEO, NURSE | Mark.UNREAD)[number % 2], kind=kinds.get(number, 0)
        )
        for number in range(10)
    ]
    await append(stores, *(message(other) for _ in range(3)))
    return await append(stores, *new)


def numbers(rows: Sequence[Row]) -> list[int]:
    return [int(row.stanza) for row in rows]


async def test_pages_both_ways(stores: Stores, owner: int, ten: list[int]) -> None:
    archive = stores.archive
    assert numbers(await archive.read(owner, Query(), limit=3)) == [0, 1, 2]
    assert numbers(await archive.read(owner, Query(), limit=3, backwards=True)) == [7, 8, 9]
    assert numbers(await archive.read(owner, Query(after=ten[2]), limit=3)) == [3, 5, 6]
    assert numbers(await archive.read(owner, Query(before=ten[7]), limit=3, backwards=True)) == [3, 5, 6]
    between = Query(after=ten[2], before=ten[5])
    assert numbers(await archive.read(owner, between, limit=9)) == [3]
    assert await archive.read(owner, Query(after=ten[9]), limit=9) == []
    assert await archive.read(owner, Query(before=ten[0]), limit=9, backwards=True) == []


@pytest.mark.parametrize("content", [b"x", b"0123456789abcdef"], ids=["packs well", "packs less"])
async def test_a_page_ends_where_there_is_enough_of_it(stores: Stores, owner: int, content: bytes) -> None:
    texts = [
        b"%d" % number + content * (n // len(content))
        for number, n in enumerate([0, 10_000, 20_000, 0, 50_000, 10])
    ]
    ids = await append(stores, *(message(owner, text) for text in texts))
    sizes = list(map(len, texts))
    for backwards in (False, True):
        order = sizes[::-1] if backwards else sizes
        listed = ids[::-1] if backwards else ids
        for most in (1, 5_000, sum(order[:2]), sum(order[:2]) + 1, sum(order) - 1, sum(order), 2**40):
            found = await stores.archive.read(owner, Query(), limit=5, backwards=backwards, most_bytes=most)
            wanted = next((n for n in range(1, 6) if sum(order[:n]) >= most), 5)
            assert [row.id for row in found] == sorted(listed[:wanted])
            assert [row.stanza for row in found] == [texts[ids.index(row.id)] for row in found]


async def test_what_was_said_with_one(stores: Stores, owner: int, ten: list[int]) -> None:
    archive = stores.archive
    assert numbers(await read(stores, owner, Query(peer=ROMEO))) == [0, 2, 6, 8]
    assert numbers(await archive.read(owner, Query(peer=NURSE), limit=2, backwards=True)) == [7, 9]
    assert numbers(await archive.read(owner, Query(peer=NURSE, after=ten[3]), limit=2)) == [5, 7]
    assert await read(stores, owner, Query(peer=ROMEO + 4)) == []


async def test_rows_by_their_ids(stores: Stores, owner: int, ten: list[int]) -> None:
    ids = (ten[8], ten[1], ten[4], ten[1], 5, ten[9] + 1)
    assert numbers(await read(stores, owner, Query(ids=ids))) == [1, 8]
    assert numbers(await read(stores, owner, Query(ids=ids, peer=NURSE))) == [1]
    assert numbers(await read(stores, owner, Query(ids=ids, after=ten[1]))) == [8]
    assert await read(stores, owner, Query(ids=())) == []
    many = tuple(range(1, 5_000))
    assert await read(stores, owner, Query(ids=many)) == []


async def test_counting(stores: Stores, owner: int, ten: list[int]) -> None:
    assert await stores.archive.count(owner, Query()) == 9
    assert await stores.archive.count(owner, Query(peer=ROMEO, after=ten[0])) == 3
    assert await stores.archive.count(owner, Query(ids=(ten[0], ten[4]))) == 1
    assert await stores.archive.count(999_999, Query()) == 0


async def test_marks(stores: Stores, owner: int, ten: list[int]) -> None:
    expected = [
        (id, (ROMEO, NURSE | Mark.UNREAD)[number % 2], Kind.OWED if number == 5 else Kind.NONE)
        for number, id in enumerate(ten)
        if number != 4
    ]
    assert await stores.archive.marks(owner, after=0, limit=100) == expected
    assert await stores.archive.marks(owner, after=ten[2], limit=2) == expected[3:5]


async def test_what_is_owed_comes_with_the_newest_id(
    stores: Stores, owner: int, other: int, ten: list[int]
) -> None:
    rows, newest = await stores.archive.owed(owner, after=0, limit=10)
    assert numbers(rows) == [4, 5]
    assert [row.kind for row in rows] == [Kind.OWED | Kind.HIDDEN, Kind.OWED]
    assert newest == ten[9]
    rows, newest = await stores.archive.owed(owner, after=0, limit=1)
    assert (numbers(rows), newest) == ([4], ten[9])
    assert await stores.archive.owed(owner, after=ten[5], limit=10) == ([], ten[9])
    assert await stores.archive.owed(999_999, after=0, limit=10) == ([], 0)


async def test_newest_ids(stores: Stores, owner: int, other: int, ten: list[int]) -> None:
    found = await stores.archive.newest([owner, other, owner, 999_999])
    assert set(found) == {owner, other}
    assert found[owner] == ten[9]
    assert await stores.archive.newest([]) == {}


# Changing


async def test_a_tombstone(stores: Stores, owner: int, other: int, ten: list[int]) -> None:
    archive = stores.archive
    assert await archive.replace(owner, ten[3], b"gone" * 100, Kind.TOMBSTONE)
    assert not await archive.replace(owner, ten[9] + 1, b"x", 0)
    assert not await archive.replace(other, ten[3], b"x", 0)
    (row,) = await read(stores, owner, Query(ids=(ten[3],)))
    assert row == Row(ten[3], NURSE | Mark.UNREAD, Kind.TOMBSTONE, b"gone" * 100)
    assert await archive.replace(owner, ten[3], b"", Kind.HIDDEN)
    assert await archive.count(owner, Query()) == 8


async def test_erased_rows_are_gone_and_their_ids_are_not_used_again(
    stores: Stores, owner: int, other: int, ten: list[int]
) -> None:
    archive = stores.archive
    assert await archive.erase(owner, before=ten[6], limit=4) == 4
    assert numbers(await read(stores, owner)) == [5, 6, 7, 8, 9]
    assert await archive.erase(owner, before=ten[6]) == 2
    assert await archive.erase(owner, before=ten[6]) == 0
    assert await archive.newest([owner]) == {owner: ten[9]}
    assert await archive.erase(owner, before=ALL) == 4
    assert await read(stores, owner) == []
    assert await archive.newest([owner]) == {owner: ten[9]}
    assert await archive.owed(owner, after=0, limit=1) == ([], ten[9])
    assert (await stores.cursors.load(owner, since=0, limit=1)).newest == ten[9]
    (placed,) = await archive.append([message(owner)])
    assert placed.places[0].prev == ten[9] < placed.places[0].id
    assert await archive.count(other, Query()) == 3


async def test_the_first_row_behind_a_floor_knows_it_when_it_is_sent_again(
    stores: Stores, owner: int
) -> None:
    (old,) = await append(stores, message(owner))
    await stores.archive.erase(owner, before=ALL)
    (first,) = await stores.archive.append([message(owner)._replace(origin=7)])
    (again,) = await stores.archive.append([message(owner)._replace(origin=7, check=1)])
    assert again == Placed((Place(first.places[0].id, old),), duplicate=True)


async def test_expiry_takes_nothing_that_is_younger(
    stores: Stores, owner: int, other: int, ten: list[int]
) -> None:
    before = ten[5]
    for _ in range(100):
        if not await stores.archive.expire(before=before, limit=3):
            break
    else:
        raise AssertionError("it never ends")
    # An engine with partitions may keep old rows beside younger ones.
    assert set(numbers(await read(stores, owner))) >= {5, 6, 7, 8, 9}
    assert await stores.archive.newest([owner]) == {owner: ten[9]}


async def test_a_deleted_account_leaves_nothing(
    stores: Stores, owner: int, other: int, ten: list[int]
) -> None:
    await stores.archive.erase(owner, before=ten[1])
    await stores.accounts.delete(Jid.parse("juliet@capulet.example"))
    assert await read(stores, owner) == []
    assert await stores.archive.newest([owner, other]) == {
        other: (await stores.archive.newest([other]))[other]
    }


async def test_rows_outlive_the_server(durable: Engine) -> None:
    stores = await durable.open()
    owner = await add_account(stores, "juliet@capulet.example")
    ids = await append(stores, message(owner, b"one"), message(owner, b"two", kind=Kind.OWED))
    await stores.close()
    stores = await durable.open()
    assert [(row.id, row.stanza) for row in await read(stores, owner)] == list(
        zip(ids, [b"one", b"two"], strict=True)
    )
    (placed,) = await stores.archive.append([message(owner)])
    assert placed.places[0].prev == ids[1] < placed.places[0].id
    await stores.maintain()
    await stores.close()


# Against a model


@dataclass
class Model:
    """What the contract says, in a list."""

    rows: dict[int, list[Row]] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    origins: dict[tuple[int, int], list[Place]] = field(default_factory=dict)

    def add(self, new: NewMessage, placed: Placed) -> None:
        """`placed` is what the engine says; only its ids are believed, where they are in order."""
        known = self.origins.get((new.rows[0].owner, new.origin), [])
        if new.origin and new.check and known and known[-1].id >= new.check:
            assert placed == Placed((known[-1],), duplicate=True)
            return
        assert not placed.duplicate
        for row, place in zip(new.rows, placed.places, strict=True):
            assert place.prev == self.newest.get(row.owner, 0) < place.id
            self.newest[row.owner] = place.id
            self.rows.setdefault(row.owner, []).append(Row(place.id, row.peer, row.kind, new.stanza))
        if new.origin:
            self.origins.setdefault((new.rows[0].owner, new.origin), []).append(placed.places[0])

    def read(self, owner: int, query: Query) -> list[Row]:
        return [
            row
            for row in self.rows.get(owner, [])
            if query.after < row.id < query.before
            and (query.peer is None or row.peer & ~3 == query.peer)
            and (query.ids is None or row.id in query.ids)
            and not row.kind & Kind.HIDDEN
        ]


PEERS = [ROMEO, NURSE, peer_key(Jid.parse("x@y"))]
new_messages = st.builds(
    lambda stanza, owners, peer, mark, kind, origin, check: NewMessage(
        stanza, tuple(NewRow(owner, peer | mark, kind) for owner in owners), origin, check
    ),
    st.binary(max_size=60),
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
    st.sampled_from(PEERS),
    st.integers(0, 3),
    st.integers(0, 7),
    st.sampled_from([0, 0, 5, -6]),
    st.sampled_from([0, 1]),
)


async def compare(stores: Stores, data: st.DataObject) -> None:
    """Write some batches and read something of each owner, here and there."""
    owners = [await add_account(stores, f"user{number}@capulet.example") for number in range(3)]
    model = Model()
    for batch in data.draw(st.lists(st.lists(new_messages, max_size=6), max_size=5), label="batches"):
        mine = [
            new._replace(rows=tuple(row._replace(owner=owners[row.owner]) for row in new.rows))
            for new in batch
        ]
        for new, placed in zip(mine, await stores.archive.append(mine), strict=True):
            model.add(new, placed)
    for owner in owners:
        ids = [row.id for row in model.rows.get(owner, [])]
        near = st.sampled_from([0, ALL, *ids, *(id + 1 for id in ids)])
        query = Query(
            after=data.draw(near),
            before=data.draw(near),
            peer=data.draw(st.sampled_from([None, *PEERS])),
            ids=data.draw(st.none() | st.lists(near, max_size=5).map(tuple)),
        )
        limit, backwards = data.draw(st.integers(1, 5)), data.draw(st.booleans())
        expected = model.read(owner, query)
        part = expected[-limit:] if backwards else expected[:limit]
        assert await stores.archive.read(owner, query, limit=limit, backwards=backwards) == part
        assert await stores.archive.count(owner, query) == len(expected)
        owed = [row for row in model.rows.get(owner, []) if row.kind & Kind.OWED and row.id > query.after]
        newest = model.newest.get(owner, 0)
        assert await stores.archive.owed(owner, after=query.after, limit=limit) == (owed[:limit], newest)
        marks = [(row.id, row.peer, row.kind) for row in model.read(owner, Query(after=query.after))]
        assert await stores.archive.marks(owner, after=query.after, limit=limit) == marks[:limit]


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_does_what_a_list_would_do(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    async def main(directory: Path) -> None:
        engine = ENGINES[name](directory)
        stores = await engine.open()
        try:
            await compare(stores, data)
        finally:
            await stores.close()
            engine.give_back()

    asyncio.run(main(tmp_path_factory.mktemp("model")))


def test_keys() -> None:
    romeo, juliet = Jid.parse("romeo@montague.example/orchard"), Jid.parse("juliet@capulet.example")
    assert peer_key(romeo) == ROMEO
    assert ROMEO & 3 == NURSE & 3 == 0
    assert -(2**63) <= ROMEO < 2**63
    key = origin_key(romeo, juliet, "chat", "id1")
    assert key == origin_key(romeo.bare, juliet, "chat", "id1") != 0
    others = [origin_key(juliet, romeo, "chat", "id1"), origin_key(romeo, juliet, "groupchat", "id1")]
    others.append(origin_key(romeo, juliet, "chat", "id1", "another text"))
    assert key not in [*others, origin_key(romeo, juliet, "chat", "id2")]
