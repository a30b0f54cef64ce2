"""XEP-0410, XEP-0045#bizrules-iq: am I still in the room? And what occupants ask each other through it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, attend, forget, make_room, refused
from tests.support.talk import HAG, OWNER

PING = "<ping xmlns='urn:xmpp:ping'/>"
VERSION = "<query xmlns='jabber:iq:version'/>"


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


def get(nick: str, payload: str = PING, id: str = "s2c1", room: str = ROOM) -> str:
    return f"<iq type='get' id='{id}' to='{room}/{nick}'>{payload}</iq>"


def answer(to: Client, nick: str, payload: str = "", id: str = "s2c1") -> str:
    return f"<iq type='result' id='{id}' from='{ROOM}/{nick}' to='{to.jid}'>{payload}</iq>"


def not_there(to: Client, nick: str, room: str = ROOM) -> str:
    return refused(to, "not-acceptable", "modify", id="s2c1", room=f"{room}/{nick}")


async def test_who_is_there_is_told_so_at_once(server: Harness) -> None:
    """Nobody else is asked, such as another client that may not be reached (XEP-0410#serveroptimization)."""
    first, _ = await two(server)
    phone = await attend(server, f"{OWNER}/phone", "firstwitch")
    forget(first, phone)
    await first.send(get("firstwitch"))
    first.expect(answer(first, "firstwitch"))
    first.expect_nothing()
    phone.expect_nothing()


async def test_who_is_not_there_is_told_so(server: Harness) -> None:
    first, _ = await two(server)
    other = await server.client(f"{OWNER}/other")
    await other.send(get("firstwitch"))
    other.expect(not_there(other, "firstwitch"))
    await first.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    forget(first)
    await first.send(get("firstwitch"))
    first.expect(not_there(first, "firstwitch"))


async def test_also_where_the_room_is_gone(server: Harness) -> None:
    """``item-not-found`` would tell that it is there under another nick (XEP-0410#performingselfping)."""
    heath = "heath@muc.shakespeare.lit"
    other = await server.client(f"{OWNER}/other")
    await other.send(get("firstwitch", room=heath))
    other.expect(not_there(other, "firstwitch", heath))


async def test_under_the_nick_that_it_has_by_now(server: Harness) -> None:
    first, _ = await two(server)
    await first.send(f"<presence to='{ROOM}/oldhag'/>")
    forget(first)
    await first.send(get("firstwitch"))
    first.expect(refused(first, "item-not-found", "cancel", id="s2c1", room=f"{ROOM}/firstwitch"))
    await first.send(get("oldhag"))
    first.expect(answer(first, "oldhag"))


async def test_who_resumes_is_still_there(server: Harness) -> None:
    first, _ = await two(server)
    await first.enable()
    first.cut()
    await server.settle()
    back = server.unbound(f"{OWNER}/desktop")
    await back.resume(first, 0)
    forget(back)
    await back.send(get("firstwitch"))
    back.expect(answer(back, "firstwitch"))


async def test_who_lost_its_session_is_not(server: Harness) -> None:
    first, _ = await two(server)
    await first.close()
    back = await server.client(f"{OWNER}/desktop")
    await back.send(get("firstwitch"))
    back.expect(not_there(back, "firstwitch"))


# What occupants ask each other


async def test_the_answer_finds_the_client_that_asked(server: Harness) -> None:
    """Both share a nick, and call their requests the same; nobody learns an address."""
    first, third = await two(server)
    phone = await attend(server, f"{OWNER}/phone", "firstwitch")
    forget(first, phone, third)
    await first.send(get("thirdwitch", VERSION))
    await phone.send(get("thirdwitch", VERSION))
    one, two_ = third.received
    assert {each.get("from") for each in third.received} == {f"{ROOM}/firstwitch"}
    assert one.get("id") != two_.get("id")
    for request, text in ((two_, "two"), (one, "one")):
        await third.send(
            f"<iq type='result' id='{request.get('id')}' to='{ROOM}/firstwitch'>"
            f"<query xmlns='jabber:iq:version'><name>{text}</name></query></iq>"
        )
    for client, text in ((first, "one"), (phone, "two")):
        client.expect(
            answer(client, "thirdwitch", f"<query xmlns='jabber:iq:version'><name>{text}</name></query>")
        )
        client.expect_nothing()


async def test_an_error_finds_it_too(server: Harness) -> None:
    first, third = await two(server)
    await first.send(get("thirdwitch"))
    [request] = third.received
    error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    await third.send(f"<iq type='error' id='{request.get('id')}' to='{ROOM}/firstwitch'>{error}</iq>")
    first.expect(f"<iq type='error' id='s2c1' from='{ROOM}/thirdwitch' to='{first.jid}'>{error}</iq>")


@pytest.mark.parametrize("id", ["s2c1", "id1", ""])
async def test_nobody_answers_what_he_was_not_asked(server: Harness, id: str) -> None:
    first, third = await two(server)
    other = await attend(server, "macbeth@shakespeare.lit/horse", "macbeth")
    forget(first, third)
    await first.send(get("thirdwitch", VERSION))
    [request] = third.received
    for client in (other, third):
        name = request.get("id") if client is other else id
        await client.send(f"<iq type='result' id='{name or 'x'}' to='{ROOM}/firstwitch'/>")
    first.expect_nothing()


async def test_to_nobody(server: Harness) -> None:
    first, third = await two(server)
    await first.send(get("nobody"))
    first.expect(refused(first, "item-not-found", "cancel", id="s2c1", room=f"{ROOM}/nobody"))
    outside = await server.client("macbeth@shakespeare.lit/horse")
    await outside.send(get("thirdwitch", VERSION))
    outside.expect(not_there(outside, "thirdwitch"))
    third.expect_nothing()


async def test_who_cannot_be_asked_any_more(server: Harness) -> None:
    """The client is gone before it answers: its server says so, in the occupant's name."""
    first, third = await two(server)
    await third.enable()
    await first.send(get("thirdwitch", VERSION))
    third.cut()
    await server.advance(3_600)
    errors = [each for each in first.received if each.name == "iq"]
    assert [(each.get("type"), each.get("from"), each.get("id")) for each in errors] == [
        ("error", f"{ROOM}/thirdwitch", "s2c1")
    ]


async def test_the_vcard_is_the_persons(server: Harness) -> None:
    """The server has it: no client is asked, and no address is told."""
    first, third = await two(server)
    vcard = "<vCard xmlns='vcard-temp'><FN>Hag</FN></vCard>"
    await third.send(f"<iq type='set' id='v'>{vcard}</iq>")
    forget(first, third)
    await first.send(get("thirdwitch", "<vCard xmlns='vcard-temp'/>"))
    third.expect_nothing()
    first.received = [each for each in first.received if each.name == "iq"]
    first.expect(answer(first, "thirdwitch", vcard))
