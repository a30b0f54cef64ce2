"""XEP-0045#subject-mod, #enter-subject: what the room is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.clock import EPOCH
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.rooms import ROOM, attend, enter, forget, make_room, refused
from tests.support.talk import ADMIN, HAG, OCCUPANT, OWNER, rows, stored, tell, texts
from xmppd.clock import stamp
from xmppd.storage.rooms import Affiliation

FIRE = "Fire Burn and Cauldron Bubble!"


@pytest_asyncio.fixture
async def server(store: HeldBack) -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        yield server
        store.recover()


async def three(server: Harness, **settings: Any) -> tuple[Client, Client, Client]:
    await make_room(server, OWNER, {ADMIN: Affiliation.ADMIN}, **settings)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, second, third)
    return first, second, third


def about(text: str, more: str = "") -> str:
    return f"<message to='{ROOM}' type='groupchat' id='lh2bs617'><subject>{text}</subject>{more}</message>"


def changed(to: Client, text: str, nick: str = "secondwitch") -> str:
    return (
        f"<message from='{ROOM}/{nick}' to='{to.jid}' type='groupchat' id='lh2bs617'>"
        f"<subject>{text}</subject>{OCCUPANT}<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='*'/></message>"
    )


def current(to: Client, text: str, nick: str = "secondwitch", at: float = EPOCH) -> str:
    return (
        f"<message from='{ROOM}/{nick}' to='{to.jid}' type='groupchat'><subject>{text}</subject>"
        f"<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='{stamp(at)}'/></message>"
    )


async def test_a_moderator_changes_it(server: Harness) -> None:
    first, second, third = await three(server)
    await second.send(about(FIRE))
    for client in (first, second, third):
        client.expect(changed(client, FIRE))
        client.expect_nothing()


@pytest.mark.parametrize("allowed", [False, True])
async def test_others_change_it_where_they_may(server: Harness, allowed: bool) -> None:
    first, _, third = await three(server, occupants_change_subject=allowed)
    await third.send(about(FIRE))
    if allowed:
        first.expect(changed(first, FIRE, "thirdwitch"))
    else:
        third.expect(refused(third, "forbidden", "auth", kind="message", id="lh2bs617"))
        first.expect_nothing()
        third = await attend(server, f"{HAG}/phone", "other")
        assert third.received[-1].child("subject") == first_subject(third, "")


def first_subject(client: Client, text: str) -> object:
    [found] = [each.child("subject") for each in client.received if each.child("subject") is not None]
    assert found is not None
    assert found.text() == text
    return found


async def test_visitors_never_do(server: Harness) -> None:
    first, _, third = await three(server, occupants_change_subject=True, moderated=True)
    await third.send(about(FIRE))
    third.expect(refused(third, "forbidden", "auth", kind="message", id="lh2bs617"))
    first.expect_nothing()


async def test_who_comes_later_hears_it_behind_the_history(server: Harness) -> None:
    """XEP-0045#enter-subject: with who set it and when; changes of it are not in the history."""
    _, second, third = await three(server)
    await second.send(about("Toil and Trouble"))
    await third.send(tell("Harpier cries"))
    await server.advance(60)
    await second.send(about(FIRE))
    late = await server.client("macbeth@shakespeare.lit/horse", available=True)
    await late.send(enter("macbeth"))
    late.received = [each for each in late.received if each.name == "message"]
    body = late.received.pop(0).child("body")
    assert body is not None
    assert body.text() == "Harpier cries"
    late.expect(current(late, FIRE, at=EPOCH + 60))
    late.expect_nothing()


async def test_it_is_taken_away(server: Harness) -> None:
    """XEP-0045#enter-subject: also of one that is empty it is told since when."""
    first, second, _ = await three(server)
    await second.send(about(FIRE))
    forget(first)
    await server.advance(5)
    await second.send(about(""))
    first.expect(changed(first, ""))
    late = await attend(server, "macbeth@shakespeare.lit/horse", "macbeth")
    late.received = late.received[-1:]
    late.expect(current(late, "", at=EPOCH + 5))


async def test_it_outlives_the_server(server: Harness) -> None:
    _, second, _ = await three(server)
    await second.send(about(FIRE))
    await server.restart(crash=True)
    late = await attend(server, "macbeth@shakespeare.lit/horse", "macbeth")
    late.received = late.received[-1:]
    late.expect(current(late, FIRE))


@pytest.mark.parametrize("more", ["<body>Double</body>", "<thread>toil</thread>"])
async def test_a_message_may_have_one_of_its_own(server: Harness, more: str) -> None:
    first, _, third = await three(server)
    await third.send(about(FIRE, more))
    assert first.received[-1].child("subject") is not None
    late = await attend(server, "macbeth@shakespeare.lit/horse", "macbeth")
    assert late.received[-1].child("delay", "urn:xmpp:delay") is None, "the room has no subject"


async def test_it_is_no_book(server: Harness) -> None:
    first, second, _ = await three(server)
    await second.send(about("x" * 4_097))
    text = "a subject has 4096 characters at most; this has 4097"
    second.expect(refused(second, "policy-violation", "modify", text, kind="message", id="lh2bs617"))
    first.expect_nothing()
    await second.send(about("ü" * 4_096))
    assert first.received[-1].child("subject") is not None


async def test_its_changes_are_in_the_archive(server: Harness) -> None:
    """XEP-0313#business-storeret-muc-archives."""
    _, second, third = await three(server)
    await second.send(about(FIRE))
    await third.send(tell("Hail"))
    assert b"<subject>Fire" in (await rows(server))[0].stanza
    assert await stored(server) == ["-", "Hail"]


async def test_where_the_archive_is_away_all_hear_of_it_still(server: Harness, store: HeldBack) -> None:
    """The room's own record has it: nobody is told that it failed, and nobody misses it."""
    first, second, _ = await three(server)
    store.fail("append")
    await second.send(about(FIRE))
    assert first.received.pop().child("subject") is not None
    assert [each.get("type") for each in second.received] == ["groupchat"]
    store.recover()
    await second.send(tell("Hail"))
    assert texts(first) == ["Hail"]
