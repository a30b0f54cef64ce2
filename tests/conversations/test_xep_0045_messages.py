"""XEP-0045#message: everybody in a room sees what is said there, once, in one order, and not before it is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.rooms import ROOM, attend, enter, forget, make_room, refused
from tests.support.talk import ADMIN, HAG, OCCUPANT, OWNER, origin, rows, stored, tell, texts, told
from xmppd.storage.archive import Row


@pytest_asyncio.fixture
async def server(store: HeldBack) -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        yield server
        store.recover()
        store.let_go()


async def three(server: Harness) -> tuple[Client, Client, Client]:
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, second, third)
    return first, second, third


async def test_an_occupant_says_something_to_all(server: Harness) -> None:
    first, second, third = await three(server)
    await third.send(tell("Harpier cries: 'tis time, 'tis time.", id="hysf1v37"))
    for client in (first, second, third):
        client.expect(told(client, "thirdwitch", "Harpier cries: 'tis time, 'tis time.", id="hysf1v37"))
        client.expect_nothing()


async def test_who_is_not_there_says_nothing(server: Harness) -> None:
    first, _, _ = await three(server)
    stranger = await server.client("macbeth@shakespeare.lit/horse")
    await stranger.send(tell("Hail", id="1"))
    stranger.expect(refused(stranger, "not-acceptable", "modify", kind="message"))
    first.expect_nothing()


async def test_who_has_no_voice_says_nothing(server: Harness) -> None:
    await make_room(server, OWNER, room="heath@muc.shakespeare.lit", moderated=True)
    heath = "heath@muc.shakespeare.lit"
    first = await attend(server, f"{OWNER}/desktop", "firstwitch", room=heath)
    third = await attend(server, f"{HAG}/pda", "thirdwitch", room=heath)
    forget(first, third)
    await third.send(tell("Hail", id="1", to=heath))
    third.expect(refused(third, "forbidden", "auth", kind="message", room=heath))
    first.expect_nothing()
    assert await stored(server, heath) == []


async def test_a_room_that_is_not_configured_yet_takes_nothing(server: Harness) -> None:
    heath = "heath@muc.shakespeare.lit"
    first = await attend(server, f"{OWNER}/desktop", "firstwitch", room=heath)
    forget(first)
    await first.send(tell("Hail", id="1", to=heath))
    first.expect(refused(first, "item-not-found", "cancel", kind="message", room=heath))


async def test_nobody_speaks_in_the_name_of_the_room(server: Harness) -> None:
    first, _, third = await three(server)
    forged = (
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='forged'/>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>"
        "<x xmlns='http://jabber.org/protocol/muc#user'><item jid='king@shakespeare.lit'/></x>"
        f"<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2002-10-13T23:58:37Z'/>"
    )
    await third.send(tell("Hail", forged + "<x xmlns='jabber:x:oob'/>"))
    first.expect(told(first, "thirdwitch", "Hail", "<x xmlns='jabber:x:oob'/>"))
    assert b"forged" not in first_row(await rows(server))
    assert b"king" not in first_row(await rows(server))


def first_row(found: list[Row]) -> bytes:
    return found[0].stanza


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_nobody_sees_it_before_it_is_stored(server: Harness, store: HeldBack, point: str) -> None:
    """DESIGN I1: the acknowledgement waits as well, and the order is kept."""
    first, second, third = await three(server)
    await third.enable()
    store.hold(point)
    third.send_nowait(tell(1) + tell(2) + "<r xmlns='urn:xmpp:sm:3'/>")
    second.send_nowait(tell(3))
    await server.pass_by()
    for client in (first, second, third):
        client.expect_nothing()
    store.let_go()
    await server.settle()
    assert texts(first) == texts(second) == ["1", "2", "3"]
    acknowledged = [each.get("h") for each in third.received if each.name == "a"]
    assert acknowledged == ["2"]
    assert texts(third) == ["1", "2", "3"]


async def test_where_nothing_can_be_stored_its_sender_is_told_and_nobody_sees_it(
    server: Harness, store: HeldBack
) -> None:
    first, _, third = await three(server)
    store.fail("append")
    await third.send(tell(1))
    third.expect(refused(third, "resource-constraint", "wait", kind="message"))
    store.recover()
    await server.advance(60)
    first.expect_nothing()
    await third.send(tell(2))
    assert texts(first) == ["2"]
    assert await stored(server) == ["2"]


async def test_what_was_stored_though_nobody_knew_comes_to_all_in_order(
    server: Harness, store: HeldBack
) -> None:
    """DESIGN I3: it is seen by what comes behind it."""
    first, second, third = await three(server)
    store.fail("append.done")
    await third.send(tell(1))
    third.expect(refused(third, "resource-constraint", "wait", kind="message"))
    store.recover()
    first.expect_nothing()
    await second.send(tell(2))
    for client in (first, second, third):
        assert texts(client) == ["1", "2"]


async def test_also_where_nothing_comes_behind_it(server: Harness, store: HeldBack) -> None:
    first, _, third = await three(server)
    store.fail("append.done")
    await third.send(tell(1))
    forget(third)
    store.recover()
    await server.advance(15)
    assert texts(first) == texts(third) == ["1"]
    await server.advance(60)
    first.expect_nothing()


async def test_who_enters_before_that_sees_it_once(server: Harness, store: HeldBack) -> None:
    first, _, third = await three(server)
    store.fail("append.done")
    await third.send(tell(1))
    store.recover()
    macbeth = await server.client("macbeth@shakespeare.lit/horse")
    await macbeth.send(enter("macbeth"))
    await first.send(tell(2))
    await server.advance(15)
    assert texts(macbeth) == ["1", "2"]
    assert texts(first) == ["1", "2"]


async def test_what_is_sent_again_is_told_to_its_sender_alone(server: Harness) -> None:
    """DESIGN I2."""
    first, _, third = await three(server)
    await third.send(tell(1, origin("a")) + tell(2, origin("b")))
    await third.close()
    forget(first)
    third = await attend(server, f"{HAG}/phone", "thirdwitch")
    forget(first, third)
    await third.send(tell(1, origin("a")) + tell(2, origin("b")) + tell(3, origin("c")))
    assert sorted(texts(third)) == ["1", "2", "3"]
    assert texts(first) == ["3"]
    assert await stored(server) == ["1", "2", "3"]


async def test_what_another_says_under_the_same_origin_id_is_another_message(server: Harness) -> None:
    first, second, third = await three(server)
    await third.send(tell(1, origin("a")))
    await second.send(tell(1, origin("a")))
    assert texts(first) == ["1", "1"]


async def test_where_nobody_had_seen_the_first_try_all_see_the_second(
    server: Harness, store: HeldBack
) -> None:
    """It was stored, but its sender was told otherwise; the session is no new one any more."""
    first, _, third = await three(server)
    await third.send(tell(0, origin("z")))
    await server.advance(601)
    await third.send(tell(1, origin("y")))
    forget(first, third)
    store.fail("append.done")
    await third.send(tell(2, origin("a")))
    third.expect(refused(third, "resource-constraint", "wait", kind="message", id="2"))
    store.recover()
    await third.send(tell(2, origin("a")))
    assert texts(third) == texts(first) == ["2"]
    await server.advance(60)
    first.expect_nothing()
    assert await stored(server) == ["0", "1", "2"]


async def test_a_room_may_keep_nothing(server: Harness) -> None:
    heath = "heath@muc.shakespeare.lit"
    await make_room(server, OWNER, room=heath, archived=False)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch", room=heath)
    forget(first)
    await first.send(tell(1, to=heath))
    assert texts(first) == ["1"]
    assert await stored(server, heath) == []


@pytest.mark.parametrize(
    ("inside", "kept"),
    [
        ("<body>1</body>", True),
        ("<body>1</body><no-store xmlns='urn:xmpp:hints'/>", False),
        ("<body>1</body><no-permanent-store xmlns='urn:xmpp:hints'/>", False),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", False),
        ("<x xmlns='urn:other'/><store xmlns='urn:xmpp:hints'/>", True),
        ("<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>+</reaction></reactions>", True),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", True),
        ("<encrypted xmlns='eu.siacs.conversations.axolotl'/>", True),
    ],
)
async def test_what_is_kept_is_what_its_content_says(server: Harness, inside: str, kept: bool) -> None:
    """XEP-0334#hints; all of it reaches those who are there."""
    first, _, third = await three(server)
    await third.send(f"<message to='{ROOM}' type='groupchat' id='1'>{inside}</message>")
    named = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='*'/>" if kept else ""
    first.expect(
        f"<message from='{ROOM}/thirdwitch' to='{first.jid}' type='groupchat' id='1'>"
        f"{inside}{OCCUPANT}{named}</message>"
    )
    assert len(await rows(server)) == int(kept)


async def test_what_is_not_kept_stays_behind_what_is(server: Harness, store: HeldBack) -> None:
    first, _, third = await three(server)
    store.hold("append")
    third.send_nowait(tell(1) + tell(2, "<no-store xmlns='urn:xmpp:hints'/>"))
    await server.pass_by()
    first.expect_nothing()
    store.let_go()
    await server.settle()
    assert texts(first) == ["1", "2"]


async def test_slow_mode(server: Harness) -> None:
    """XEP-0500: by person, not for admins, only texts, and not for what is sent again."""
    heath = "heath@muc.shakespeare.lit"
    await make_room(server, OWNER, room=heath, slow_seconds=20)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch", room=heath)
    third = await attend(server, f"{HAG}/pda", "thirdwitch", room=heath)
    phone = await attend(server, f"{HAG}/phone", "fourthwitch", room=heath)
    forget(first, third, phone)
    await third.send(tell(1, origin("a"), to=heath) + tell(2, id="1", to=heath))
    await phone.send(tell(3, id="1", to=heath))
    await third.send(
        f"<message to='{heath}' type='groupchat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    slow = "this room is in slow mode: wait 20 seconds between two messages"
    assert texts(first) == ["1"]
    third.received = [each for each in third.received if each.get("type") == "error"]
    third.expect(refused(third, "policy-violation", "wait", slow, kind="message", room=heath))
    await third.send(tell(1, origin("a"), to=heath))
    assert texts(third) == ["1"], "it hears what it heard the first time"
    await first.send(tell(4, to=heath) + tell(5, to=heath))
    assert texts(first) == ["4", "5"]
    await server.advance(20)
    await phone.send(tell(6, to=heath))
    assert texts(first) == ["6"]
    assert await stored(server, heath) == ["1", "4", "5", "6"]


async def test_slow_mode_counts_nothing_that_failed(server: Harness, store: HeldBack) -> None:
    heath = "heath@muc.shakespeare.lit"
    await make_room(server, OWNER, room=heath, slow_seconds=20)
    third = await attend(server, f"{HAG}/pda", "thirdwitch", room=heath)
    store.fail("append")
    forget(third)
    await third.send(tell(1, to=heath))
    assert [each.get("type") for each in third.received] == ["error"]
    store.recover()
    forget(third)
    await third.send(tell(1, to=heath))
    assert texts(third) == ["1"]
