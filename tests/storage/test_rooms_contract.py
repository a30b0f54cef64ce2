"""RoomStore: what each engine promises about rooms."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.storage.parts import Engine, add_account
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, Query
from xmppd.storage.interfaces import Stores
from xmppd.storage.rooms import (
    FIRST_ROOM,
    GONE,
    Affiliated,
    Affiliation,
    Membership,
    NoSuchRoom,
    RoomExists,
    RoomRecord,
    RoomSummary,
    Subject,
)

HECATE = Jid.parse("hecate@shakespeare.example")
CRONE = Jid.parse("crone1@shakespeare.example")
WIZARD = Jid.parse("wiccarocks@shakespeare.example")
CAVE = Jid.parse("cave@rooms.shakespeare.example")
HEATH = Jid.parse("heath@rooms.shakespeare.example")
SECRET = bytes(range(16))

OWNER = Affiliated(Affiliation.OWNER)
ADMIN = Affiliated(Affiliation.ADMIN)
MEMBER = Affiliated(Affiliation.MEMBER)
OUTCAST = Affiliated(Affiliation.OUTCAST)
NONE = Affiliated(Affiliation.NONE)


async def create(stores: Stores, jid: Jid, lists: Mapping[Jid, Affiliated] | None = None) -> RoomRecord:
    lists = {HECATE: OWNER} if lists is None else lists
    return await stores.rooms.create(jid, b"{}", lists, secret=SECRET, now=1_000.0)


async def lists(stores: Stores, jid: Jid) -> dict[Jid, Affiliation]:
    """Who is what in the room; every entry is from a version that the lists had."""
    room = await stores.rooms.load(jid)
    assert room is not None
    assert all(0 < entry.version <= room.version for entry in room.affiliations.values())
    return {jid: entry.affiliation for jid, entry in room.affiliations.items()}


def people(count: int, first: int = 0) -> list[Jid]:
    return [Jid(f"user{number}", "shakespeare.example") for number in range(first, first + count)]


@pytest_asyncio.fixture
async def cave(stores: Stores) -> RoomRecord:
    """A room whose owner is Hecate; its lists have the version 1."""
    return await create(stores, CAVE)


async def test_a_room_is_found_by_its_address(stores: Stores) -> None:
    given = {
        HECATE: Affiliated(Affiliation.OWNER, "Hécate", "made it", 77),
        CRONE: MEMBER,
        WIZARD: NONE,
        Jid.parse("montague.example"): Affiliated(Affiliation.OUTCAST, reason="a plague"),
    }
    created = await stores.rooms.create(CAVE, b'{"x":"\xe2\x98\x83\0"}', given, secret=SECRET, now=12.5)
    kept = {jid: replace(entry, version=1) for jid, entry in given.items() if jid != WIZARD}
    assert created == RoomRecord(
        created.id, CAVE, b'{"x":"\xe2\x98\x83\0"}', None, kept, version=1, created=12.5, secret=SECRET
    )
    assert await stores.rooms.load(CAVE) == created
    assert await stores.rooms.load(CAVE.with_resource("firstwitch")) == created


async def test_unknown_rooms_are_none(stores: Stores, cave: RoomRecord) -> None:
    for address in ("heath@rooms.shakespeare.example", "cave@shakespeare.example", CAVE.domain):
        assert await stores.rooms.load(Jid.parse(address)) is None
    assert await stores.rooms.picture(cave.id + 1) is None
    assert await stores.rooms.changed_since(cave.id + 1, 0) is None


async def test_a_room_has_a_localpart(stores: Stores) -> None:
    with pytest.raises(ValueError, match="no localpart"):
        await create(stores, Jid.parse("rooms.shakespeare.example"))


async def test_no_room_has_the_id_of_an_account_or_of_another_room(stores: Stores) -> None:
    owner = await add_account(stores, str(HECATE))
    ids = []
    for _ in range(5):
        room = await create(stores, CAVE)
        ids.append(room.id)
        await stores.rooms.destroy(room.id)
    assert owner < FIRST_ROOM <= ids[0]
    assert ids == sorted(set(ids))


async def test_an_address_is_one_room_s(stores: Stores, cave: RoomRecord) -> None:
    with pytest.raises(RoomExists, match=r"^cave@rooms\.shakespeare\.example$"):
        await create(stores, CAVE.with_resource("x"), {CRONE: OWNER})
    assert await stores.rooms.load(CAVE) == cave
    assert await stores.rooms.memberships(CRONE) == []


async def test_one_of_many_that_create_the_same_room_succeeds(stores: Stores) -> None:
    for round_ in range(10):
        jid = Jid(f"room{round_}", CAVE.domain)
        owners = people(20)
        results = await asyncio.gather(
            *(create(stores, jid, {owner: OWNER}) for owner in owners), return_exceptions=True
        )
        created = [result for result in results if isinstance(result, RoomRecord)]
        assert len(created) == 1
        assert all(isinstance(result, RoomExists) for result in results if result is not created[0])
        assert await stores.rooms.load(jid) == created[0]


async def test_settings_and_subject_are_replaced(stores: Stores, cave: RoomRecord) -> None:
    other = await create(stores, HEATH)
    await stores.rooms.configure(cave.id, b"[1]")
    await stores.rooms.set_subject(cave.id, Subject("Fire burn, and cauldron bubble ☃", "Hécate", 3.25))
    expected = replace(
        cave, config=b"[1]", subject=Subject("Fire burn, and cauldron bubble ☃", "Hécate", 3.25)
    )
    assert await stores.rooms.load(CAVE) == expected
    await stores.rooms.set_subject(cave.id, Subject("", "", 4))
    assert await stores.rooms.load(CAVE) == replace(expected, subject=Subject("", "", 4))
    await stores.rooms.set_subject(cave.id, None)
    assert await stores.rooms.load(CAVE) == replace(expected, subject=None)
    assert await stores.rooms.load(HEATH) == other


async def test_a_picture_is_replaced_and_deleted(stores: Stores, cave: RoomRecord) -> None:
    other = await create(stores, HEATH)
    assert await stores.rooms.picture(cave.id) is None
    for picture in (b"<vCard/>", b"<vCard>" + b"x" * 200_000 + b"</vCard>"):
        await stores.rooms.set_picture(cave.id, picture)
        assert await stores.rooms.picture(cave.id) == picture
    assert await stores.rooms.picture(other.id) is None
    await stores.rooms.set_picture(cave.id, None)
    await stores.rooms.set_picture(cave.id, None)
    assert await stores.rooms.picture(cave.id) is None


@pytest.mark.parametrize("destroyed", [False, True])
async def test_nothing_can_be_stored_for_a_room_that_is_not_there(
    stores: Stores, cave: RoomRecord, destroyed: bool
) -> None:
    id = cave.id if destroyed else cave.id + 1
    await stores.rooms.destroy(id)
    await stores.rooms.destroy(id)
    rooms = stores.rooms
    for attempt in (
        rooms.configure(id, b"{}"),
        rooms.set_subject(id, Subject("a", "b", 1)),
        rooms.set_subject(id, None),
        rooms.affiliate(id, {CRONE: MEMBER}),
        rooms.affiliate(id, {}),
        rooms.set_picture(id, b"<vCard/>"),
        rooms.set_picture(id, None),
    ):
        with pytest.raises(NoSuchRoom, match=str(id)):
            await attempt
    assert await rooms.picture(id) is None
    assert await rooms.changed_since(id, 1) is None
    assert await rooms.memberships(CRONE) == []


async def test_destroying_takes_everything_along(stores: Stores, cave: RoomRecord) -> None:
    other = await create(stores, HEATH)
    for room in (cave, other):
        await stores.rooms.affiliate(room.id, {CRONE: MEMBER})
        await stores.rooms.set_picture(room.id, b"<vCard/>")
        await stores.archive.append([NewMessage(b"<message/>", [NewRow(room.id, 4)])] * 3)
    await stores.rooms.destroy(cave.id)
    assert await stores.rooms.load(CAVE) is None
    assert [room.jid for room in await stores.rooms.list(CAVE.domain, after=None, limit=10)] == [HEATH]
    assert [room.jid for room in await stores.rooms.memberships(CRONE)] == [HEATH]
    again = await create(stores, CAVE)
    assert again == replace(cave, id=again.id)
    for id, rows in ((cave.id, 0), (again.id, 0), (other.id, 3)):
        assert await stores.archive.count(id, Query()) == rows
        assert await stores.rooms.picture(id) == (b"<vCard/>" if rows else None)


async def test_destroying_while_others_store_leaves_nothing_behind(stores: Stores) -> None:
    for _ in range(10):
        room = await create(stores, CAVE)
        await asyncio.gather(
            *(stores.rooms.affiliate(room.id, {jid: MEMBER}) for jid in people(10)),
            stores.rooms.destroy(room.id),
            *(stores.rooms.set_picture(room.id, b"<vCard/>") for _ in range(10)),
            return_exceptions=True,
        )
        assert await stores.rooms.picture(room.id) is None
        assert await stores.rooms.load(CAVE) is None
        for jid in people(10):
            assert await stores.rooms.memberships(jid) == []


# ---- affiliations


async def test_entries_are_replaced(stores: Stores, cave: RoomRecord) -> None:
    change = {
        CRONE: Affiliated(Affiliation.MEMBER, "Crönè", "why not", 99),
        WIZARD: Affiliated(Affiliation.OUTCAST, reason="no"),
    }
    assert await stores.rooms.affiliate(cave.id, change) == 2
    assert await stores.rooms.affiliate(cave.id, {CRONE: ADMIN, HECATE: MEMBER}) == 3
    room = await stores.rooms.load(CAVE)
    assert room == replace(
        cave,
        version=3,
        affiliations={
            HECATE: replace(MEMBER, version=3),
            CRONE: replace(ADMIN, version=3),
            WIZARD: Affiliated(Affiliation.OUTCAST, reason="no", version=2),
        },
    )
    assert await stores.rooms.affiliate(cave.id, {WIZARD: NONE, CRONE: NONE}) == 4
    assert await lists(stores, CAVE) == {HECATE: Affiliation.MEMBER}
    assert await stores.rooms.affiliate(cave.id, {WIZARD: MEMBER}) == 5
    assert await lists(stores, CAVE) == {HECATE: Affiliation.MEMBER, WIZARD: Affiliation.MEMBER}


async def test_there_is_no_version_without_a_change(stores: Stores, cave: RoomRecord) -> None:
    """XEP-0463#self: there can be no empty diff."""
    assert await stores.rooms.affiliate(cave.id, {}) == 1
    assert await stores.rooms.affiliate(cave.id, {CRONE: NONE}) == 1
    await stores.rooms.affiliate(cave.id, {CRONE: MEMBER})
    await stores.rooms.affiliate(cave.id, {CRONE: NONE})
    assert await stores.rooms.affiliate(cave.id, {CRONE: NONE}) == 3
    assert await stores.rooms.changed_since(cave.id, 2) == {CRONE: replace(NONE, version=3)}


async def test_what_changed_is_told_with_who_went(stores: Stores, cave: RoomRecord) -> None:
    await stores.rooms.affiliate(cave.id, {CRONE: Affiliated(Affiliation.MEMBER, "Crone"), WIZARD: MEMBER})
    await stores.rooms.affiliate(cave.id, {CRONE: Affiliated(Affiliation.NONE, "x", "moved")})
    await stores.rooms.affiliate(cave.id, {WIZARD: OUTCAST})
    went = {CRONE: Affiliated(Affiliation.NONE, reason="moved", version=3)}
    banned = {WIZARD: replace(OUTCAST, version=4)}
    all_ = {HECATE: replace(OWNER, version=1), **went, **banned}
    for version, expected in enumerate([all_, went | banned, went | banned, banned, {}]):
        assert await stores.rooms.changed_since(cave.id, version) == expected
    for version in (5, -1, 1 << 62, 1 << 63, 1 << 80):
        assert await stores.rooms.changed_since(cave.id, version) is None


async def test_a_new_room_without_lists_has_changed_by_nothing(stores: Stores) -> None:
    room = await create(stores, CAVE, {})
    assert (room.version, room.affiliations) == (1, {})
    assert await stores.rooms.changed_since(room.id, 1) == {}


async def test_of_those_who_went_the_newest_are_known(stores: Stores, cave: RoomRecord) -> None:
    other = await create(stores, HEATH)
    for room in (cave, other):
        await stores.rooms.affiliate(room.id, dict.fromkeys(people(GONE + 20), MEMBER))
    await stores.rooms.affiliate(other.id, {people(1)[0]: NONE})
    for start in range(0, GONE, 10):  # versions 3 to 102
        await stores.rooms.affiliate(cave.id, dict.fromkeys(people(10, start), NONE))
    assert len(await stores.rooms.changed_since(cave.id, 0) or ()) == GONE + 21
    assert await stores.rooms.affiliate(cave.id, {people(1, GONE)[0]: NONE}) == 103
    assert await stores.rooms.changed_since(cave.id, 2) is None
    known = await stores.rooms.changed_since(cave.id, 3)
    assert known == {
        **{jid: replace(NONE, version=4 + number // 10) for number, jid in enumerate(people(GONE - 10, 10))},
        people(1, GONE)[0]: replace(NONE, version=103),
    }
    assert await stores.rooms.changed_since(other.id, 2) == {people(1)[0]: replace(NONE, version=3)}
    assert len(await lists(stores, CAVE)) == 20


async def test_more_may_go_at_once_than_are_known(stores: Stores, cave: RoomRecord) -> None:
    many = people(GONE + 1)
    await stores.rooms.affiliate(cave.id, dict.fromkeys(many, MEMBER))
    await stores.rooms.affiliate(cave.id, dict.fromkeys(many, NONE))
    assert await stores.rooms.changed_since(cave.id, 2) is None
    assert await stores.rooms.changed_since(cave.id, 3) == {}
    await stores.rooms.affiliate(cave.id, {CRONE: MEMBER})
    assert await stores.rooms.changed_since(cave.id, 3) == {CRONE: replace(MEMBER, version=4)}


async def test_no_change_is_lost_among_many(stores: Stores, cave: RoomRecord) -> None:
    for round_ in range(5):
        everybody = people(20, 20 * round_)
        before = (await stores.rooms.load(CAVE) or cave).version
        versions = await asyncio.gather(
            *(stores.rooms.affiliate(cave.id, {jid: MEMBER}) for jid in everybody),
            *(stores.rooms.configure(cave.id, b"%d" % number) for number in range(5)),
        )
        assert sorted(version for version in versions if version is not None) == list(
            range(before + 1, before + 21)
        )
        assert set(everybody) <= (await lists(stores, CAVE)).keys()


async def test_no_change_is_lost_among_several_programs(durable: Engine) -> None:
    several = [await durable.open() for _ in range(3)]
    room = await create(several[0], CAVE)
    others = [await create(several[0], Jid(f"room{number}", CAVE.domain)) for number in range(5)]
    await several[0].rooms.affiliate(room.id, {CRONE: ADMIN})
    everybody = people(60)
    await asyncio.gather(
        *(
            several[number % 3].rooms.affiliate(room.id, {jid: MEMBER, WIZARD: ADMIN})
            for number, jid in enumerate(everybody)
        ),
        *(
            stores.rooms.affiliate(each.id, {jid: MEMBER})
            for each in others
            for stores, jid in zip(several, everybody[:3], strict=True)
        ),
        *(stores.rooms.forget(HECATE) for stores in several),
    )
    found = await several[1].rooms.load(CAVE)
    assert found is not None
    assert found.version == 2 + len(everybody) + 1
    assert {entry.version for entry in found.affiliations.values()} <= set(range(3, found.version + 1))
    assert await lists(several[1], CAVE) == {
        CRONE: Affiliation.OWNER,
        WIZARD: Affiliation.ADMIN,
        **dict.fromkeys(everybody, Affiliation.MEMBER),
    }
    for each in others:
        assert HECATE not in await lists(several[2], each.jid)
    await asyncio.gather(*(stores.close() for stores in several))


async def test_a_change_is_whole_or_not_at_all_to_who_reads(stores: Stores, cave: RoomRecord) -> None:
    """Two people hand the ownership to and fro: a reader always finds one of them."""

    async def write() -> None:
        for _ in range(20):
            await stores.rooms.affiliate(cave.id, {HECATE: MEMBER, CRONE: OWNER})
            await stores.rooms.affiliate(cave.id, {HECATE: OWNER, CRONE: MEMBER})

    async def read() -> None:
        for _ in range(40):
            room = await stores.rooms.load(CAVE)
            assert room is not None
            entries = room.affiliations.values()
            assert [entry.affiliation for entry in entries].count(Affiliation.OWNER) == 1
            assert {entry.version for entry in entries} == {room.version}
            changed = await stores.rooms.changed_since(cave.id, room.version - 1) or {}
            assert len({entry.version for entry in changed.values()}) == 1

    await stores.rooms.affiliate(cave.id, {HECATE: OWNER, CRONE: MEMBER})
    await asyncio.gather(write(), read(), read())


async def test_a_hundred_people_are_added_in_one_go(stores: Stores, cave: RoomRecord) -> None:
    took = []
    for start in range(0, 500, 100):
        began = time.perf_counter()
        await stores.rooms.affiliate(cave.id, dict.fromkeys(people(100, start), MEMBER))
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1, "it has to be done within 100 ms"


def _odd() -> list[Jid]:
    letters = [chr(code) for code in (*range(0x4E00, 0x9FA6), *range(0xAC00, 0xD7A4))]
    long = "".join(random.choices(letters, k=341)), "".join(random.choices(letters, k=341))
    return [
        Jid("юлія", "капулеті.укр"),
        Jid("נעמי", "דוגמה.example"),
        Jid("\U0001f600", "ß.example"),
        Jid("e\u0301", "x.example"),
        Jid("\u00e9", "x.example"),
        Jid("%_*?$1[]{}\\20", "x.example"),
        Jid(None, "x.example"),
        Jid(None, "[2001:db8::1]"),
        Jid(*long),  # 1,023 octets in each part
        Jid("a" * 1023, ".".join(["b" * 63] * 3)),
    ]


async def test_any_address_is_kept_as_it_is(stores: Stores, cave: RoomRecord) -> None:
    odd = _odd()
    nicks = {jid: Affiliated(Affiliation.MEMBER, nick=str(jid), reason=str(jid)) for jid in odd}
    await stores.rooms.affiliate(cave.id, nicks)
    room = await stores.rooms.load(CAVE)
    assert room is not None
    assert {jid: room.affiliations[jid] for jid in odd} == {
        jid: replace(entry, version=2) for jid, entry in nicks.items()
    }
    for jid in odd:
        assert await stores.rooms.memberships(jid) == [
            Membership(cave.id, CAVE, Affiliation.MEMBER, str(jid))
        ]
        await stores.rooms.forget(jid)
        assert await stores.rooms.memberships(jid) == []
        if jid.local is not None:
            made = await create(stores, jid)
            assert await stores.rooms.load(jid) == made
            assert [each.jid for each in await stores.rooms.list(jid.domain, after=None, limit=9)][-1:]


# ---- lists of rooms


@pytest_asyncio.fixture
async def listed(stores: Stores) -> list[Jid]:
    """The rooms of a domain in the order of code points, whatever the locale; and one of each of two others."""
    names = ("10", "9", "ab", "abc", "b", "zoë", "Ωmega", "\U0001f600")
    jids = [Jid(name, "b.example") for name in names]
    for jid in (*reversed(jids), Jid("x", "a.example"), Jid("x", "c.example")):
        await create(stores, jid)
    return jids


async def test_rooms_are_listed_in_order(stores: Stores, listed: list[Jid]) -> None:
    assert [room.jid for room in await stores.rooms.list("b.example", after=None, limit=100)] == listed
    assert await stores.rooms.list("d.example", after=None, limit=100) == []


async def test_pages_follow_one_another_without_gap_or_double(stores: Stores, listed: list[Jid]) -> None:
    seen: list[Jid] = []
    while page := await stores.rooms.list("b.example", after=seen[-1] if seen else None, limit=3):
        assert len(page) <= 3
        seen += [room.jid for room in page]
    assert seen == listed


async def test_a_page_may_start_behind_a_room_that_is_gone(stores: Stores, listed: list[Jid]) -> None:
    gone = await stores.rooms.load(listed[3])
    assert gone is not None
    await stores.rooms.destroy(gone.id)
    page = await stores.rooms.list("b.example", after=listed[3], limit=1)
    assert [room.jid for room in page] == [listed[4]]


async def test_a_line_says_how_many_belong_to_the_room(stores: Stores, cave: RoomRecord) -> None:
    await stores.rooms.affiliate(cave.id, {CRONE: ADMIN, WIZARD: OUTCAST, **dict.fromkeys(people(3), MEMBER)})
    await stores.rooms.affiliate(cave.id, {people(1)[0]: NONE})
    expected = RoomSummary(cave.id, CAVE, b"{}", members=4, created=1_000.0)
    assert await stores.rooms.list(CAVE.domain, after=None, limit=10) == [expected]


async def test_memberships_are_those_of_members(stores: Stores) -> None:
    names = ["Ωmega", "b", "a", "outcast", "left"]
    ranks = [MEMBER, ADMIN, Affiliated(Affiliation.OWNER, "Crönè"), OUTCAST, MEMBER]
    rooms = {}
    for name, rank in zip(names, ranks, strict=True):
        room = await create(stores, Jid(name, CAVE.domain), {HECATE: OWNER, CRONE: rank})
        rooms[name] = room.id
    await stores.rooms.affiliate(rooms["left"], {CRONE: NONE})
    assert await stores.rooms.memberships(CRONE) == [
        Membership(rooms["a"], Jid("a", CAVE.domain), Affiliation.OWNER, "Crönè"),
        Membership(rooms["b"], Jid("b", CAVE.domain), Affiliation.ADMIN, ""),
        Membership(rooms["Ωmega"], Jid("Ωmega", CAVE.domain), Affiliation.MEMBER, ""),
    ]
    assert await stores.rooms.memberships(WIZARD) == []


# ---- accounts that are deleted


async def test_an_account_that_is_gone_stands_in_no_list(stores: Stores) -> None:
    cave = await create(stores, CAVE, {HECATE: OWNER, CRONE: Affiliated(Affiliation.MEMBER, "Crone")})
    heath = await create(stores, HEATH, {HECATE: OWNER, CRONE: OUTCAST})
    await stores.rooms.forget(CRONE)
    assert await stores.rooms.memberships(CRONE) == []
    assert await stores.rooms.load(HEATH) == heath, "who was banned stays so, whoever has the address next"
    assert await stores.rooms.changed_since(cave.id, 1) == {CRONE: replace(NONE, version=2)}
    assert await lists(stores, CAVE) == {HECATE: Affiliation.OWNER}
    await stores.rooms.forget(CRONE)
    assert await stores.rooms.affiliate(cave.id, {WIZARD: MEMBER}) == 3


@pytest.mark.parametrize(
    ("left", "heir"),
    [
        ({CRONE: OWNER, WIZARD: ADMIN}, None),
        ({CRONE: MEMBER, WIZARD: ADMIN}, WIZARD),
        ({CRONE: MEMBER, WIZARD: OUTCAST}, CRONE),
        ({CRONE: OUTCAST}, None),
        ({}, None),
    ],
)
async def test_a_room_keeps_an_owner(stores: Stores, left: dict[Jid, Affiliated], heir: Jid | None) -> None:
    cave = await create(stores, CAVE, {HECATE: OWNER, **left})
    await stores.rooms.forget(HECATE)
    expected = {jid: replace(entry, version=1) for jid, entry in left.items()}
    if heir is not None:
        expected[heir] = replace(OWNER, version=2)
    assert await stores.rooms.load(CAVE) == replace(cave, version=2, affiliations=expected)
    changed = {HECATE: replace(NONE, version=2)} | ({heir: replace(OWNER, version=2)} if heir else {})
    assert await stores.rooms.changed_since(cave.id, 1) == changed


@pytest.mark.parametrize("rank", [ADMIN, MEMBER])
async def test_the_heir_has_been_it_for_longest(stores: Stores, rank: Affiliated) -> None:
    cave = await create(stores, CAVE)
    young, old, older = people(3)
    for jid in (older, old, young):
        await stores.rooms.affiliate(cave.id, {jid: rank})
    lower = MEMBER if rank is ADMIN else NONE
    await stores.rooms.affiliate(cave.id, {older: lower})  # and again: it is not the oldest any more
    await stores.rooms.affiliate(cave.id, {older: rank})
    nick = Affiliated(rank.affiliation, "Old one", "says he")
    await stores.rooms.affiliate(cave.id, {old: nick})  # which does not make it younger
    await stores.rooms.forget(HECATE)
    found = await stores.rooms.load(CAVE)
    assert found is not None
    assert found.affiliations == {
        young: replace(rank, version=4),
        old: Affiliated(Affiliation.OWNER, "Old one", "says he", 8),
        older: replace(rank, version=6),
    }


async def test_nobody_becomes_owner_for_a_member_who_goes(stores: Stores) -> None:
    await create(stores, CAVE, {CRONE: MEMBER, WIZARD: ADMIN})  # by an operator
    await stores.rooms.forget(CRONE)
    assert await lists(stores, CAVE) == {WIZARD: Affiliation.ADMIN}


async def test_one_account_may_be_in_many_rooms(stores: Stores) -> None:
    for number in range(50):
        heir = people(1, number)[0]
        await create(stores, Jid(f"room{number}", CAVE.domain), {HECATE: OWNER, heir: MEMBER})
    await create(stores, HEATH, {WIZARD: OWNER, HECATE: OWNER})
    await stores.rooms.forget(HECATE)
    assert await stores.rooms.memberships(HECATE) == []
    for number in range(50):
        assert await lists(stores, Jid(f"room{number}", CAVE.domain)) == {
            people(1, number)[0]: Affiliation.OWNER
        }
    assert await lists(stores, HEATH) == {WIZARD: Affiliation.OWNER}


async def test_who_is_forgotten_counts_among_those_who_went(stores: Stores, cave: RoomRecord) -> None:
    await stores.rooms.affiliate(cave.id, dict.fromkeys([*people(GONE), CRONE], MEMBER))
    await stores.rooms.affiliate(cave.id, dict.fromkeys(people(GONE), NONE))
    await stores.rooms.forget(CRONE)
    assert await stores.rooms.changed_since(cave.id, 2) is None
    assert await stores.rooms.changed_since(cave.id, 3) == {CRONE: replace(NONE, version=4)}


async def test_rooms_are_there_again_when_the_storage_is_opened_again(durable: Engine) -> None:
    stores = await durable.open()
    cave = await create(stores, CAVE)
    heath = await create(stores, HEATH)
    await stores.rooms.affiliate(cave.id, {CRONE: Affiliated(Affiliation.MEMBER, "Crone"), WIZARD: MEMBER})
    await stores.rooms.affiliate(cave.id, {WIZARD: NONE})
    await stores.rooms.set_subject(cave.id, Subject("Fair is foul", "Hecate", 2.5))
    await stores.rooms.set_picture(cave.id, b"<vCard/>")
    await stores.rooms.destroy(heath.id)
    before = await stores.rooms.load(CAVE), await stores.rooms.changed_since(cave.id, 0)
    await stores.close()
    stores = await durable.open()
    assert (await stores.rooms.load(CAVE), await stores.rooms.changed_since(cave.id, 0)) == before
    assert await stores.rooms.picture(cave.id) == b"<vCard/>"
    assert (await create(stores, HEATH)).id > heath.id
    await stores.close()
