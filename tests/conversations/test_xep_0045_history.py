"""XEP-0045#enter-history, #enter-managehistory: what was said before one came."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.clock import EPOCH
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.rooms import ROOM, attend, enter, forget, make_room, no_entry, subject
from tests.support.talk import HAG, OWNER, history, tell, texts, told
from xmppd.clock import stamp
from xmppd.xml.writer import to_bytes


@pytest_asyncio.fixture
async def server(store: HeldBack) -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        yield server
        store.recover()
        store.let_go()


async def said(server: Harness, *texts: object) -> Client:
    """The first witch says ``texts``, a minute apart, the first one at ``EPOCH``."""
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    for text in texts:
        await first.send(tell(text))
        await server.advance(60)
    forget(first)
    return first


async def hag(server: Harness) -> Client:
    return await server.client(f"{HAG}/pda", available=True)


async def test_who_enters_hears_what_was_said_and_then_the_subject(server: Harness) -> None:
    await said(server, "Thrice", "Thrice and once")
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    third.received = [each for each in third.received if each.name == "message"]
    third.expect(
        told(third, "firstwitch", "Thrice", late=stamp(EPOCH)),
        told(third, "firstwitch", "Thrice and once", late=stamp(EPOCH + 60)),
        subject(third),
    )
    third.expect_nothing()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("maxstanzas='2'", "45"),
        ("maxstanzas='0'", ""),
        ("maxchars='0'", ""),
        ("maxstanzas='65000'", "12345"),
        ("seconds='181'", "345"),
        ("seconds='180'", "345"),
        ("seconds='179'", "45"),
        ("seconds='0'", ""),
        ("seconds='99999999999999999999999'", "12345"),
        (f"since='{stamp(EPOCH + 180)}'", "45"),
        (f"since='{stamp(EPOCH + 180.001)}'", "5"),
        ("since='1970-01-01T00:00:00Z'", "12345"),
        ("since='2100-01-01T00:00:00Z'", ""),
        (f"since='{stamp(EPOCH + 60)}' maxstanzas='2'", "45"),
        (f"since='{stamp(EPOCH + 180)}' maxstanzas='4'", "45"),
        ("maxchars='100000'", "12345"),
        ("maxchars='1'", ""),
        ("", "12345"),
    ],
)
async def test_the_client_says_how_much(server: Harness, wanted: str, expected: str) -> None:
    await said(server, 1, 2, 3, 4, 5)
    third = await hag(server)
    assert "".join(await history(server, third, "thirdwitch", f"<history {wanted}/>")) == expected


async def test_characters_are_those_of_whole_stanzas(server: Harness) -> None:
    await said(server, "Thrice the brinded cat", "Thrice and once the hedge-pig whined.", "ü")
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    sizes = [
        len(to_bytes(each, "jabber:client").decode())
        for each in third.received
        if each.child("body") is not None
    ]
    for chars, count in ((sizes[2], 1), (sizes[2] - 1, 0), (sum(sizes), 3), (sum(sizes) - 1, 2)):
        await third.send(f"<presence type='unavailable' to='{ROOM}/thirdwitch'/>")
        forget(third)
        got = await history(server, third, "thirdwitch", f"<history maxchars='{chars}'/>")
        assert len(got) == count, f"{chars} of {sizes}"


@pytest.mark.parametrize(
    "wanted", ["maxstanzas='many'", "maxchars='-1'", "seconds='1.5'", "since='yesterday'", "maxstanzas=''"]
)
async def test_what_is_no_number_is_refused_before_anything_is_done(server: Harness, wanted: str) -> None:
    first = await said(server, 1)
    third = await hag(server)
    await third.send(enter("thirdwitch", f"<history {wanted}/>"))
    third.expect(no_entry(third, "thirdwitch", "bad-request", "modify"))
    third.expect_nothing()
    first.expect_nothing()


async def test_a_room_says_how_much_at_most(server: Harness) -> None:
    heath = "heath@muc.shakespeare.lit"
    await make_room(server, OWNER, room=heath, history=2)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch", room=heath)
    for text in (1, 2, 3):
        await first.send(tell(text, to=heath))
    third = await hag(server)
    await third.send(enter("thirdwitch", "<history maxstanzas='10'/>", room=heath))
    assert texts(third) == ["2", "3"]


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_what_is_said_while_one_enters_comes_once_and_in_order(
    server: Harness, store: HeldBack, point: str
) -> None:
    """Also what is in the archive already, though its writer does not know yet."""
    first = await said(server, 1)
    third = await hag(server)
    store.hold(point)
    first.send_nowait(tell(2) + tell(3))
    await server.pass_by()
    third.send_nowait(enter("thirdwitch"))
    await server.pass_by()
    first.send_nowait(tell(4))
    await server.pass_by()
    store.let_go()
    await server.settle()
    assert texts(third) == ["1", "2", "3", "4"]
    assert texts(first) == ["2", "3", "4"]


async def test_none_at_all_still_lets_live_messages_through(server: Harness) -> None:
    first = await said(server, 1)
    third = await hag(server)
    assert await history(server, third, "thirdwitch", "<history maxchars='0'/>") == []
    await first.send(tell(2))
    third.expect(told(third, "firstwitch", 2))


async def test_that_somebody_has_read_it_is_no_discussion(server: Harness) -> None:
    first = await said(server, 1)
    for _ in range(30):
        await first.send(
            f"<message to='{ROOM}' type='groupchat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>"
        )
    await first.send(
        f"<message to='{ROOM}' type='groupchat' id='2'><encrypted xmlns='urn:xmpp:omemo:2'/>"
        "<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>"
    )
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    assert [each.get("id") for each in third.received if each.name == "message"] == ["1", "2", None]
