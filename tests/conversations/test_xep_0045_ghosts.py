"""XEP-0045#impl-service-ghosts: who is gone is in no room, however it went; who only sleeps is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.obstacle import Obstacle
from tests.support.rooms import ROOM, attend, enter, forget, make_room, seen, subject
from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

OWNER = "crone1@shakespeare.lit"
SECOND = "wiccarocks@shakespeare.lit"
HAG = "hag66@shakespeare.lit"
DELIVERY_ERRORS = [
    "gone", "item-not-found", "recipient-unavailable", "redirect", "remote-server-not-found", "remote-server-timeout",
]  # fmt: skip


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        await make_room(server, OWNER)
        yield server


async def two(server: Harness) -> tuple[Client, Client]:
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, third)
    return first, third


def error(kind: str, condition: str, to: str) -> str:
    return (
        f"<{kind} type='error' to='{to}'><error type='cancel'>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{kind}>"
    )


def say(text: str) -> str:
    return f"<message to='{ROOM}' type='groupchat' id='{text}'><body>{text}</body></message>"


def gone(first: Client, third: Client, *codes: int) -> str:
    return seen(first, "thirdwitch", "none", "none", jid=third, gone=True, codes=codes)


async def test_a_connection_is_lost(server: Harness) -> None:
    first, third = await two(server)
    await third.close()
    first.expect(gone(first, third))
    first.expect_nothing()


async def test_another_connection_takes_the_resource(server: Harness) -> None:
    """The room does not take the new one for the old one: it has to enter itself."""
    first, third = await two(server)
    again = await server.client(f"{HAG}/pda", available=True)
    first.expect(gone(first, third))
    await first.send(say("1"))
    again.expect_nothing()
    forget(first)
    await again.send(enter("thirdwitch"))
    first.expect(seen(first, "thirdwitch", "none", "participant", jid=third))
    first.expect_nothing()
    forget(again)
    await first.send(say("2"))
    assert [got.get("id") for got in again.received] == ["2"]


async def test_a_session_sleeps_and_goes_on(server: Harness) -> None:
    """XEP-0198: it stays in the room, and gets all that was said and shown."""
    first, third = await two(server)
    await third.enable()
    await third.close()
    first.expect_nothing()
    await first.send(say("1"))
    await first.send(f"<presence to='{ROOM}/firstwitch'><show>away</show></presence>")
    await first.send(say("2"))
    back = server.unbound(str(third.jid))
    await back.resume(third, 0)
    assert [(got.name, got.get("id")) for got in back.received if got.name != "r"] == [
        ("message", "1"), ("presence", None), ("message", "2"),
    ]  # fmt: skip
    forget(first, back)
    await back.send(say("3"))
    for each in (first, back):
        (got,) = each.received
        assert got.get("from") == f"{ROOM}/thirdwitch"


async def test_a_session_sleeps_too_long(server: Harness) -> None:
    first, third = await two(server)
    await third.enable()
    await third.close()
    first.expect_nothing()
    assert third.session.sm is not None
    await server.advance(third.session.sm.seconds + 1)
    first.expect(gone(first, third))


async def test_a_session_sleeps_through_more_than_is_kept_for_it() -> None:
    """DESIGN I6: its queue is full, it is over and out of the room; nobody waits for it."""
    toml = "[limits]\nsm_queue_stanzas = 10\n"
    async with Harness("shakespeare.lit", toml=toml) as server:
        await make_room(server, OWNER)
        first, third = await two(server)
        await third.enable()
        await third.close()
        for number in range(30):
            await first.send(say(str(number)))
        assert [got.get("id") for got in first.received if got.name == "message"] == [
            str(number) for number in range(30)
        ]
        assert [got.get("type") for got in first.received if got.name == "presence"] == ["unavailable"]


@pytest.mark.parametrize("condition", DELIVERY_ERRORS)
async def test_a_message_to_a_client_comes_back(condition: str, server: Harness) -> None:
    first, third = await two(server)
    await third.send(error("message", condition, f"{ROOM}/firstwitch"))
    first.expect(gone(first, third, 307, 333))
    third.expect(seen(third, "thirdwitch", "none", "none", gone=True, codes=(110, 307, 333)))


async def test_a_presence_to_a_client_comes_back(server: Harness) -> None:
    first, third = await two(server)
    await third.send(error("presence", "remote-server-timeout", f"{ROOM}/firstwitch"))
    first.expect(gone(first, third, 307, 333))


async def test_a_client_did_not_like_a_message(server: Harness) -> None:
    """That says nothing of whether it is there."""
    first, third = await two(server)
    for condition in ("not-acceptable", "policy-violation", "feature-not-implemented"):
        await third.send(error("message", condition, f"{ROOM}/firstwitch"))
    first.expect_nothing()
    third.expect_nothing()


async def test_errors_of_strangers_mean_nothing(server: Harness) -> None:
    first, third = await two(server)
    stranger = await server.client(f"{SECOND}/laptop", available=True)
    for kind in ("message", "presence"):
        await stranger.send(error(kind, "gone", f"{ROOM}/thirdwitch"))
        await stranger.send(error(kind, "gone", ROOM))
        await stranger.send(error(kind, "gone", "nowhere@muc.shakespeare.lit/x"))
    for each in (first, third, stranger):
        each.expect_nothing()


async def test_a_session_ends_while_it_enters() -> None:
    """It waits for its history: then it leaves as soon as it has come."""
    store = Obstacle("archive", "read")
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        first = await attend(server, f"{OWNER}/desktop", "firstwitch")
        third = await server.client(f"{HAG}/pda", available=True)
        forget(first)
        store.hold()
        third.send_nowait(enter("thirdwitch"))
        await server.pass_by()
        third.cut()
        await server.pass_by()
        store.let_go()
        await server.settle()
        assert [got.get("type") for got in first.received] == [None, "unavailable"]
        await first.send(say("1"))
        assert first.received[-1].get("id") == "1", "the room goes on"


async def test_a_session_is_displaced_while_it_waits_to_enter() -> None:
    """Its turn comes when it is over: it does not enter at all."""
    store = Obstacle("archive", "read")
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        first = await attend(server, f"{OWNER}/desktop", "firstwitch")
        second = await server.client(f"{SECOND}/laptop", available=True)
        third = await server.client(f"{HAG}/pda", available=True)
        forget(first)
        store.hold()
        second.send_nowait(enter("secondwitch"))
        await server.pass_by()
        third.send_nowait(enter("thirdwitch"))
        third.fail(StreamError("connection-timeout"))
        await server.pass_by()
        store.let_go()
        await server.settle()
        nicks = {str(got.get("from")) for got in first.received if got.get("type") is None}
        left = {str(got.get("from")) for got in first.received if got.get("type") == "unavailable"}
        assert nicks - left == {f"{ROOM}/secondwitch"}


async def test_a_session_in_many_rooms_leaves_them_all(server: Harness) -> None:
    rooms = [f"room{number}@muc.shakespeare.lit" for number in range(200)]
    first, third = await two(server)
    for room in rooms:
        await make_room(server, OWNER, room=room)
        first.send_nowait(enter("firstwitch", room=room))
        third.send_nowait(enter("thirdwitch", room=room))
    await server.settle()
    forget(first)
    await third.close()
    assert sorted(
        str(got.get("from")) for got in first.received if got.get("type") == "unavailable"
    ) == sorted(f"{room}/thirdwitch" for room in (ROOM, *rooms))


async def test_who_blocks_a_room_is_out_of_it(server: Harness) -> None:
    """XEP-0191: and gets nothing from it any more, nor into it."""
    first, third = await two(server)
    await third.send(
        f"<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='{ROOM}'/></block></iq>"
    )
    third.expect(f"<iq type='result' id='1' from='{HAG}' to='{third.jid}'/>")
    third.expect_nothing()
    first.expect(gone(first, third))
    await first.send(say("1"))
    await third.send(enter("thirdwitch"))
    assert [got.get("type") for got in third.received] == ["error"]


async def test_who_blocks_an_occupant_hears_nothing_of_that_one(server: Harness) -> None:
    """XEP-0191: its address in the room is an address like others."""
    first, third = await two(server)
    second = await attend(server, f"{SECOND}/laptop", "secondwitch")
    blocked = f"{ROOM}/secondwitch"
    await third.send(
        f"<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='{blocked}'/></block></iq>"
    )
    forget(first, second, third)
    await second.send(say("1"))
    await second.send(f"<presence to='{blocked}'><show>away</show></presence>")
    third.expect_nothing()
    await first.send(say("2"))
    assert [got.get("id") for got in third.received] == ["2"]


async def test_an_account_is_deleted(server: Harness) -> None:
    """Its clients leave; rooms forget it, and have an owner all the same."""
    await make_room(server, HAG, {SECOND: Affiliation.MEMBER}, room="heath@muc.shakespeare.lit")
    second = await attend(server, f"{SECOND}/laptop", "secondwitch", room="heath@muc.shakespeare.lit")
    third = await attend(server, f"{HAG}/pda", "thirdwitch", room="heath@muc.shakespeare.lit")
    forget(second)
    await server.node.core.administration.delete(Jid.parse(HAG))
    await server.settle()
    second.expect(
        seen(second, "thirdwitch", "owner", "none", gone=True, room="heath@muc.shakespeare.lit"),
        seen(
            second,
            "secondwitch",
            "owner",
            "moderator",
            jid=second,
            codes=(110,),
            room="heath@muc.shakespeare.lit",
        ),
    )
    second.expect_nothing()
    assert third.error is not None
    # Whoever gets the address next is nobody there.
    again = await server.client(f"{HAG}/pda", available=True)
    await again.send(enter("thirdwitch", room="heath@muc.shakespeare.lit"))
    again.expect(
        seen(again, "secondwitch", "owner", "moderator", room="heath@muc.shakespeare.lit"),
        seen(again, "thirdwitch", "none", "participant", codes=(110, 170), room="heath@muc.shakespeare.lit"),
        subject(again, "heath@muc.shakespeare.lit"),
    )


async def test_nobody_is_in_a_room_after_a_restart(server: Harness) -> None:
    _, third = await two(server)
    await server.restart()
    again = await server.client(str(third.jid), available=True)
    await again.send(enter("thirdwitch"))
    again.expect(seen(again, "thirdwitch", "none", "participant", codes=(110, 170)), subject(again))
