"""XEP-0424, XEP-0425 in rooms: what its author or a moderator takes back is gone, also after a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.rooms import ROOM, attend, enter, forget, make_room, refused
from tests.support.talk import ADMIN, HAG, OWNER, name, rows, stored, tell
from tests.support.xml import matches, parse, show
from xmppd.jid import Jid
from xmppd.storage.interfaces import StorageUnavailable

MODERATE = "urn:xmpp:message-moderate:1"
RETRACT = "urn:xmpp:message-retract:1"
OCCUPANT = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
REASON = "This message contains inappropriate content for this forum"


@pytest_asyncio.fixture
async def server(store: HeldBack) -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        yield server
        store.recover()


async def three(server: Harness) -> tuple[Client, Client, Client]:
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, second, third)
    return first, second, third


def moderate(id: str, inside: str = f"<retract xmlns='{RETRACT}'/><reason>{REASON}</reason>") -> str:
    return (
        f"<iq type='set' to='{ROOM}' id='1'><moderate id='{id}' xmlns='{MODERATE}'>{inside}</moderate></iq>"
    )


def take_back(id: str, more: str = "") -> str:
    return (
        f"<message to='{ROOM}' type='groupchat' id='retract-message-1'><retract id='{id}' xmlns='{RETRACT}'>{more}"
        "</retract><body>/me retracted</body></message>"
    )


async def said(server: Harness, client: Client, text: str, more: str = "") -> str:
    """``client`` says ``text``; what the room calls that."""
    await client.send(tell(text, more))
    return name(client)


async def test_a_moderator_takes_back_what_another_said(server: Harness) -> None:
    # XEP-0425#usecase-success
    first, second, third = await three(server)
    secret = await said(server, third, "DM me for free magic potions!")
    forget(first, second, third)
    await server.advance(31)
    await first.send(moderate(secret))
    for client in (first, second, third):
        client.expect(
            f"<message type='groupchat' id='*' from='{ROOM}' to='{client.jid}'>"
            f"<retract id='{secret}' xmlns='{RETRACT}'><moderated by='{ROOM}/firstwitch' xmlns='{MODERATE}'>{OCCUPANT}"
            f"</moderated><reason>{REASON}</reason></retract>"
            f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='*'/></message>"
        )
    first.expect(f"<iq type='result' from='{ROOM}' to='{first.jid}' id='1'/>")
    # XEP-0425#tombstones
    [wanted] = parse(
        f"<message type='groupchat' from='{ROOM}/thirdwitch' id='DM me for free magic potions!'>{OCCUPANT}"
        f"<retracted id='*' stamp='2026-09-21T14:13:51.000Z' xmlns='{RETRACT}'>"
        f"<moderated by='{ROOM}/firstwitch' xmlns='{MODERATE}'>{OCCUPANT}</moderated><reason>{REASON}</reason>"
        "</retracted><x xmlns='http://jabber.org/protocol/muc#user'>"
        f"<item affiliation='none' role='participant' jid='{third.jid}'/></x></message>"
    )
    [tombstone] = parse((await rows(server))[0].stanza.decode())
    assert matches(wanted, tombstone), show(tombstone)
    assert await stored(server) == ["†", "-"]


async def test_others_do_not(server: Harness) -> None:
    # XEP-0425#usecase-error
    first, second, third = await three(server)
    secret = await said(server, third, "secret")
    forget(first, second, third)
    outside = await server.client(f"{OWNER}/outside")
    for client in (second, third, outside):
        await client.send(moderate(secret))
        client.expect(refused(client, "forbidden", "auth"))
    first.expect_nothing()
    assert await stored(server) == ["secret"]


@pytest.mark.parametrize(
    ("asked", "condition", "type"),
    [
        (moderate("nothing"), "item-not-found", "cancel"),
        (moderate(""), "bad-request", "modify"),
        (moderate("1", "<other xmlns='urn:other'/>"), "feature-not-implemented", "cancel"),
    ],
)
async def test_what_it_does_not_understand(server: Harness, asked: str, condition: str, type: str) -> None:
    first, _, _ = await three(server)
    await first.send(asked)
    first.expect(refused(first, condition, type))


async def test_what_is_gone_is_not_taken_back_again(server: Harness) -> None:
    first, second, third = await three(server)
    secret = await said(server, third, "secret")
    await first.send(moderate(secret))
    retraction = (await rows(server))[-1]
    forget(first, second)
    await first.send(moderate(secret))
    first.expect(f"<iq type='result' from='{ROOM}' to='{first.jid}' id='1'/>")
    second.expect_nothing()
    assert (await rows(server))[-1] == retraction
    room = await server.stores.rooms.load(Jid.parse(ROOM))
    assert room is not None
    await first.send(moderate(server.node.core.stanza_ids.text(room.id, retraction.id)))
    first.expect(refused(first, "not-allowed", "cancel"))


async def test_who_comes_later_does_not_hear_it(server: Harness) -> None:
    # XEP-0424#rules
    first, _, third = await three(server)
    secret = await said(server, third, "secret")
    await said(server, third, "harmless")
    await first.send(moderate(secret))
    late = await server.client("macbeth@shakespeare.lit/horse", available=True)
    await late.send(enter("macbeth"))
    messages = [each for each in late.received if each.name == "message"]
    assert messages[0].get("id") == "harmless"
    assert [each.child("retract", RETRACT) is None for each in messages] == [True, False, True]


async def test_its_author_takes_it_back(server: Harness) -> None:
    # XEP-0424#business-id: by the name that the room gave it
    first, _, third = await three(server)
    secret = await said(server, third, "secret", "<x xmlns='urn:leak'/>")
    forget(first)
    await third.send(take_back(secret))
    assert first.received[-1].child("retract", RETRACT) is not None
    assert await stored(server) == ["†", "/me retracted"]
    assert b"leak" not in (await rows(server))[0].stanza


async def test_also_under_another_nick_and_from_another_client(server: Harness) -> None:
    _, _, third = await three(server)
    secret = await said(server, third, "secret")
    await third.close()
    phone = await attend(server, f"{HAG}/phone", "oldhag")
    await phone.send(take_back(secret))
    assert await stored(server) == ["†", "/me retracted"]


async def test_nobody_else_does_that_way(server: Harness) -> None:
    # XEP-0424#rules: not even the owner, and not under the author's nick
    first, second, third = await three(server)
    secret = await said(server, third, "secret")
    await first.send(take_back(secret))
    await third.close()
    await second.send(f"<presence to='{ROOM}/thirdwitch'/>")
    await second.send(take_back(secret))
    assert await stored(server) == ["secret", "/me retracted", "/me retracted"]


async def test_nobody_claims_to_be_a_moderator(server: Harness) -> None:
    # XEP-0425#rules
    first, _, third = await three(server)
    secret = await said(server, third, "secret")
    forget(first, third)
    await third.send(take_back(secret, f"<moderated by='{ROOM}/firstwitch' xmlns='{MODERATE}'/>"))
    third.expect(refused(third, "forbidden", "auth", kind="message", id="retract-message-1"))
    first.expect_nothing()


async def test_corrections_hold_the_same_secret(server: Harness) -> None:
    # XEP-0308; whichever of them is named
    for which in (0, 1, 2):
        room = await three(server)
        third = room[2]
        names = [await said(server, third, f"secert{which}")]
        for number in (1, 2):
            more = f"<replace xmlns='urn:xmpp:message-correct:0' id='secert{which}'/>"
            names.append(await said(server, third, f"secret{which}{number}", more))
        await said(server, third, "harmless")
        await third.send(take_back(names[which]))
        for client in room:
            await client.close()
    assert await stored(server) == ["†", "†", "†", "harmless", "/me retracted"] * 3


async def test_what_a_crash_came_in_between_of_is_done_later(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, third = await three(server)
    secret = await said(server, third, "secret")
    other = await said(server, third, "other")

    async def away(self: object, *args: object) -> bool:
        raise StorageUnavailable("the disk is full")

    real = type(server.stores.archive).replace
    monkeypatch.setattr(type(server.stores.archive), "replace", away)
    await third.send(take_back(secret))
    await first.send(moderate(other))
    assert (await stored(server))[:2] == ["secret", "other"]
    monkeypatch.setattr(type(server.stores.archive), "replace", real)
    await server.restart(crash=True)
    server.node.start()
    await server.settle()
    assert await stored(server) == ["†", "†", "/me retracted", "-"]
    assert await server.stores.pending.list() == []


async def test_while_the_storage_is_away_it_is_tried_again(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, third = await three(server)
    secret = await said(server, third, "secret")

    async def away(self: object, *args: object) -> bool:
        raise StorageUnavailable("the disk is full")

    real = type(server.stores.archive).replace
    monkeypatch.setattr(type(server.stores.archive), "replace", away)
    await third.send(take_back(secret))
    await server.advance(10)
    assert (await stored(server))[0] == "secret"
    monkeypatch.setattr(type(server.stores.archive), "replace", real)
    await server.advance(10)
    assert (await stored(server))[0] == "†"


async def test_where_the_archive_is_away_the_moderator_is_told(server: Harness, store: HeldBack) -> None:
    first, second, third = await three(server)
    secret = await said(server, third, "secret")
    forget(first, second)
    store.fail("append")
    await first.send(moderate(secret))
    first.expect(refused(first, "resource-constraint", "wait"))
    second.expect_nothing()
    assert await stored(server) == ["secret"]
