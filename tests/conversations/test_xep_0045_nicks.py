"""XEP-0045#enter-conflict, #changenick: what people are called in a room, and what others cannot be called then."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import MUC, ROOM, attend, enter, forget, make_room, no_entry, seen, subject
from xmppd.storage.rooms import Affiliated, Affiliation

OWNER = "crone1@shakespeare.lit"
OTHER = "wiccarocks@shakespeare.lit"
HAG = "hag66@shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        await make_room(
            server,
            OWNER,
            {HAG: Affiliation.MEMBER, "king@shakespeare.lit": Affiliated(Affiliation.MEMBER, "Duncan")},
        )
        yield server


async def owner(server: Harness) -> Client:
    return await attend(server, f"{OWNER}/desktop", "firstwitch")


async def hag(server: Harness, nick: str = "thirdwitch", resource: str = "pda") -> Client:
    return await attend(server, f"{HAG}/{resource}", nick)


def to(nick: str) -> str:
    return f"<presence to='{ROOM}/{nick}'/>"


@pytest.mark.parametrize(
    "nick", ["thirdwitch", "ThirdWitch", " thirdwitch", "thіrdwіtch", "Duncan", "dunсan"]
)
async def test_a_nick_of_somebody_else_is_refused(nick: str, server: Harness) -> None:
    """Or one that looks like it, in Cyrillic letters say, or is reserved."""
    third = await hag(server)
    forget(third)
    second = await server.client(f"{OTHER}/laptop", available=True)
    await second.send(enter(nick))
    second.expect(no_entry(second, nick, "conflict", "cancel"))
    second.expect_nothing()
    third.expect_nothing()


async def test_who_reserved_a_nick_enters_with_it(server: Harness) -> None:
    king = await server.client("king@shakespeare.lit/throne", available=True)
    await king.send(enter("Duncan"))
    king.expect(seen(king, "Duncan", "member", "participant", codes=(110, 170)), subject(king))


async def test_several_clients_of_one_person_share_a_nick(server: Harness) -> None:
    """They all get what is said, and all may speak; the others see one occupant, moderators each address."""
    first = await owner(server)
    pda = await hag(server)
    phone = await server.client(f"{HAG}/phone", available=True)
    forget(first, pda)
    await phone.send(enter("thirdwitch"))
    phone.expect(
        seen(phone, "firstwitch", "owner", "moderator"),
        seen(phone, "thirdwitch", "member", "participant", codes=(110, 170)),
        subject(phone),
    )
    pda.expect(seen(pda, "thirdwitch", "member", "participant", codes=(110,)))
    items = "".join(
        f"<item affiliation='member' role='participant' jid='{each.jid}'/>" for each in (pda, phone)
    )
    first.expect(
        f"<presence from='{ROOM}/thirdwitch' to='{first.jid}'>"
        f"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/><x xmlns='{MUC}#user'>{items}</x></presence>"
    )
    for speaker in (pda, phone):
        await speaker.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>Thrice</body></message>")
        for each in (first, pda, phone):
            (got,) = each.received
            assert got.get("from") == f"{ROOM}/thirdwitch"
            forget(each)


async def test_several_clients_of_one_person_may_have_nicks_of_their_own(server: Harness) -> None:
    first = await owner(server)
    pda = await hag(server)
    phone = await hag(server, "fourthwitch", "phone")
    assert [got.get("from") for got in first.received if got.name == "presence"][1:] == [
        f"{ROOM}/thirdwitch",
        f"{ROOM}/fourthwitch",
    ]
    forget(first, pda, phone)
    await phone.send(f"<presence type='unavailable' to='{ROOM}/fourthwitch'/>")
    first.expect(seen(first, "fourthwitch", "member", "none", jid=phone, gone=True))
    pda.expect(seen(pda, "fourthwitch", "member", "none", gone=True))
    await pda.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>still here</body></message>")
    assert pda.received[-1].get("from") == f"{ROOM}/thirdwitch"


async def test_the_room_may_write_a_nick_in_another_way(server: Harness) -> None:
    """XEP-0045#enter-pres: 210 tells who asked for it how it is called."""
    third = await server.client(f"{HAG}/pda", available=True)
    await third.send(enter("third  witch "))
    third.expect(seen(third, "third witch", "member", "participant", codes=(110, 170, 210)), subject(third))
    # Its other client gets the same, whatever case it asks for.
    phone = await server.client(f"{HAG}/phone", available=True)
    await phone.send(enter("Third Witch"))
    phone.expect(seen(phone, "third witch", "member", "participant", codes=(110, 170, 210)), subject(phone))


@pytest.mark.parametrize("nick", [" ", "&#160;", "\u2800"])
async def test_a_nick_can_be_seen(nick: str, server: Harness) -> None:
    """XEP-0045#bizrules-jids."""
    third = await server.client(f"{HAG}/pda", available=True)
    await third.send(enter(nick))
    third.expect(no_entry(third, "*", "jid-malformed", "modify").replace(f"from='{ROOM}/*'", "from='*'"))
    third.expect_nothing()


async def test_example_occupant_changes_nickname(server: Harness) -> None:
    """All, itself too, see the old nick leave and the new one come."""
    first = await owner(server)
    third = await hag(server)
    second = await attend(server, f"{OTHER}/laptop", "secondwitch")
    forget(first, second, third)
    await third.send(to("oldhag"))
    third.expect(
        seen(third, "thirdwitch", "member", "participant", codes=(110, 303), gone=True, new_nick="oldhag"),
        seen(third, "oldhag", "member", "participant", codes=(110,)),
    )
    first.expect(
        seen(
            first,
            "thirdwitch",
            "member",
            "participant",
            jid=third,
            codes=(303,),
            gone=True,
            new_nick="oldhag",
        ),
        seen(first, "oldhag", "member", "participant", jid=third),
    )
    second.expect(
        seen(second, "thirdwitch", "member", "participant", codes=(303,), gone=True, new_nick="oldhag"),
        seen(second, "oldhag", "member", "participant"),
    )
    await third.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>I am</body></message>")
    assert first.received[0].get("from") == f"{ROOM}/oldhag"


async def test_the_occupant_id_stays(server: Harness) -> None:
    """XEP-0421#id-generation: whatever the nick, and after leaving; another person has another one."""
    first = await owner(server)
    third = await hag(server)
    await third.send(to("oldhag"))
    await third.close()
    await hag(server, "crone")
    ids = {
        got.get("from"): child.get("id")
        for got in first.received
        for child in got.elements()
        if child.name == "occupant-id"
    }
    assert len(ids) == 4
    assert (
        ids[f"{ROOM}/thirdwitch"]
        == ids[f"{ROOM}/oldhag"]
        == ids[f"{ROOM}/crone"]
        != ids[f"{ROOM}/firstwitch"]
    )


async def test_example_occupant_changes_nickname_modified_by_service(server: Harness) -> None:
    third = await hag(server)
    forget(third)
    await third.send(to("old   hag"))
    third.expect(
        seen(third, "thirdwitch", "member", "participant", codes=(110, 303), gone=True, new_nick="old hag"),
        seen(third, "old hag", "member", "participant", codes=(110, 210)),
    )
    await third.send(to("Old Hag"))
    third.expect(
        seen(third, "old hag", "member", "participant", codes=(110, 303), gone=True, new_nick="Old Hag"),
        seen(third, "Old Hag", "member", "participant", codes=(110,)),
    )


@pytest.mark.parametrize("nick", ["firstwitch", "FirstWitch", "Duncan"])
async def test_example_service_denies_nickname_change_because_of_nick_conflict(
    nick: str, server: Harness
) -> None:
    first = await owner(server)
    third = await hag(server)
    forget(first, third)
    await third.send(to(nick))
    third.expect(no_entry(third, nick, "conflict", "cancel"))
    first.expect_nothing()
    await third.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>I am</body></message>")
    assert first.received[0].get("from") == f"{ROOM}/thirdwitch"


async def test_all_clients_that_share_a_nick_change_it_with_one(server: Harness) -> None:
    first = await owner(server)
    pda, phone = await hag(server), await hag(server, resource="phone")
    forget(first, pda, phone)
    await phone.send(to("oldhag"))
    for each in (pda, phone):
        each.expect(
            seen(each, "thirdwitch", "member", "participant", codes=(110, 303), gone=True, new_nick="oldhag"),
            seen(each, "oldhag", "member", "participant", codes=(110,)),
        )
    assert [got.get("type") for got in first.received] == ["unavailable", None]


async def test_clients_of_one_person_meet_under_one_nick(server: Harness) -> None:
    first = await owner(server)
    pda, phone = await hag(server), await hag(server, "fourthwitch", "phone")
    forget(first, pda, phone)
    await phone.send(to("thirdwitch"))
    phone.expect(
        seen(
            phone, "fourthwitch", "member", "participant", codes=(110, 303), gone=True, new_nick="thirdwitch"
        ),
        seen(phone, "thirdwitch", "member", "participant", codes=(110,)),
    )
    pda.expect(
        seen(pda, "fourthwitch", "member", "participant", codes=(303,), gone=True, new_nick="thirdwitch"),
        seen(pda, "thirdwitch", "member", "participant", codes=(110,)),
    )
    forget(first)
    await pda.close()
    assert [got.get("type") for got in first.received] == [None], "the phone is there"
    await phone.close()
    assert first.received[-1].get("type") == "unavailable"


async def test_changes_of_nick_do_not_add_up(server: Harness) -> None:
    """RFC 6121#4.6: a client may show itself to so many addresses only."""
    third = await hag(server)
    for number in range(5):
        await third.send(to(f"witch{number}"))
    await third.send(to("firstwitch"))
    assert third.session.directed is not None
    assert len(third.session.directed) == 1
    await third.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    assert not third.session.directed
