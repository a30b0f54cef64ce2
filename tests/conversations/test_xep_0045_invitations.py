"""XEP-0045#invite-mediated: invitations that go through the room, and who declines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, USER, attend, forget, make_room, refused
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

CRONE = "crone1@shakespeare.lit"
HAG = "hag66@shakespeare.lit"
HECATE = "hecate@shakespeare.lit"
HEY = "<reason>Hey Hecate, this is the place for all good witches!</reason>"
BUSY = "<reason>Sorry, I&apos;m too busy right now.</reason>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        await server.account(HECATE)
        yield server


def invite(*to: str, inside: str = HEY, id: str = "nzd143v8") -> str:
    invites = "".join(f"<invite to='{each}'>{inside}</invite>" for each in to)
    return f"<message id='{id}' to='{ROOM}'><x xmlns='{USER}'>{invites}</x></message>"


def invitation(inviter: str, to: str = HECATE, inside: str = HEY, password: str = "") -> str:
    secret = f"<password>{password}</password>" if password else ""
    return (
        f"<message from='{ROOM}' id='nzd143v8' to='{to}'><x xmlns='{USER}'>"
        f"<invite from='{inviter}'>{inside}</invite>{secret}</x></message>"
    )


def decline(to: str) -> str:
    return f"<message id='jk2vs61v' to='{ROOM}'><x xmlns='{USER}'><decline to='{to}'>{BUSY}</decline></x></message>"


def declined(to: Client | str) -> str:
    address = to if isinstance(to, str) else to.jid
    return (
        f"<message from='{ROOM}' id='jk2vs61v' to='{address}'><x xmlns='{USER}'>"
        f"<decline from='{HECATE}'>{BUSY}</decline></x></message>"
    )


def no(to: Client, condition: str, type: str, id: str = "nzd143v8") -> str:
    return refused(to, condition, type, id=id, kind="message")


async def members(server: Harness) -> set[str]:
    record = await server.stores.rooms.load(Jid.parse(ROOM))
    assert record is not None
    return {str(jid) for jid, entry in record.affiliations.items() if entry.affiliation is Affiliation.MEMBER}


async def come(server: Harness, jid: str, nick: str, *seers: Client) -> Client:
    client = await attend(server, jid, nick)
    forget(client, *seers)
    return client


async def test_an_occupant_invites_and_the_invitee_declines(server: Harness) -> None:
    await make_room(server, CRONE)
    hag = await come(server, f"{HAG}/desktop", "thirdwitch")
    hecate = await server.client(f"{HECATE}/broom", available=True)
    await hag.send(invite(HECATE))
    hecate.expect(invitation(HAG))
    hag.expect_nothing()
    assert await members(server) == set()  # an open room makes nobody a member by that
    await hecate.send(decline(HAG))
    hag.expect(declined(hag))
    await hecate.send(decline(f"{ROOM}/thirdwitch"))
    hag.expect(declined(hag))
    hecate.expect_nothing()


async def test_the_password_and_what_is_continued_go_with_it(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliation.MEMBER}, password="cauldronburn")
    hag = await server.client(f"{HAG}/desktop", available=True)  # a member may invite from outside
    hecate = await server.client(f"{HECATE}/broom", available=True)
    more = "<continue thread='e0ffe42b28561960c6b12b944a092794b9683a38'/>"
    await hag.send(invite(HECATE, inside=more))
    hecate.expect(invitation(HAG, inside=more, password="cauldronburn"))


async def test_an_invitation_is_kept_for_who_is_offline(server: Harness) -> None:
    await make_room(server, CRONE)
    hag = await come(server, f"{HAG}/desktop", "thirdwitch")
    await hag.send(invite(HECATE))
    hecate = await server.client(f"{HECATE}/broom")
    await hecate.send("<presence/>")
    (message,) = [each for each in hecate.received if each.name == "message"]
    x = message.child("x", USER)
    assert x is not None
    assert x.child("invite") is not None


async def test_in_a_room_for_members_the_invited_becomes_one(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliation.MEMBER}, members_only=True)
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    hag = await come(server, f"{HAG}/pda", "thirdwitch", owner)
    hecate = await server.client(f"{HECATE}/broom", available=True)
    await server.account("wiccarocks@shakespeare.lit")
    await hag.send(invite(HECATE, "wiccarocks@shakespeare.lit"))
    hecate.expect(invitation(HAG))
    hecate.expect_nothing()
    assert await members(server) == {HAG, HECATE, "wiccarocks@shakespeare.lit"}
    assert [each.name for each in owner.received] == ["message", "message"]
    await hag.send(invite(HECATE))  # once more
    hecate.expect(invitation(HAG))
    await come(server, f"{HECATE}/broom2", "hecate")


async def test_mere_members_invite_where_they_may(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliation.MEMBER}, members_only=True, members_invite=False)
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    hag = await come(server, f"{HAG}/pda", "thirdwitch", owner)
    hecate = await server.client(f"{HECATE}/broom", available=True)
    await hag.send(invite(HECATE))
    hag.expect(no(hag, "forbidden", "auth"))
    hecate.expect_nothing()
    assert await members(server) == {HAG}
    await owner.send(invite(HECATE))
    hecate.expect(invitation(CRONE))
    assert await members(server) == {HAG, HECATE}


async def test_who_is_nothing_to_the_room_invites_nobody(server: Harness) -> None:
    await make_room(server, CRONE)
    hag = await server.client(f"{HAG}/pda", available=True)
    await hag.send(invite(HECATE))
    hag.expect(no(hag, "forbidden", "auth"))


async def test_whom_the_room_cannot_invite(server: Harness) -> None:
    await make_room(server, CRONE, {"pistol@shakespeare.lit": Affiliation.OUTCAST}, members_only=True)
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    await server.account("pistol@shakespeare.lit")
    await owner.send(invite(HECATE, "nobody@shakespeare.lit"))
    owner.expect(no(owner, "item-not-found", "cancel"))
    await owner.send(invite(HECATE, "pistol@shakespeare.lit"))
    owner.expect(no(owner, "not-allowed", "cancel"))
    await owner.send(invite("@shakespeare.lit"))
    owner.expect(no(owner, "jid-malformed", "modify"))
    await owner.send(f"<message id='nzd143v8' to='{ROOM}'><x xmlns='{USER}'><invite/></x></message>")
    owner.expect(no(owner, "bad-request", "modify"))
    await owner.send(f"<message id='nzd143v8' to='{ROOM}'><x xmlns='{USER}'/></message>")
    owner.expect(no(owner, "bad-request", "modify"))
    assert await members(server) == set()


async def test_a_room_carries_nothing_to_strangers(server: Harness) -> None:
    await make_room(server, CRONE, {"pistol@shakespeare.lit": Affiliation.OUTCAST})
    hecate = await server.client(f"{HECATE}/broom", available=True)
    hag = await server.client(f"{HAG}/pda", available=True)
    for to in (HAG, f"{ROOM}/nobody"):
        await hecate.send(decline(to))
        hecate.expect(no(hecate, "item-not-found", "cancel", "jk2vs61v"))
    hag.expect_nothing()
    owner = await server.client(f"{CRONE}/pda", available=True)
    await hecate.send(decline(CRONE))  # who has left the room meanwhile
    owner.expect(declined(CRONE))
    pistol = await server.client("pistol@shakespeare.lit/a", available=True)
    await pistol.send(decline(CRONE))
    pistol.expect(no(pistol, "forbidden", "auth", "jk2vs61v"))
