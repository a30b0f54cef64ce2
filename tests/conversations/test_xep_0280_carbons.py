"""XEP-0280: which messages are copied to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness

ROMEO = "romeo@montague.lit"
JULIET = "juliet@capulet.lit/balcony"


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("montague.lit", "capulet.lit") as harness:
        yield harness


async def client(server: Harness, resource: str, *, carbons: bool, priority: int = 0) -> Client:
    """One of Romeo's clients."""
    romeo = await server.client(f"{ROMEO}/{resource}")
    if carbons:
        await switch(romeo, "enable")
    await romeo.send(f"<presence><priority>{priority}</priority></presence>")
    romeo.received.clear()
    return romeo


async def switch(romeo: Client, name: str) -> None:
    await romeo.send(f"<iq type='set' id='1'><{name} xmlns='urn:xmpp:carbons:2'/></iq>")
    assert romeo.received.pop().get("type") == "result"


def copy(direction: str, to: str, type: str, message: str) -> str:
    forwarded = message.replace("<message", "<message xmlns='jabber:client'", 1)
    return (
        f"<message from='{ROMEO}' to='{ROMEO}/{to}' type='{type}'><{direction} xmlns='urn:xmpp:carbons:2'>"
        f"<forwarded xmlns='urn:xmpp:forward:0'>{forwarded}</forwarded></{direction}></message>"
    )


BODY = "<body>What man art thou?</body><thread>0e31</thread>"


async def test_what_one_client_gets_is_copied_to_the_others(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    phone = await client(server, "phone", carbons=False)
    garden.received.clear()
    home.received.clear()
    juliet = await server.client(JULIET)
    await juliet.send(f"<message to='{ROMEO}/garden' type='chat' id='m1' xml:lang='it'>{BODY}</message>")
    message = (
        f"<message from='{JULIET}' to='{ROMEO}/garden' type='chat' id='m1' xml:lang='it'>{BODY}</message>"
    )
    garden.expect(message)
    home.expect(copy("received", "home", "chat", message))
    for each in (garden, home, phone, juliet):
        each.expect_nothing()


async def test_what_one_client_sends_is_copied_to_the_others(server: Harness) -> None:
    home = await client(server, "home", carbons=False)
    garden = await client(server, "garden", carbons=True)
    tower = await client(server, "tower", carbons=True)
    phone = await client(server, "phone", carbons=False)
    for each in (home, garden, tower):
        each.received.clear()
    juliet = await server.client(JULIET)
    await home.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
    message = f"<message from='{ROMEO}/home' to='{JULIET}' type='chat'>{BODY}</message>"
    juliet.expect(message)
    garden.expect(copy("sent", "garden", "chat", message))
    tower.expect(copy("sent", "tower", "chat", message))
    for each in (home, phone, garden, tower, juliet):
        each.expect_nothing()


async def test_the_sender_gets_no_copy_of_its_own(server: Harness) -> None:
    home = await client(server, "home", carbons=True)
    await client(server, "phone", carbons=False)
    home.received.clear()
    await server.client(JULIET)
    await home.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
    home.expect_nothing()


async def test_who_got_the_message_itself_gets_no_copy(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    away = await client(server, "away", carbons=True, priority=-1)
    garden.received.clear()
    home.received.clear()
    juliet = await server.client(JULIET)
    await juliet.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")
    message = f"<message from='{JULIET}' to='{ROMEO}' type='chat'>{BODY}</message>"
    garden.expect(message)
    home.expect(message)
    # a client that wants no messages of its own still gets copies
    away.expect(copy("received", "away", "chat", message))
    for each in (garden, home, away):
        each.expect_nothing()


async def test_what_is_kept_for_later_is_copied_to_who_would_not_get_it_then(server: Harness) -> None:
    away = await client(server, "away", carbons=True, priority=-1)
    silent = await server.client(f"{ROMEO}/silent")
    await switch(silent, "enable")
    juliet = await server.client(JULIET)
    await juliet.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")
    away.expect(
        copy(
            "received", "away", "chat", f"<message from='{JULIET}' to='{ROMEO}' type='chat'>{BODY}</message>"
        )
    )
    silent.expect_nothing()
    await silent.send("<presence/>")
    assert [element.name for element in silent.received].count("message") == 1


async def test_carbons_can_be_switched_as_often_as_one_likes(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    garden.received.clear()
    juliet = await server.client(JULIET)
    for switches, copies in ((["enable"], 1), (["disable", "disable"], 0), (["enable", "enable"], 1)):
        for name in switches:
            await switch(home, name)
        await juliet.send(f"<message to='{ROMEO}/garden' type='chat'>{BODY}</message>")
        assert len(home.received) == copies
        home.received.clear()


@pytest.mark.parametrize("whose", [ROMEO, "nobody@montague.lit"])
@pytest.mark.parametrize("name", ["enable", "disable"])
async def test_nobody_switches_another_ones_carbons(server: Harness, name: str, whose: str) -> None:
    """And nobody learns from the answer whether there is such an account."""
    await client(server, "garden", carbons=True)
    juliet = await server.client(JULIET)
    await juliet.send(f"<iq type='set' to='{whose}' id='1'><{name} xmlns='urn:xmpp:carbons:2'/></iq>")
    (got,) = juliet.received
    error = got.child("error")
    assert error is not None
    assert error.get("type") == "cancel"
    assert error.child("not-allowed", "urn:ietf:params:xml:ns:xmpp-stanzas") is not None


STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"
MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
DIRECT = "<x xmlns='jabber:x:conference' jid='darkcave@chat.lit'/>"
MEDIATED = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.lit'/></x>"
ROOM = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
PRIVATE = "<private xmlns='urn:xmpp:carbons:2'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"


@pytest.mark.parametrize(
    ("type", "payload", "sent", "received"),
    [
        ("chat", BODY, True, True),
        ("chat", "<subject>x</subject>", True, True),
        ("normal", BODY, True, True),
        ("normal", "<subject>x</subject>", False, False),
        ("normal", "<request xmlns='urn:xmpp:receipts'/>", True, True),
        ("normal", STATE, True, True),
        ("normal", RECEIPT, True, True),
        ("normal", MARKER, True, True),
        ("headline", BODY, False, False),
        ("groupchat", BODY, False, False),
        ("groupchat", STATE, False, False),
        ("normal", DIRECT, True, True),
        ("normal", MEDIATED, True, True),
        (
            "normal",
            "<x xmlns='http://jabber.org/protocol/muc#user'><decline from='a@b.lit'/></x>",
            False,
            False,
        ),
        ("chat", BODY + ROOM, True, False),
        ("chat", BODY + PRIVATE, False, False),
        ("chat", BODY + NO_COPY, False, False),
        ("chat", BODY + PRIVATE + NO_COPY, False, False),
        ("normal", DIRECT + PRIVATE, False, False),
    ],
)
async def test_which_messages_are_copied(
    server: Harness, type: str, payload: str, sent: bool, received: bool
) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    garden.received.clear()
    juliet = await server.client(JULIET)
    await garden.send(f"<message to='{JULIET}' type='{type}'>{payload}</message>")
    assert len(home.received) == sent
    home.received.clear()
    juliet.received.clear()
    await juliet.send(f"<message to='{ROMEO}/garden' type='{type}'>{payload}</message>")
    assert len(garden.received) == 1
    assert len(home.received) == received


async def test_the_private_marks_travel_on(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    juliet = await server.client(JULIET)
    await garden.send(f"<message to='{JULIET}' type='chat'>{BODY}{PRIVATE}{NO_COPY}</message>")
    juliet.expect(
        f"<message from='{ROMEO}/garden' to='{JULIET}' type='chat'>{BODY}{PRIVATE}{NO_COPY}</message>"
    )


async def test_errors_are_copied_where_the_message_was(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    garden.received.clear()
    juliet = await server.client(JULIET)
    error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    # Juliet's client answers what he sent
    await garden.send(f"<message to='{JULIET}' type='chat' id='a'>{BODY}</message>")
    home.received.clear()
    await juliet.send(f"<message to='{ROMEO}/garden' type='error' id='a'>{error}</message>")
    bounce = f"<message from='{JULIET}' to='{ROMEO}/garden' type='error' id='a'>{error}</message>"
    garden.expect(bounce)
    home.expect(copy("received", "home", "error", bounce))
    # his answers what Juliet sent
    await juliet.send(f"<message to='{ROMEO}/garden' type='chat' id='b'>{BODY}</message>")
    home.received.clear()
    await garden.send(f"<message to='{JULIET}' type='error' id='b'>{error}</message>")
    bounce = f"<message from='{ROMEO}/garden' to='{JULIET}' type='error' id='b'>{error}</message>"
    home.expect(copy("sent", "home", "error", bounce))
    # and this answers nothing that was copied
    await garden.send(f"<message to='{JULIET}' type='headline' id='c'>{BODY}</message>")
    await juliet.send(f"<message to='{ROMEO}/garden' type='error' id='c'>{error}</message>")
    home.expect_nothing()


async def test_a_copy_that_bounces_ends_there(server: Harness) -> None:
    await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    juliet = await server.client(JULIET)
    await juliet.send(f"<message to='{ROMEO}/garden' type='chat' id='a'>{BODY}</message>")
    juliet.received.clear()
    await home.send(f"<message to='{ROMEO}' type='error'><error type='cancel'/></message>")
    juliet.expect_nothing()


async def test_a_message_that_is_refused_is_not_copied(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    garden.received.clear()
    await garden.send(f"<message to='nobody@capulet.lit' type='chat'>{BODY}</message>")
    home.expect_nothing()


async def test_a_note_to_oneself_comes_once(server: Harness) -> None:
    garden = await client(server, "garden", carbons=True)
    home = await client(server, "home", carbons=True)
    tower = await client(server, "tower", carbons=True)
    for each in (garden, home):
        each.received.clear()
    await garden.send(f"<message to='{ROMEO}/home' type='chat'>{BODY}</message>")
    message = f"<message from='{ROMEO}/garden' to='{ROMEO}/home' type='chat'>{BODY}</message>"
    home.expect(message)
    tower.expect(copy("received", "tower", "chat", message))
    await garden.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")
    message = f"<message from='{ROMEO}/garden' to='{ROMEO}' type='chat'>{BODY}</message>"
    for each in (garden, home, tower):
        each.expect(message)
        each.expect_nothing()


async def test_copies_reach_clients_on_other_nodes() -> None:
    async with Harness("montague.lit", "capulet.lit", nodes=2) as server:
        garden = await client(server, "garden", carbons=True)
        home = await server.client(f"{ROMEO}/home", node=1)
        await switch(home, "enable")
        juliet = await server.client(JULIET)
        await garden.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
        message = f"<message from='{ROMEO}/garden' to='{JULIET}' type='chat'>{BODY}</message>"
        juliet.expect(message)
        home.expect(copy("sent", "home", "chat", message))


async def test_support_is_announced(server: Harness) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(
        "<iq type='get' to='capulet.lit' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    features = [feature.get("var") for feature in next(juliet.received[0].elements()).each("feature")]
    assert "urn:xmpp:carbons:2" in features
    assert "urn:xmpp:carbons:rules:0" in features
