"""XEP-0045#createroom: rooms begin with who enters first, and are for others once they are configured."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.owners import DATA, OWNER, asked_form, instant, order, settings, told, values_of
from tests.support.rooms import MUC, ROOM, USER, done, enter, make_room, refused, seen
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


@pytest_asyncio.fixture
async def first(server: Harness) -> Client:
    """Has just made the room."""
    client = await server.client("crone1@shakespeare.lit/desktop", available=True)
    await client.send(enter("firstwitch"))
    client.received.clear()
    return client


@pytest_asyncio.fixture
async def hag(server: Harness) -> Client:
    return await server.client("hag66@shakespeare.lit/pda", available=True)


def not_let_in(to: Client, nick: str, condition: str, type: str) -> str:
    return (
        f"<presence type='error' from='{ROOM}/{nick}' to='{to.jid}'><error type='{type}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></presence>"
    )


async def test_the_service_acknowledges_that_the_room_was_created(server: Harness) -> None:
    first = await server.client("crone1@shakespeare.lit/desktop", available=True)
    await first.send(enter("firstwitch"))
    first.expect(seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170, 201)))


async def test_nobody_else_enters_a_room_that_is_not_configured(first: Client, hag: Client) -> None:
    await hag.send(enter("thirdwitch"))
    hag.expect(not_let_in(hag, "thirdwitch", "item-not-found", "cancel"))
    first.expect_nothing()


async def test_an_instant_room_is_open_at_once(first: Client, hag: Client) -> None:
    await first.send(instant())
    first.expect(done(first))
    first.expect_nothing()
    await hag.send(enter("thirdwitch"))
    first.expect(seen(first, "thirdwitch", "none", "participant", jid=hag))
    hag.expect(
        seen(hag, "firstwitch", "owner", "moderator"),
        seen(hag, "thirdwitch", "none", "participant", codes=(110, 170)),
    )


async def test_who_enters_a_configured_room_again_did_not_create_it(server: Harness, first: Client) -> None:
    await first.send(instant())
    first.received.clear()
    phone = await server.client("crone1@shakespeare.lit/phone", available=True)
    await phone.send(enter("crone"))
    phone.expect(
        seen(phone, "firstwitch", "owner", "moderator", jid=first),
        seen(phone, "crone", "owner", "moderator", jid=phone, codes=(110, 170)),
    )


async def test_a_reserved_room_is_configured_before_others_come(first: Client, hag: Client) -> None:
    form = await asked_form(first)
    assert values_of(form)["roomowners"] == ["crone1@shakespeare.lit"]
    await first.send(
        settings(
            {
                "roomname": "A Dark Cave",
                "roomdesc": "The place for all good witches!",
                "enablelogging": 0,
                "changesubject": 1,
                "allowinvites": 0,
                "allowpm": "anyone",
                "maxusers": 10,
                "publicroom": 0,
                "persistentroom": 0,
                "moderatedroom": 0,
                "membersonly": 0,
                "passwordprotectedroom": 1,
                "roomsecret": "cauldronburn",
                "whois": "moderators",
                "muc#maxhistoryfetch": 50,
                "roomadmins": ("wiccarocks@shakespeare.lit", "hecate@shakespeare.lit"),
            }
        )
    )
    notices = "".join(
        f"<message from='{ROOM}' to='{first.jid}'><x xmlns='{USER}'>"
        f"<item affiliation='admin' role='none' jid='{jid}@shakespeare.lit'/></x></message>"
        for jid in ("wiccarocks", "hecate")
    )
    first.expect(told(first, 104, 171), notices, done(first))
    await hag.send(enter("thirdwitch"))
    hag.expect(not_let_in(hag, "thirdwitch", "not-authorized", "auth"))
    await hag.send(enter("thirdwitch", "<password>cauldronburn</password>"))
    hag.expect(
        seen(hag, "firstwitch", "owner", "moderator"),
        seen(hag, "thirdwitch", "none", "participant", codes=(110,)),
    )


async def test_what_is_not_acceptable_leaves_the_room_as_it_is(first: Client, hag: Client) -> None:
    await first.send(settings({"roomname": "A Dark Cave", "passwordprotectedroom": 1, "roomsecret": ""}))
    text = "muc#roomconfig_roomsecret: a room that asks for a password has one"
    first.expect(refused(first, "not-acceptable", "modify", text))
    await hag.send(enter("thirdwitch"))
    hag.expect(not_let_in(hag, "thirdwitch", "item-not-found", "cancel"))
    assert values_of(await asked_form(first))["roomname"] == []


async def test_a_creation_that_is_cancelled_destroys_the_room(server: Harness, first: Client) -> None:
    await first.send(order(f"<x xmlns='{DATA}' type='cancel'/>"))
    first.expect(
        f"<presence type='unavailable' from='{ROOM}/firstwitch' to='{first.jid}'>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{USER}'><item affiliation='none' role='none' jid='{first.jid}'/>"
        "<status code='110'/><destroy/></x></presence>",
        done(first),
    )
    assert await server.stores.rooms.load(Jid.parse(ROOM)) is None


async def test_a_room_ends_with_the_owner_who_did_not_configure_it(server: Harness, first: Client) -> None:
    await first.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    first.expect(
        f"<presence type='unavailable' from='{ROOM}/firstwitch' to='{first.jid}'>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='*'/>"
        f"<x xmlns='{USER}'><item affiliation='owner' role='none' jid='{first.jid}'/>"
        "<status code='110'/><destroy/></x></presence>"
    )
    assert await server.stores.rooms.load(Jid.parse(ROOM)) is None


async def test_a_room_ends_with_the_lost_connection_of_who_did_not_configure_it(
    server: Harness, first: Client, hag: Client
) -> None:
    await first.close()
    assert await server.stores.rooms.load(Jid.parse(ROOM)) is None
    await hag.send(enter("thirdwitch"))  # and makes another one
    hag.expect(seen(hag, "thirdwitch", "owner", "moderator", jid=hag, codes=(110, 170, 201)))


async def test_only_who_owns_the_room_has_the_form(first: Client, hag: Client) -> None:
    await hag.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{OWNER}'/></iq>")
    hag.expect(refused(hag, "forbidden", "auth"))


@pytest.mark.parametrize("there_are", [True, False])
async def test_where_only_admins_make_rooms_others_enter_those_that_there_are(there_are: bool) -> None:
    toml = 'admins = ["hecate@shakespeare.lit"]\n[extensions.muc]\ncreate = "admins"'
    async with Harness("shakespeare.lit", toml=toml) as server:
        hag = await server.client("hag66@shakespeare.lit/pda", available=True)
        if there_are:
            hecate = await server.client("hecate@shakespeare.lit/cave", available=True)
            await hecate.send(enter("hecate"))
            await hecate.send(instant())
        await hag.send(enter("thirdwitch"))
        if there_are:
            hag.expect(seen(hag, "hecate", "owner", "moderator"))
        else:
            hag.expect(not_let_in(hag, "thirdwitch", "not-allowed", "cancel"))


async def test_nobody_owns_more_rooms_than_the_server_allows() -> None:
    async with Harness("shakespeare.lit", toml="[extensions.muc]\nrooms_per_owner = 2") as server:
        first = await server.client("crone1@shakespeare.lit/desktop", available=True)
        for number in range(2):
            await first.send(enter("witch", room=f"cave{number}@muc.shakespeare.lit"))
        admin = {"crone1@shakespeare.lit": Affiliation.ADMIN}  # of what another one owns
        await make_room(server, "hecate@shakespeare.lit", admin, room="heath@muc.shakespeare.lit")
        first.received.clear()
        await first.send(enter("firstwitch"))
        first.expect(not_let_in(first, "firstwitch", "not-allowed", "cancel"))
        await first.send(order("<destroy/>", room="cave0@muc.shakespeare.lit"))
        first.received.clear()
        await first.send(enter("firstwitch"))
        first.expect(seen(first, "firstwitch", "owner", "moderator", jid=first, codes=(110, 170, 201)))


async def test_nor_by_making_many_at_once() -> None:
    async with Harness("shakespeare.lit", toml="[extensions.muc]\nrooms_per_owner = 5") as server:
        clients = [
            await server.client(f"crone1@shakespeare.lit/{number}", available=True) for number in range(10)
        ]
        for number, client in enumerate(clients):
            client.send_nowait(enter("witch", room=f"cave{number}@muc.shakespeare.lit"))
        await server.settle()
        assert len(await server.stores.rooms.memberships(clients[0].jid.bare)) <= 5


@pytest.mark.parametrize(
    "inside",
    [
        "",
        f"<x xmlns='{DATA}'/>",
        f"<x xmlns='{DATA}' type='result'/>",
        f"<x xmlns='{DATA}' type='submit'/><destroy/>",
        f"<x xmlns='{DATA}' type='submit'><field var='muc#roomconfig_roomname'/></x>",
        f"<x xmlns='{DATA}' type='submit'><field><value>1</value></field></x>",
        f"<x xmlns='{DATA}' type='submit'><field var='FORM_TYPE'><value>{MUC}#register</value></field></x>",
    ],
)
async def test_what_is_no_form_is_a_bad_request(first: Client, inside: str) -> None:
    await first.send(order(inside))
    first.expect(refused(first, "bad-request", "modify"))
