"""XEP-0045#enter: who comes into a room, sees whom, and is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.obstacle import Obstacle
from tests.support.rooms import (
    MUC,
    ROOM,
    attend,
    enter,
    forget,
    make_room,
    no_entry,
    not_in_it,
    seen,
    subject,
)
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

OWNER = "crone1@shakespeare.lit"
ADMIN = "wiccarocks@shakespeare.lit"
HAG = "hag66@shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", toml=f'admins = ["{OWNER}"]') as server:
        yield server


async def owner(server: Harness) -> Client:
    return await attend(server, f"{OWNER}/desktop", "firstwitch")


async def hag(server: Harness, resource: str = "pda") -> Client:
    return await server.client(f"{HAG}/{resource}", available=True)


async def exists(server: Harness) -> bool:
    return await server.stores.rooms.load(Jid.parse(ROOM)) is not None


async def test_the_first_who_enters_makes_the_room(server: Harness) -> None:
    first = await server.client(f"{OWNER}/desktop", available=True)
    await first.send(enter("firstwitch"))
    first.expect(
        seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170, 201)), subject(first)
    )
    first.expect_nothing()


async def test_example_user_seeks_to_enter_a_room(server: Harness) -> None:
    """The new occupant gets presence of all others, then its own, then the subject; the others get its presence."""
    await make_room(server, OWNER, {ADMIN: Affiliation.ADMIN, HAG: Affiliation.MEMBER})
    first = await owner(server)
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await hag(server)
    forget(first, second)
    await third.send(enter("thirdwitch"))
    third.expect(
        seen(third, "firstwitch", "owner", "moderator"),
        seen(third, "secondwitch", "admin", "moderator"),
        seen(third, "thirdwitch", "member", "participant", codes=(110, 170)),
        subject(third),
    )
    third.expect_nothing()
    for each in (first, second):
        each.expect(seen(each, "thirdwitch", "member", "participant", jid=third))
        each.expect_nothing()


async def test_what_the_new_occupant_says_of_itself_is_passed_on_and_nothing_in_the_rooms_name(
    server: Harness,
) -> None:
    await make_room(server, OWNER)
    first = await owner(server)
    forget(first)
    third = await hag(server)
    await third.send(
        f"<presence to='{ROOM}/thirdwitch' id='n13mt3l'><show>away</show><status>brewing</status>"
        f"<x xmlns='{MUC}'/><x xmlns='{MUC}#user'><item affiliation='owner' role='moderator'/></x>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></presence>"
    )
    (got,) = first.received
    assert got.get("id") is None
    (occupant_id,) = [child for child in got.elements() if child.name == "occupant-id"]
    assert occupant_id.get("id") not in (None, "forged")
    first.expect(
        f"<presence from='{ROOM}/thirdwitch' to='{first.jid}'><show>away</show><status>brewing</status>"
        f"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{occupant_id.get('id')}'/><x xmlns='{MUC}#user'>"
        f"<item affiliation='none' role='participant' jid='{third.jid}'/></x></presence>"
    )
    own = third.received[1]
    assert own.get("id") == "n13mt3l", "by which the client knows its request"


async def test_no_nickname_specified(server: Harness) -> None:
    third = await hag(server)
    await third.send(f"<presence to='{ROOM}'><x xmlns='{MUC}'/></presence>")
    third.expect(no_entry(third, "", "jid-malformed", "modify"))
    assert not await exists(server), "nobody has entered it"
    await third.send(f"<presence to='{ROOM}'/>")
    third.expect(no_entry(third, "", "jid-malformed", "modify"))
    third.expect_nothing()


async def test_non_anonymous_rooms(server: Harness) -> None:
    """All see all addresses, and who enters is told so."""
    await make_room(server, OWNER, whois="anyone")
    first = await owner(server)
    third = await hag(server)
    forget(first)
    await third.send(enter("thirdwitch"))
    third.expect(
        seen(third, "firstwitch", "owner", "moderator", jid=first),
        seen(third, "thirdwitch", "none", "participant", jid=third, codes=(100, 110, 170)),
        subject(third),
    )
    first.expect(seen(first, "thirdwitch", "none", "participant", jid=third))


async def test_semi_anonymous_rooms(server: Harness) -> None:
    """Only moderators see addresses."""
    await make_room(server, OWNER)
    first = await owner(server)
    second = await attend(server, f"{ADMIN}/laptop", "secondwitch")
    third = await hag(server)
    forget(first, second)
    await third.send(enter("thirdwitch"))
    first.expect(seen(first, "thirdwitch", "none", "participant", jid=third))
    second.expect(seen(second, "thirdwitch", "none", "participant"))


async def test_rooms_that_are_not_archived_do_not_say_so(server: Harness) -> None:
    await make_room(server, OWNER, archived=False)
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    third.expect(seen(third, "thirdwitch", "none", "participant", codes=(110,)), subject(third))


async def test_password_protected_rooms(server: Harness) -> None:
    await make_room(server, OWNER, password="cauldronburn")
    third = await hag(server)
    for inside in ("", "<password>cauldron</password>", "<password/>"):
        await third.send(enter("thirdwitch", inside))
        third.expect(no_entry(third, "thirdwitch", "not-authorized", "auth"))
    await third.send(enter("thirdwitch", "<password>cauldronburn</password>"))
    third.expect(seen(third, "thirdwitch", "none", "participant", codes=(110, 170)), subject(third))


async def test_members_only_rooms(server: Harness) -> None:
    await make_room(server, OWNER, {ADMIN: Affiliation.MEMBER}, members_only=True)
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    third.expect(no_entry(third, "thirdwitch", "registration-required", "auth"))
    second = await server.client(f"{ADMIN}/laptop", available=True)
    await second.send(enter("secondwitch"))
    second.expect(seen(second, "secondwitch", "member", "participant", codes=(110, 170)), subject(second))


async def test_banned_users(server: Harness) -> None:
    await make_room(server, OWNER, {HAG: Affiliation.OUTCAST})
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    third.expect(no_entry(third, "thirdwitch", "forbidden", "auth"))
    third.expect_nothing()


async def test_max_users(server: Harness) -> None:
    """A person has one place, by however many clients; an owner finds one all the same."""
    await make_room(server, OWNER, people=2)
    await attend(server, f"{ADMIN}/laptop", "secondwitch")
    await attend(server, f"{ADMIN}/phone", "secondwitch")
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    third.expect(no_entry(third, "thirdwitch", "service-unavailable", "wait"))
    await owner(server)


async def test_a_locked_room(server: Harness) -> None:
    first = await owner(server)
    third = await hag(server)
    forget(first)
    await third.send(enter("thirdwitch"))
    third.expect(no_entry(third, "thirdwitch", "item-not-found", "cancel"))
    first.expect_nothing()


async def test_two_who_make_a_room_at_once(server: Harness) -> None:
    """One of them does."""
    third = await hag(server)
    second = await server.client(f"{ADMIN}/laptop", available=True)
    third.send_nowait(enter("thirdwitch"))
    await second.send(enter("secondwitch"))
    third.expect(
        seen(third, "thirdwitch", "owner", "moderator", jid=third, codes=(110, 170, 201)), subject(third)
    )
    second.expect(no_entry(second, "secondwitch", "item-not-found", "cancel"))


async def test_groupchat_1_0_or_presence_of_one_who_was_lost(server: Harness) -> None:
    """XEP-0045#enter-gc: it hears that it is not there, also where there is no room."""
    third = await hag(server)
    await third.send(f"<presence to='{ROOM}/thirdwitch'/>")
    third.expect(not_in_it(third, "thirdwitch"))
    assert not await exists(server)
    await make_room(server, OWNER)
    await third.send(f"<presence to='{ROOM}/thirdwitch'><show>dnd</show></presence>")
    third.expect(not_in_it(third, "thirdwitch"))
    third.expect_nothing()


@pytest.mark.parametrize("type", ["unavailable", "probe", "error", "unsubscribed"])
async def test_presence_with_a_type_is_no_request_to_enter(type: str, server: Harness) -> None:
    """XEP-0045#bizrules-presence."""
    third = await hag(server)
    for _ in range(2):  # without a room, and with one
        await third.send(f"<presence type='{type}' to='{ROOM}/thirdwitch'><x xmlns='{MUC}'/></presence>")
        third.expect_nothing()
        if not await exists(server):
            await make_room(server, OWNER)


async def test_who_is_in_the_room_and_asks_to_enter_gets_everything_again(server: Harness) -> None:
    await make_room(server, OWNER)
    first = await owner(server)
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    await first.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>Thrice</body></message>")
    forget(first, third)
    await third.send(enter("thirdwitch"))
    third.expect(
        seen(third, "firstwitch", "owner", "moderator"),
        seen(third, "thirdwitch", "none", "participant", codes=(110, 170)),
        f"<message type='groupchat' id='1' from='{ROOM}/firstwitch' to='{third.jid}'><body>Thrice</body>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='*'/></message>",
        subject(third),
    )
    third.expect_nothing()
    first.expect_nothing()
    # The others hear of it only where it looks different.
    await third.send(
        f"<presence to='{ROOM}/thirdwitch'><show>away</show><x xmlns='{MUC}'/></presence>",
    )
    assert [child.name for child in first.received.pop().elements()] == ["show", "occupant-id", "x"]
    first.expect_nothing()
    await first.send(f"<message to='{ROOM}' type='groupchat' id='2'><body>the brinded cat</body></message>")
    assert third.received[-1].get("id") == "2"


async def test_who_asks_again_under_another_nick_changes_it(server: Harness) -> None:
    await make_room(server, OWNER)
    first = await owner(server)
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    forget(first, third)
    await third.send(enter("oldhag"))
    third.expect(
        seen(third, "thirdwitch", "none", "participant", codes=(110, 303), gone=True, new_nick="oldhag"),
        seen(third, "oldhag", "none", "participant", codes=(110,)),
        seen(third, "firstwitch", "owner", "moderator"),
        seen(third, "oldhag", "none", "participant", codes=(110, 170)),
        subject(third),
    )


async def test_a_request_that_says_nothing_sensible_does_nothing(server: Harness) -> None:
    third = await hag(server)
    await third.send(enter("thirdwitch", "<history maxstanzas='many'/>"))
    third.expect(no_entry(third, "thirdwitch", "bad-request", "modify"))
    assert not await exists(server)
    await make_room(server, OWNER)
    first = await owner(server)
    forget(first)
    await third.send(enter("thirdwitch", "<history seconds='-1'/>"))
    third.expect(no_entry(third, "thirdwitch", "bad-request", "modify"))
    first.expect_nothing()


async def test_who_was_refused_does_not_count_as_seen_there(server: Harness) -> None:
    """RFC 6121#4.6: a client may show itself to so many addresses only."""
    await make_room(server, OWNER, {HAG: Affiliation.OUTCAST})
    third = await hag(server)
    await third.send(enter("thirdwitch"))
    await third.send(f"<presence to='{ROOM}/thirdwitch'/>")
    await third.send(f"<presence to='{ROOM}/ '><x xmlns='{MUC}'/></presence>")
    assert not third.session.directed


# Storage


async def test_while_the_storage_is_away_nobody_gets_into_a_room_that_is_not_in_memory() -> None:
    away = Obstacle("rooms", "load")
    async with Harness("shakespeare.lit", wrap=away.wrap) as server:
        await make_room(server, OWNER)
        third = await hag(server)
        away.away = True
        await third.send(enter("thirdwitch"))
        third.expect(no_entry(third, "thirdwitch", "resource-constraint", "wait"))
        away.away = False
        await third.send(enter("thirdwitch"))
        third.expect(seen(third, "thirdwitch", "none", "participant", codes=(110, 170)), subject(third))
        away.away = True
        second = await server.client(f"{ADMIN}/laptop", available=True)
        await second.send(enter("secondwitch"))
        assert second.received[-1].name == "message", "the room is there"
        away.away = False


async def test_who_enters_while_the_archive_is_away_gets_in_without_history() -> None:
    store = Obstacle("archive", "read")
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        first = await owner(server)
        await first.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>Thrice</body></message>")
        forget(first)
        third = await hag(server)
        store.away = True
        await third.send(enter("thirdwitch"))
        third.expect(
            seen(third, "firstwitch", "owner", "moderator"),
            seen(third, "thirdwitch", "none", "participant", codes=(110, 170)),
            subject(third),
        )
        third.expect_nothing()
        store.away = False
        await first.send(
            f"<message to='{ROOM}' type='groupchat' id='2'><body>the brinded cat</body></message>"
        )
        assert third.received[-1].get("id") == "2", "the room goes on"


async def test_others_wait_in_order_while_somebody_gets_the_history() -> None:
    """What is said and done meanwhile comes behind it."""
    store = Obstacle("archive", "read")
    async with Harness("shakespeare.lit", wrap=store.wrap) as server:
        await make_room(server, OWNER)
        first = await owner(server)
        await first.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>Thrice</body></message>")
        third, second = await hag(server), await server.client(f"{ADMIN}/laptop", available=True)
        forget(first)
        store.hold()
        third.send_nowait(enter("thirdwitch"))
        await server.pass_by()
        second.send_nowait(enter("secondwitch"))
        first.send_nowait(f"<message to='{ROOM}' type='groupchat' id='2'><body>the cat</body></message>")
        await server.pass_by()
        third.expect(
            seen(third, "firstwitch", "owner", "moderator"),
            seen(third, "thirdwitch", "none", "participant", codes=(110, 170)),
        )
        third.expect_nothing()
        second.expect_nothing()
        store.let_go()
        await server.settle()
        assert [got.get("id") for got in third.received if got.name == "message"] == ["1", None, "2"]
        assert [got.get("from") for got in third.received if got.name == "presence"] == [
            f"{ROOM}/secondwitch"
        ]
        assert [got.get("id") for got in second.received if got.name == "message"] == ["1", None, "2"]
