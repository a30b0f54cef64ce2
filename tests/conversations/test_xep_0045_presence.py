"""XEP-0045#changepres, #bizrules-presence: what occupants show, and who sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import MUC, ROOM, admin, attend, enter, forget, make_room, seen, subject
from xmppd.storage.rooms import Affiliation

OWNER = "crone1@shakespeare.lit"
SECOND = "wiccarocks@shakespeare.lit"
HAG = "hag66@shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


async def three(server: Harness) -> tuple[Client, Client, Client]:
    """An owner, an admin and somebody who is nothing."""
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{SECOND}/laptop", "secondwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, second, third)
    return first, second, third


def show(text: str, nick: str) -> str:
    return f"<presence to='{ROOM}/{nick}'><show>{text}</show><status>gone where the goblins go</status></presence>"


def shows(
    to: Client, text: str, nick: str, affiliation: str, role: str, jid: Client | None, own: bool = False
) -> str:
    address = "" if jid is None else f" jid='{jid.jid}'"
    code = "<status code='110'/>" if own else ""
    return (
        f"<presence from='{ROOM}/{nick}' to='{to.jid}'><show>{text}</show>"
        "<status>gone where the goblins go</status><occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{MUC}#user'><item affiliation='{affiliation}' role='{role}'{address}/>{code}</x></presence>"
    )


async def test_example_occupant_changes_availability_status(server: Harness) -> None:
    await make_room(server, OWNER, {SECOND: Affiliation.ADMIN})
    first, second, third = await three(server)
    await second.send(show("xa", "secondwitch"))
    first.expect(shows(first, "xa", "secondwitch", "admin", "moderator", second))
    second.expect(shows(second, "xa", "secondwitch", "admin", "moderator", second, own=True))
    third.expect(shows(third, "xa", "secondwitch", "admin", "moderator", None))
    for each in (first, second, third):
        each.expect_nothing()
    # Who comes later sees it as well.
    late = await server.client("king@shakespeare.lit/throne", available=True)
    await late.send(enter("Duncan"))
    late.expect(
        seen(late, "firstwitch", "owner", "moderator"),
        shows(late, "xa", "secondwitch", "admin", "moderator", None),
        seen(late, "thirdwitch", "none", "participant"),
        seen(late, "Duncan", "none", "participant", codes=(110, 170)),
        subject(late),
    )


async def test_the_client_that_said_something_last_is_what_others_see(server: Harness) -> None:
    await make_room(server, OWNER)
    first, _, third = await three(server)
    phone = await attend(server, f"{HAG}/phone", "thirdwitch")
    forget(first, third, phone)
    await third.send(f"<presence to='{ROOM}/thirdwitch'><show>dnd</show></presence>")
    assert first.received[-1].child("show") is not None
    late = await attend(server, f"{OWNER}/late", "firstwitch")
    seen_late = {got.get("from"): got for got in late.received if got.name == "presence"}
    assert seen_late[f"{ROOM}/thirdwitch"].child("show") is not None
    forget(first)
    await third.send(f"<presence type='unavailable' to='{ROOM}/thirdwitch'/>")
    (got,) = first.received
    assert got.child("show") is None, "the phone shows nothing special"


async def test_visitors_may_be_out_of_sight(server: Harness) -> None:
    """XEP-0045#roomconfig: of whose roles presence is broadcast. They see the others, and themselves."""
    await make_room(
        server, OWNER, {SECOND: Affiliation.MEMBER}, moderated=True, broadcast=("moderator", "participant")
    )
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    second = await attend(server, f"{SECOND}/laptop", "secondwitch")
    forget(first, second)
    third = await server.client(f"{HAG}/pda", available=True)
    await third.send(enter("thirdwitch"))
    third.expect(
        seen(third, "firstwitch", "owner", "moderator"),
        seen(third, "secondwitch", "member", "participant"),
        seen(third, "thirdwitch", "none", "visitor", codes=(110, 170)),
        subject(third),
    )
    await third.send(show("xa", "thirdwitch"))
    third.expect(shows(third, "xa", "thirdwitch", "none", "visitor", None, own=True))
    late = await attend(server, "king@shakespeare.lit/throne", "Duncan")
    assert [got.get("from") for got in late.received if got.name == "presence"] == [
        f"{ROOM}/firstwitch", f"{ROOM}/secondwitch", f"{ROOM}/Duncan",
    ]  # fmt: skip
    await third.send(f"<presence to='{ROOM}/oldhag'/>")
    await third.send(f"<presence type='unavailable' to='{ROOM}/oldhag'/>")
    assert third.received[-1].get("type") == "unavailable"
    for each in (first, second):
        each.expect_nothing()


async def test_who_becomes_moderator_learns_who_is_who(server: Harness) -> None:
    await make_room(server, OWNER)
    first, second, third = await three(server)
    await first.send(admin("set", "nick='thirdwitch' role='moderator'"))
    third.expect_all(
        seen(third, "thirdwitch", "none", "moderator", jid=third, codes=(110,), actor="firstwitch"),
        seen(third, "firstwitch", "owner", "moderator", jid=first),
        seen(third, "secondwitch", "none", "participant", jid=second),
    )
    third.expect_nothing()
    second.expect(seen(second, "thirdwitch", "none", "moderator", actor="firstwitch"))
    second.expect_nothing()
    forget(third)
    await first.send(admin("set", "nick='thirdwitch' role='participant'"))
    third.expect(seen(third, "thirdwitch", "none", "participant", codes=(110,), actor="firstwitch"))
    forget(third)
    await second.send(f"<presence to='{ROOM}/secondwitch'/>")
    third.expect(seen(third, "secondwitch", "none", "participant"))


async def test_presence_to_the_room_itself_names_no_nick(server: Harness) -> None:
    await make_room(server, OWNER)
    first, _, third = await three(server)
    await third.send(f"<presence to='{ROOM}'><show>away</show></presence>")
    (got,) = third.received
    assert got.get("type") == "error"
    first.expect_nothing()


async def test_presence_for_everybody_is_not_for_rooms(server: Harness) -> None:
    """RFC 6121#4.4: it goes to contacts; a client tells rooms itself."""
    await make_room(server, OWNER)
    first, second, third = await three(server)
    await third.send("<presence><show>away</show></presence>")
    first.expect_nothing()
    second.expect_nothing()


async def test_a_client_that_is_inactive_gets_the_newest_presence_of_each(server: Harness) -> None:
    """XEP-0352: as of contacts, for an occupant has an address."""
    await make_room(server, OWNER)
    first, second, third = await three(server)
    await third.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    await second.send(show("away", "secondwitch"))
    await second.send(show("xa", "secondwitch"))
    await first.send(show("dnd", "firstwitch"))
    third.expect_nothing()
    await third.send("<active xmlns='urn:xmpp:csi:0'/>")
    third.expect(
        shows(third, "xa", "secondwitch", "none", "participant", None),
        shows(third, "dnd", "firstwitch", "owner", "moderator", None),
    )
    third.expect_nothing()
