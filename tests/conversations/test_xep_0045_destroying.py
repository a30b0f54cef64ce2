"""XEP-0045#destroyroom, and the end of temporary rooms: nothing of a room is left, and all there hear it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.obstacle import Obstacle
from tests.support.owners import configure, instant, order, settings
from tests.support.rooms import USER, attend, done, enter, forget, make_room, refused, seen
from xmppd.jid import Jid
from xmppd.storage.archive import Query
from xmppd.storage.rooms import FIRST_ROOM, Affiliation

CRONE, WICCA, HAG = "crone1@shakespeare.lit", "wiccarocks@shakespeare.lit", "hag66@shakespeare.lit"
HEATH, COVEN = "heath@muc.shakespeare.lit", "coven@muc.shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        await make_room(server, CRONE, {WICCA: Affiliation.MEMBER}, room=HEATH, persistent=True)
        yield server


@pytest_asyncio.fixture
async def people(server: Harness) -> tuple[Client, Client, Client]:
    """Owner, member, and who is nothing."""
    first = await attend(server, f"{CRONE}/desktop", "firstwitch", room=HEATH)
    second = await attend(server, f"{WICCA}/laptop", "secondwitch", room=HEATH)
    third = await attend(server, f"{HAG}/pda", "thirdwitch", room=HEATH)
    forget(first, second, third)
    return first, second, third


def ended(to: Client, nick: str, destroy: str, jid: str = "") -> str:
    """What ``to`` hears of the end of the room."""
    return (
        f"<presence type='unavailable' from='{HEATH}/{nick}' to='{to.jid}'>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{USER}'><item affiliation='none' role='none'{jid}/><status code='110'/>{destroy}</x>"
        "</presence>"
    )


async def exists(server: Harness, room: str = HEATH) -> bool:
    return await server.stores.rooms.load(Jid.parse(room)) is not None


async def test_each_occupant_hears_why_and_where_they_meet_from_now_on(
    server: Harness, people: tuple[Client, Client, Client]
) -> None:
    first, second, third = people
    destroy = f"<destroy jid='{COVEN}'><password>cauldronburn</password><reason>Macbeth doth come.</reason></destroy>"
    await first.send(order(destroy, id="begone", room=HEATH))
    first.expect(
        ended(first, "firstwitch", destroy, f" jid='{first.jid}'"), done(first, "begone", room=HEATH)
    )
    second.expect(ended(second, "secondwitch", destroy))
    third.expect(ended(third, "thirdwitch", destroy))
    for client in people:
        client.expect_nothing()
    assert not await exists(server)


async def test_without_a_reason_they_hear_only_that_it_ended(people: tuple[Client, Client, Client]) -> None:
    first, second, _ = people
    await first.send(order("<destroy/>", room=HEATH))
    second.expect(ended(second, "secondwitch", "<destroy/>"))


async def test_an_owner_need_not_be_there(server: Harness) -> None:
    away = await server.client(f"{CRONE}/desktop")
    await away.send(order("<destroy/>", room=HEATH))
    away.expect(done(away, room=HEATH))
    assert not await exists(server)


@pytest.mark.parametrize("who", [1, 2])
async def test_nobody_but_an_owner_destroys_a_room(
    server: Harness, people: tuple[Client, Client, Client], who: int
) -> None:
    other = people[who]
    await other.send(order(f"<destroy jid='{COVEN}'/>", id="destroytest", room=HEATH))
    other.expect(refused(other, "forbidden", "auth", id="destroytest", room=HEATH))
    people[0].expect_nothing()
    assert await exists(server)


async def test_a_venue_that_is_no_address_is_malformed(
    server: Harness, people: tuple[Client, Client, Client]
) -> None:
    first = people[0]
    await first.send(order("<destroy jid='@'/>", room=HEATH))
    first.expect(refused(first, "jid-malformed", "modify", room=HEATH))
    assert await exists(server)


async def test_a_room_of_that_name_begins_anew(
    server: Harness, people: tuple[Client, Client, Client]
) -> None:
    first, _, third = people
    await first.send(f"<message type='groupchat' to='{HEATH}'><body>Anon!</body></message>")
    await first.send(order("<destroy/>", room=HEATH))
    assert not await server.stores.archive.read(FIRST_ROOM, Query(), limit=10)
    forget(third)
    await third.send(enter("thirdwitch", room=HEATH))
    third.expect(
        seen(third, "thirdwitch", "owner", "moderator", jid=third, codes=(110, 170, 201), room=HEATH),
        f"<message type='groupchat' from='{HEATH}' to='{third.jid}'><subject/></message>",
    )
    third.expect_nothing()


async def test_what_comes_behind_the_end_meets_no_room(people: tuple[Client, Client, Client]) -> None:
    first, second, third = people
    first.send_nowait(order("<destroy/>", room=HEATH))
    second.send_nowait(f"<message type='groupchat' id='m' to='{HEATH}'><body>Wait!</body></message>")
    await third.send(f"<presence type='unavailable' to='{HEATH}/thirdwitch'/>")
    second.expect(ended(second, "secondwitch", "<destroy/>"))
    second.expect(refused(second, "item-not-found", "cancel", id="m", room=HEATH, kind="message"))
    third.expect(ended(third, "thirdwitch", "<destroy/>"))
    third.expect_nothing()


# Temporary rooms


async def open_room(server: Harness, jid: str = f"{CRONE}/desktop") -> Client:
    """A temporary one."""
    first = await server.client(jid, available=True)
    await first.send(enter("firstwitch", room=COVEN))
    await first.send(instant(room=COVEN))
    first.received.clear()
    return first


async def test_a_temporary_room_ends_with_the_last_who_leaves(server: Harness) -> None:
    first = await open_room(server)
    second = await attend(server, f"{WICCA}/laptop", "secondwitch", room=COVEN)
    await first.send(f"<presence type='unavailable' to='{COVEN}/firstwitch'/>")
    assert await exists(server, COVEN)
    await second.close()
    assert not await exists(server, COVEN)


async def test_a_persistent_room_stays(server: Harness, people: tuple[Client, Client, Client]) -> None:
    for client in people:
        await client.close()
    assert await exists(server)


async def test_an_empty_room_that_becomes_temporary_ends(server: Harness) -> None:
    away = await server.client(f"{CRONE}/desktop")
    await configure(away, room=HEATH, persistentroom=0)
    assert not await exists(server)


async def test_a_temporary_room_that_loses_all_its_people_ends(server: Harness) -> None:
    first = await open_room(server)
    second = await attend(server, f"{WICCA}/laptop", "secondwitch", room=COVEN)
    await first.send(f"<presence type='unavailable' to='{COVEN}/firstwitch'/>")
    await configure(first, room=COVEN, membersonly=1)
    assert second.received[-1].get("type") == "unavailable"
    assert not await exists(server, COVEN)


async def test_temporary_rooms_that_a_crash_left_behind_end(server: Harness) -> None:
    await open_room(server)
    await server.restart(crash=True)
    assert await exists(server, COVEN)
    other = "cave@muc.shakespeare.lit"
    second = await server.client(f"{WICCA}/laptop", available=True)
    await second.send(enter("secondwitch", room=other))  # somebody is in this one
    server.node.core.retention.start()
    await server.settle()
    server.node.core.retention.stop()
    assert [await exists(server, room) for room in (COVEN, HEATH, other)] == [False, True, True]


async def test_who_enters_a_room_that_was_left_behind_keeps_it(server: Harness) -> None:
    await open_room(server)
    await server.restart(crash=True)
    second = await attend(server, f"{WICCA}/laptop", "secondwitch", room=COVEN)
    await server.advance(3600)
    server.node.core.retention.start()
    await server.settle()
    server.node.core.retention.stop()
    assert await exists(server, COVEN)
    second.received.clear()
    await second.send(f"<message type='groupchat' to='{COVEN}'><body>Hail!</body></message>")
    assert second.received[-1].get("type") == "groupchat"


async def test_a_room_that_is_being_made_is_not_taken_for_one_that_was_left_behind() -> None:
    counting, loading = Obstacle("rooms", "memberships"), Obstacle("rooms", "load")
    async with Harness("shakespeare.lit", wrap=lambda stores: counting.wrap(loading.wrap(stores))) as server:
        first = await server.client(f"{CRONE}/desktop", available=True)
        counting.hold()
        first.send_nowait(enter("firstwitch", room=COVEN))
        await server.pass_by()
        loading.hold()
        counting.let_go()
        await server.pass_by()
        assert len(await server.stores.rooms.list("muc.shakespeare.lit", after=None, limit=2)) == 1
        server.node.core.retention.start()
        await server.pass_by()
        loading.let_go()
        await server.settle()
        server.node.core.retention.stop()
        first.expect(
            seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170, 201), room=COVEN)
        )
        assert await exists(server, COVEN)


# While the storage is away


@pytest.mark.parametrize(("method", "wish"), [("destroy", "<destroy/>"), ("configure", "")])
async def test_what_cannot_be_stored_does_not_happen(method: str, wish: str) -> None:
    storage = Obstacle("rooms", method)
    async with Harness("shakespeare.lit", wrap=storage.wrap) as server:
        await make_room(server, CRONE, room=HEATH)
        first = await attend(server, f"{CRONE}/desktop", "firstwitch", room=HEATH)
        third = await attend(server, f"{HAG}/pda", "thirdwitch", room=HEATH)
        forget(first, third)
        asked = order(wish, room=HEATH) if wish else settings({"membersonly": 1}, room=HEATH)
        storage.away = True
        await first.send(asked)
        assert first.received.pop().get("type") == "error"
        third.expect_nothing()
        await third.send(f"<message type='groupchat' to='{HEATH}'><body>Hail!</body></message>")
        assert first.received.pop().name == "message"
        storage.away = False
        third.received.clear()
        await first.send(asked)
        assert third.received.pop().get("type") == "unavailable"
