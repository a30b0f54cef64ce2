"""XEP-0045#exit: who leaves, and how the others hear of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.obstacle import Obstacle
from tests.support.rooms import MUC, ROOM, attend, enter, forget, make_room, seen, subject
from xmppd.jid import Jid

OWNER = "crone1@shakespeare.lit"
SECOND = "wiccarocks@shakespeare.lit"
HAG = "hag66@shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


async def three(server: Harness) -> tuple[Client, Client, Client]:
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{SECOND}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, second, third)
    return first, second, third


def leave(nick: str, inside: str = "") -> str:
    return f"<presence type='unavailable' to='{ROOM}/{nick}'>{inside}</presence>"


async def exists(server: Harness) -> bool:
    return await server.stores.rooms.load(Jid.parse(ROOM)) is not None


async def test_example_occupant_exits_a_room(server: Harness) -> None:
    await make_room(server, OWNER)
    first, second, third = await three(server)
    await third.send(leave("thirdwitch"))
    third.expect(seen(third, "thirdwitch", "none", "none", codes=(110,), gone=True))
    first.expect(seen(first, "thirdwitch", "none", "none", jid=third, gone=True))
    second.expect(seen(second, "thirdwitch", "none", "none", gone=True))
    # It is out.
    await first.send(f"<message to='{ROOM}' type='groupchat'><body>Thrice</body></message>")
    third.expect_nothing()
    await third.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>Thrice</body></message>")
    assert third.received[0].get("type") == "error"


async def test_example_custom_exit_message(server: Harness) -> None:
    await make_room(server, OWNER)
    first, _, third = await three(server)
    await third.send(leave("thirdwitch", "<status>gone where the goblins go</status>"))
    first.expect(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch' to='{first.jid}'>"
        "<status>gone where the goblins go</status><occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{MUC}#user'><item affiliation='none' role='none' jid='{third.jid}'/></x></presence>"
    )


async def test_who_becomes_unavailable_leaves_every_room(server: Harness) -> None:
    """RFC 6121#4.6.3: with what it says to all."""
    await make_room(server, OWNER)
    await make_room(server, OWNER, room="heath@muc.shakespeare.lit")
    first, _, third = await three(server)
    await first.send(enter("firstwitch", room="heath@muc.shakespeare.lit"))
    await third.send(enter("hag", room="heath@muc.shakespeare.lit"))
    forget(first)
    await third.send("<presence type='unavailable'><status>anon</status></presence>")
    assert sorted(str(got.get("from")) for got in first.received) == [
        f"{ROOM}/thirdwitch",
        "heath@muc.shakespeare.lit/hag",
    ]
    for got in first.received:
        status = got.child("status")
        assert got.get("type") == "unavailable"
        assert status is not None
        assert status.text() == "anon"


async def test_leaving_under_an_old_nick_is_leaving(server: Harness) -> None:
    await make_room(server, OWNER)
    first, _, third = await three(server)
    await third.send(f"<presence to='{ROOM}/oldhag'/>")
    forget(first)
    await third.send(leave("thirdwitch"))
    first.expect(seen(first, "oldhag", "none", "none", jid=third, gone=True))


async def test_one_of_several_clients_leaves(server: Harness) -> None:
    """It hears so; for the others its person is still there."""
    await make_room(server, OWNER)
    first, second, third = await three(server)
    phone = await attend(server, f"{HAG}/phone", "thirdwitch")
    forget(first, second, third, phone)
    await phone.send(leave("thirdwitch", "<status>enough</status>"))
    phone.expect(
        f"<presence type='unavailable' from='{ROOM}/thirdwitch' to='{phone.jid}'><status>enough</status>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{MUC}#user'><item affiliation='none' role='none'/><status code='110'/></x></presence>"
    )
    first.expect(seen(first, "thirdwitch", "none", "participant", jid=third))
    second.expect(seen(second, "thirdwitch", "none", "participant"))
    third.expect(seen(third, "thirdwitch", "none", "participant", codes=(110,)))
    phone.expect_nothing()


async def test_who_is_not_in_the_room_cannot_leave_it(server: Harness) -> None:
    """XEP-0045#bizrules-presence: silently ignored."""
    await make_room(server, OWNER)
    first, _, third = await three(server)
    stranger = await server.client("king@shakespeare.lit/throne", available=True)
    await stranger.send(leave("thirdwitch"))
    for each in (stranger, first, third):
        each.expect_nothing()


async def test_a_temporary_room_ends_with_the_last_who_leaves(server: Harness) -> None:
    await make_room(server, OWNER, persistent=False)
    first, second, third = await three(server)
    await first.send(leave("firstwitch"))
    await second.send(leave("secondwitch"))
    assert await exists(server)
    await third.send(leave("thirdwitch"))
    assert not await exists(server)
    forget(third)
    await third.send(enter("thirdwitch"))
    third.expect(
        seen(third, "thirdwitch", "owner", "moderator", jid=third, codes=(110, 170, 201)), subject(third)
    )


async def test_a_persistent_room_stays(server: Harness) -> None:
    await make_room(server, OWNER, persistent=True)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    await first.send(leave("firstwitch"))
    assert await exists(server)
    forget(first)
    await first.send(enter("firstwitch"))
    first.expect(seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170)), subject(first))


async def test_who_comes_as_the_last_one_leaves_finds_the_room_or_a_new_one(server: Harness) -> None:
    """Never one that is half gone."""
    await make_room(server, OWNER, persistent=False)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    third = await server.client(f"{HAG}/pda", available=True)
    first.send_nowait(leave("firstwitch"))
    await third.send(enter("thirdwitch"))
    assert third.received[-1].name == "message"
    forget(third)
    await third.send(f"<presence to='{ROOM}/thirdwitch'><show>away</show></presence>")
    assert third.received[-1].child("show") is not None, "it is there"
    assert await exists(server)


async def test_a_room_that_cannot_be_destroyed_now_goes_on() -> None:
    away = Obstacle("rooms", "destroy")
    async with Harness("shakespeare.lit", wrap=away.wrap) as server:
        await make_room(server, OWNER, persistent=False)
        first = await attend(server, f"{OWNER}/desktop", "firstwitch")
        away.away = True
        await first.send(leave("firstwitch"))
        assert await exists(server)
        away.away = False
        forget(first)
        await first.send(enter("firstwitch"))
        first.expect(
            seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170)), subject(first)
        )
        await first.send(leave("firstwitch"))
        assert not await exists(server)


async def test_rooms_leave_the_cache_when_nobody_is_in_them() -> None:
    """And not before, however small it is."""
    async with Harness("shakespeare.lit", toml="[extensions.muc]\ncached_rooms = 1") as server:
        rooms = [f"room{number}@muc.shakespeare.lit" for number in range(5)]
        for room in rooms:
            await make_room(server, OWNER, room=room, persistent=True)
        first = await server.client(f"{OWNER}/desktop", available=True)
        third = await server.client(f"{HAG}/pda", available=True)
        for room in rooms:
            await first.send(enter("firstwitch", room=room))
        for room in rooms:
            await third.send(enter("thirdwitch", room=room))
            assert first.received[-1].get("from") == f"{room}/thirdwitch"
        for client, nick in ((first, "firstwitch"), (third, "thirdwitch")):
            for room in rooms:
                await client.send(f"<presence type='unavailable' to='{room}/{nick}'/>")
        forget(first)
        for room in rooms:
            await first.send(enter("firstwitch", room=room))
            first.expect(
                seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170), room=room),
                subject(first, room),
            )
