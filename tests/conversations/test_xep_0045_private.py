"""XEP-0045#privatemessage: what one occupant says to another alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.history import ask
from tests.support.kept import HeldBack
from tests.support.rooms import ROOM, attend, forget, make_room, refused
from tests.support.talk import ADMIN, HAG, OCCUPANT, OWNER, origin, rows, texts
from xmppd.storage.rooms import Affiliation

X = "<x xmlns='http://jabber.org/protocol/muc#user'/>"


@pytest_asyncio.fixture
async def server(store: HeldBack) -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        yield server
        store.recover()
        store.let_go()


async def three(server: Harness, **settings: Any) -> tuple[Client, Client, Client]:
    await make_room(server, OWNER, **settings)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, second, third)
    return first, second, third


def whisper(nick: str, more: str = X, type: str = "chat") -> str:
    body = "<body>I'll give thee a wind.</body>"
    return f"<message to='{ROOM}/{nick}' type='{type}' id='hgn27af1'>{body}{more}</message>"


def whispered(to: Client, nick: str = "secondwitch") -> str:
    return (
        f"<message from='{ROOM}/{nick}' to='{to.jid}' type='chat' id='hgn27af1'>"
        f"<body>I'll give thee a wind.</body>{OCCUPANT}{X}"
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='{to.jid.bare}' id='*'/></message>"
    )


@pytest.mark.parametrize("more", [X, ""])
async def test_it_reaches_that_one_alone(server: Harness, more: str) -> None:
    first, second, third = await three(server)
    await second.send(whisper("firstwitch", more))
    first.expect(whispered(first))
    for client in (first, second, third):
        client.expect_nothing()


async def test_nobody_forges_what_the_room_says_in_it(server: Harness) -> None:
    first, second, _ = await three(server)
    forged = (
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='king@shakespeare.lit'/></x>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>"
    )
    await second.send(whisper("firstwitch", forged))
    first.expect(whispered(first))


@pytest.mark.parametrize(
    ("message", "condition", "type", "nick"),
    [
        (whisper("firstwitch", type="groupchat"), "bad-request", "modify", "firstwitch"),
        (whisper("nobody"), "item-not-found", "cancel", "nobody"),
    ],
)
async def test_what_cannot_be_said(
    server: Harness, message: str, condition: str, type: str, nick: str
) -> None:
    first, second, _ = await three(server)
    await second.send(message)
    second.expect(refused(second, condition, type, kind="message", id="hgn27af1", room=f"{ROOM}/{nick}"))
    first.expect_nothing()


async def test_who_is_not_there_says_nothing(server: Harness) -> None:
    first, _, _ = await three(server)
    stranger = await server.client("macbeth@shakespeare.lit/horse")
    await stranger.send(whisper("firstwitch"))
    stranger.expect(
        refused(
            stranger, "not-acceptable", "modify", kind="message", id="hgn27af1", room=f"{ROOM}/firstwitch"
        )
    )
    first.expect_nothing()


@pytest.mark.parametrize(
    ("who", "visitor", "participant", "moderator"),
    [
        ("anyone", True, True, True),
        ("participants", False, True, True),
        ("moderators", False, False, True),
        ("none", False, False, False),
    ],
)
async def test_who_may_is_the_owners_to_say(
    server: Harness, who: str, visitor: bool, participant: bool, moderator: bool
) -> None:
    await make_room(server, OWNER, {ADMIN: Affiliation.MEMBER}, private_messages=who, moderated=True)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    for client, allowed in ((third, visitor), (second, participant), (first, moderator)):
        forget(first, second, third)
        to = second if client is first else first
        await client.send(whisper("secondwitch" if client is first else "firstwitch"))
        assert bool(texts(to)) is allowed
        if not allowed:
            [error] = client.received
            assert error.get("type") == "error"
            assert error.child("error").child("forbidden", "urn:ietf:params:xml:ns:xmpp-stanzas") is not None  # type: ignore[union-attr]


async def test_all_clients_of_the_occupant_get_it_under_one_name(server: Harness) -> None:
    """XEP-0045#enter-conflict: they share the nick. One row, and no copies for clients that are not there."""
    first, second, _ = await three(server)
    phone = await attend(server, f"{OWNER}/phone", "firstwitch")
    outside = await server.client(f"{OWNER}/outside", available=True)
    await outside.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    forget(first, second, phone, outside)
    await second.send(whisper("firstwitch"))
    names = set()
    for client in (first, phone):
        [got] = client.received
        named = got.child("stanza-id", "urn:xmpp:sid:0")
        assert named is not None
        names.add(named.attrs["id"])
        client.expect(whispered(client))
    assert len(names) == 1
    outside.expect_nothing()
    assert len((await ask(outside)).names) == 1


async def test_their_other_clients_hear_what_the_sender_said(server: Harness) -> None:
    first, second, _ = await three(server)
    phone = await server.client(f"{ADMIN}/phone", available=True)
    await phone.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    forget(first, second, phone)
    await second.send(whisper("firstwitch"))
    [copy] = phone.received
    assert copy.child("sent", "urn:xmpp:carbons:2") is not None


async def test_it_is_history_of_who_gets_it_and_not_of_the_room(server: Harness) -> None:
    """XEP-0313#business-storeret-muc-archives, XEP-0313#filter-jid."""
    first, second, third = await three(server)
    await second.send(whisper("firstwitch"))
    await third.send(whisper("firstwitch"))
    assert await rows(server) == []
    forget(first)
    shown = await ask(first, with_=f"{ROOM}/secondwitch")
    assert [message.get("from") for message in shown.messages] == [f"{ROOM}/secondwitch"]
    assert len((await ask(first)).names) == 2


async def test_its_sender_is_acknowledged_when_it_is_stored(server: Harness, store: HeldBack) -> None:
    """DESIGN I1."""
    first, second, _ = await three(server)
    await second.enable()
    store.hold("append")
    second.send_nowait(whisper("firstwitch") + "<r xmlns='urn:xmpp:sm:3'/>")
    await server.pass_by()
    first.expect_nothing()
    second.expect_nothing()
    store.let_go()
    await server.settle()
    assert texts(first) == ["I'll give thee a wind."]
    assert [each.get("h") for each in second.received if each.name == "a"] == ["1"]
    store.fail("append")
    await second.send(whisper("firstwitch"))
    second.received = second.received[-1:]
    second.expect(
        refused(
            second, "resource-constraint", "wait", kind="message", id="hgn27af1", room=f"{ROOM}/firstwitch"
        )
    )


async def test_who_blocks_an_occupant_gets_nothing(server: Harness) -> None:
    first, second, _ = await three(server)
    await first.send(
        f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{ROOM}/secondwitch'/></block></iq>"
    )
    forget(first, second)
    await second.send(whisper("firstwitch"))
    first.expect_nothing()
    second.expect(
        refused(
            second,
            "service-unavailable",
            "cancel",
            None,
            kind="message",
            id="hgn27af1",
            room=f"{ROOM}/firstwitch",
        )
    )


async def test_it_is_history_of_its_sender_too(server: Harness) -> None:
    """As each knows it: neither learns the other's address."""
    first, second, _ = await three(server)
    await second.send(whisper("firstwitch"))
    for client, sender, to in (
        (second, str(second.jid), f"{ROOM}/firstwitch"),
        (first, f"{ROOM}/secondwitch", str(first.jid)),
    ):
        forget(client)
        [kept] = (await ask(client)).messages
        assert (kept.get("from"), kept.get("to")) == (sender, to)


async def test_what_is_sent_again_comes_once(server: Harness) -> None:
    """DESIGN I2."""
    first, second, _ = await three(server)
    message = whisper("firstwitch", X + origin("a"))
    await second.send(message)
    await second.close()
    forget(first)
    second = await attend(server, f"{ADMIN}/phone", "secondwitch")
    forget(first, second)
    await second.send(message)
    first.expect_nothing()
    second.expect_nothing()
    assert len((await ask(first)).names) == len((await ask(second)).names) == 1


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_it_comes_once_whatever_the_storage_did(server: Harness, store: HeldBack, point: str) -> None:
    """Its sender was told that it failed, and sends it again."""
    first, second, _ = await three(server)
    message = whisper("firstwitch", X + origin("a"))
    store.fail(point)
    await second.send(message)
    assert [each.get("type") for each in second.received] == ["error"]
    store.recover()
    forget(second)
    await second.send(message)
    await server.advance(60)
    assert texts(first) == ["I'll give thee a wind."]
    second.expect_nothing()
    assert len((await ask(first)).names) == len((await ask(second)).names) == 1


async def test_nobody_takes_back_what_another_whispered(server: Harness) -> None:
    """XEP-0424#rules: all who whisper in a room have one bare address."""
    first, second, third = await three(server)
    await second.send(whisper("firstwitch"))
    await third.send(
        f"<message to='{ROOM}/firstwitch' type='chat' id='r'>"
        "<retract id='hgn27af1' xmlns='urn:xmpp:message-retract:1'/><body>/me</body></message>"
    )
    forget(first)
    assert (await ask(first)).bodies == ["I'll give thee a wind.", "/me"]
