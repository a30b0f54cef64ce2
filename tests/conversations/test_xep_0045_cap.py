"""XEP-0045#enter-maxusers: how many people a room holds. A person is a bare JID."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, USER, admin, attend, done, enter, forget, make_room, refused
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

CRONE = "crone1@shakespeare.lit"
FIVE = "[extensions.muc]\npeople = 5"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", toml=FIVE) as server:
        yield server


def witch(number: int) -> str:
    return f"witch{number}@shakespeare.lit"


async def come(server: Harness, jid: str, nick: str, *seers: Client) -> Client:
    client = await attend(server, jid, nick)
    forget(client, *seers)
    return client


async def crowd(server: Harness, count: int) -> list[Client]:
    return [await come(server, f"{witch(n)}/a", f"witch{n}") for n in range(count)]


async def stays_outside(server: Harness, jid: str, nick: str) -> None:
    client = await server.client(jid, available=True)
    await client.send(enter(nick))
    client.expect(
        f"<presence type='error' from='{ROOM}/{nick}' to='{jid}'><error type='wait'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>"
        "the room is full: it holds 5 people</text></error></presence>"
    )
    client.expect_nothing()


async def leave(client: Client, nick: str) -> None:
    await client.send(f"<presence type='unavailable' to='{ROOM}/{nick}'/>")
    forget(client)


async def test_a_full_room_takes_nobody_else(server: Harness) -> None:
    await make_room(server, CRONE)
    await come(server, f"{CRONE}/a", "crone1")
    crowded = await crowd(server, 4)
    await stays_outside(server, f"{witch(9)}/a", "late")
    # the other client of somebody who is there takes no place, under the same nick and under another one
    await come(server, f"{witch(0)}/b", "witch0")
    await come(server, f"{witch(0)}/c", "other")
    await leave(crowded[1], "witch1")
    await come(server, f"{witch(9)}/b", "late")
    await stays_outside(server, f"{witch(1)}/b", "witch1")


async def test_absent_admins_and_owners_find_a_place(server: Harness) -> None:
    await make_room(
        server, CRONE, {"wiccarocks@shakespeare.lit": Affiliation.ADMIN, witch(7): Affiliation.MEMBER}
    )
    await crowd(server, 3)
    await stays_outside(server, f"{witch(3)}/a", "witch3")
    await stays_outside(
        server, f"{witch(7)}/a", "member"
    )  # who is member has no place by that in an open room
    owner = await come(server, f"{CRONE}/a", "crone1")
    await come(server, "wiccarocks@shakespeare.lit/a", "wicca")
    await stays_outside(server, f"{witch(3)}/b", "witch3")
    await leave(owner, "crone1")
    await stays_outside(server, f"{witch(3)}/c", "witch3")
    await come(server, f"{CRONE}/b", "crone1")


async def test_who_comes_at_the_same_time_does_not_make_it_more(server: Harness) -> None:
    await make_room(server, CRONE)
    clients = [await server.client(f"{witch(n)}/a", available=True) for n in range(12)]
    for n, client in enumerate(clients):  # the room is not in memory yet: all wait for it
        client.send_nowait(enter(f"witch{n}"))
    await server.settle()
    came = [each for each in clients if each.received[-1].get("type") != "error"]
    assert len(came) == 4  # and the owner's place


async def test_a_smaller_room_takes_less_but_admins_always(server: Harness) -> None:
    await make_room(server, CRONE, people=3)
    await crowd(server, 2)
    client = await server.client(f"{witch(3)}/a", available=True)
    await client.send(enter("witch3"))
    assert client.received[-1].get("type") == "error"
    owner = await come(server, f"{CRONE}/a", "crone1")
    await owner.send(admin("set", f"affiliation='admin' jid='{witch(3)}'"))
    owner.expect(done(owner))
    forget(client)
    await come(server, f"{witch(3)}/b", "witch3")


async def test_members_are_not_more_than_a_room_holds(server: Harness) -> None:
    await make_room(server, CRONE, {witch(0): Affiliation.MEMBER}, members_only=True)
    owner = await come(server, f"{CRONE}/a", "crone1")
    four = [f"affiliation='member' jid='{witch(n)}'" for n in range(1, 5)]
    await owner.send(admin("set", *four))
    owner.expect(refused(owner, "not-allowed", "cancel", "6 members are too many: the room holds 5 people"))
    owner.expect_nothing()
    await owner.send(admin("set", f"affiliation='none' jid='{witch(0)}'", *four))  # one goes, four come
    owner.expect(done(owner))
    record = await server.stores.rooms.load(Jid.parse(ROOM))
    assert record is not None
    assert len(record.affiliations) == 5
    forget(owner)
    # outcasts are no members
    await owner.send(admin("set", *(f"affiliation='outcast' jid='{witch(n)}'" for n in range(10, 20))))
    owner.expect(done(owner))


async def test_members_added_at_the_same_time_are_not_too_many(server: Harness) -> None:
    await make_room(server, CRONE, {"wiccarocks@shakespeare.lit": Affiliation.ADMIN})
    owner = await come(server, f"{CRONE}/a", "crone1")
    wicca = await come(server, "wiccarocks@shakespeare.lit/a", "wicca", owner)
    for n in range(4):
        owner.send_nowait(admin("set", f"affiliation='member' jid='{witch(2 * n)}'", id=f"o{n}"))
        wicca.send_nowait(admin("set", f"affiliation='member' jid='{witch(2 * n + 1)}'", id=f"w{n}"))
    await server.settle()
    record = await server.stores.rooms.load(Jid.parse(ROOM))
    assert record is not None
    assert len(record.affiliations) == 5
    answers = [each.get("type") for each in (*owner.received, *wicca.received) if each.name == "iq"]
    assert sorted(str(each) for each in answers) == ["error"] * 5 + ["result"] * 3


async def test_an_invitation_makes_nobody_a_member_too_many(server: Harness) -> None:
    await make_room(server, CRONE, {witch(n): Affiliation.MEMBER for n in range(4)}, members_only=True)
    owner = await come(server, f"{CRONE}/a", "crone1")
    await server.account(witch(5))
    await owner.send(f"<message id='i' to='{ROOM}'><x xmlns='{USER}'><invite to='{witch(5)}'/></x></message>")
    owner.expect(refused(owner, "not-allowed", "cancel", id="i", kind="message"))


async def test_nobody_becomes_admin_who_would_not_find_a_place(server: Harness) -> None:
    await make_room(server, CRONE)
    owner = await come(server, f"{CRONE}/a", "crone1")
    crowded = await crowd(server, 4)
    forget(owner)
    await owner.send(admin("set", f"affiliation='admin' jid='{witch(9)}'"))
    owner.expect(refused(owner, "not-allowed", "cancel"))
    await owner.send(admin("set", f"affiliation='admin' jid='{witch(0)}'"))  # who is there
    owner.expect(done(owner))
    await leave(crowded[1], "witch1")
    forget(owner)
    await owner.send(admin("set", f"affiliation='admin' jid='{witch(9)}'"))
    owner.expect(done(owner))
    await stays_outside(server, f"{witch(1)}/b", "witch1")
    await come(server, f"{witch(9)}/a", "witch9")
