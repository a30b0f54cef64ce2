"""XEP-0045#entity: which rooms there are, what they are, who is there, as far as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.owners import DATA, INFO, ITEMS
from tests.support.rooms import MUC, ROOM, attend, enter, make_room, refused
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation, Subject
from xmppd.xml.element import Element

CHAT = "muc.shakespeare.lit"
CRONE = "crone1@shakespeare.lit"
RSM = "http://jabber.org/protocol/rsm"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


@pytest_asyncio.fixture
async def hag(server: Harness) -> Client:
    """Asks."""
    return await server.client("hag66@shakespeare.lit/pda", available=True)


async def info(client: Client, to: str, node: str = "") -> Element:
    """What ``to`` says that it is."""
    where = f" node='{node}'" if node else ""
    await client.send(f"<iq type='get' id='1' to='{to}'><query xmlns='{INFO}'{where}/></iq>")
    return _answer(client, to, INFO)


async def items(client: Client, to: str, page: str = "", node: str = "") -> Element:
    """What ``to`` has."""
    part = f"<set xmlns='{RSM}'>{page}</set>" if page else ""
    where = f" node='{node}'" if node else ""
    await client.send(f"<iq type='get' id='1' to='{to}'><query xmlns='{ITEMS}'{where}>{part}</query></iq>")
    return _answer(client, to, ITEMS)


def _answer(client: Client, to: str, ns: str) -> Element:
    answer = client.received.pop()
    assert (answer.get("type"), answer.get("from")) == ("result", to), answer
    query = answer.child("query", ns)
    assert query is not None
    return query


def features(query: Element) -> set[str]:
    return {each.get("var") or "" for each in query.each("feature")}


def form(query: Element) -> dict[str, list[str]]:
    """The values of muc#roominfo."""
    x = query.child("x", DATA)
    assert x is not None
    assert x.get("type") == "result"
    return {
        field.get("var") or "": [value.text() for value in field.each("value")] for field in x.each("field")
    }


def names(query: Element) -> list[str]:
    """The localparts of its items."""
    return [Jid.parse(each.get("jid") or "").local or "" for each in query.each("item")]


def part(query: Element) -> dict[str, str]:
    """What its ``<set/>`` says."""
    element = query.child("set", RSM)
    assert element is not None
    return {each.name: each.text() for each in element.elements()}


async def make_rooms(server: Harness, locals: Iterable[str], **settings: object) -> None:
    for local in locals:
        await make_room(server, CRONE, room=f"{local}@{CHAT}", persistent=True, **settings)


# The service


async def test_the_server_lists_its_service(hag: Client) -> None:
    query = await items(hag, "shakespeare.lit")
    assert [each.attrs for each in query.each("item")] == [{"jid": CHAT, "name": "Chat rooms"}]


async def test_the_service_says_that_it_is_one(hag: Client) -> None:
    query = await info(hag, CHAT)
    assert [each.attrs for each in query.each("identity")] == [
        {"category": "conference", "type": "text", "name": "Chat rooms"}
    ]
    assert features(query) >= {INFO, ITEMS, MUC, RSM, "muc_rooms"}


async def test_the_service_lists_public_rooms_by_name(server: Harness, hag: Client) -> None:
    await make_rooms(server, ["heath"], name="A Lonely Heath")
    await make_rooms(server, ["coven"])
    await make_rooms(server, ["cellar"], public=False)
    await make_rooms(server, ["attic"], locked=True)
    query = await items(hag, CHAT)
    assert [each.attrs for each in query.each("item")] == [
        {"jid": f"coven@{CHAT}"},
        {"jid": f"heath@{CHAT}", "name": "A Lonely Heath"},
    ]
    assert query.child("set", RSM) is None


async def test_a_service_without_rooms_has_an_empty_list(hag: Client) -> None:
    assert not (await items(hag, CHAT)).children


PLAYS = ["alls-well", "cleopatra", "coriolanus", "cymbeline", "hamlet"]


@pytest_asyncio.fixture
async def plays(server: Harness) -> None:
    await make_rooms(server, PLAYS)
    await make_rooms(server, ["cinders", "a-secret", "zz"], public=False)


async def test_a_list_that_is_too_long_comes_in_parts(server: Harness, hag: Client) -> None:
    await make_rooms(server, [f"room{number:03}" for number in range(101)])
    query = await items(hag, CHAT)
    assert (len(names(query)), part(query)) == (
        100,
        {"first": f"room000@{CHAT}", "last": f"room099@{CHAT}"},
    )


@pytest.mark.usefixtures("plays")
async def test_a_client_pages_through_the_list(hag: Client) -> None:
    found, after = list[str](), ""
    while page := names(query := await items(hag, CHAT, f"<max>2</max>{after}")):
        found += page
        after = f"<after>{part(query)['last']}</after>"
    assert found == PLAYS
    assert part(query) == {}


@pytest.mark.usefixtures("plays")
async def test_a_client_pages_backwards(hag: Client) -> None:
    found, before = list[str](), ""
    while page := names(query := await items(hag, CHAT, f"<max>2</max><before>{before}</before>")):
        found = [*page, *found]
        before = part(query)["first"]
    assert found == PLAYS


@pytest.mark.usefixtures("plays")
async def test_a_client_asks_how_many_rooms_there_are(hag: Client) -> None:
    query = await items(hag, CHAT, "<max>0</max>")
    assert (names(query), part(query)) == ([], {"count": "5"})
    query = await items(hag, CHAT, "<max>9</max>")
    assert part(query) == {"first": f"alls-well@{CHAT}", "last": f"hamlet@{CHAT}", "count": "5"}
    query = await items(hag, CHAT, f"<max>9</max><after>cleopatra@{CHAT}</after>")
    assert part(query) == {"first": f"coriolanus@{CHAT}", "last": f"hamlet@{CHAT}"}


@pytest.mark.parametrize(
    ("page", "condition", "type"),
    [
        ("<max>2</max><index>3</index>", "feature-not-implemented", "cancel"),
        ("<after>somewhere.else</after>", "item-not-found", "cancel"),
        ("<after>a@b@c</after>", "jid-malformed", "modify"),
        ("<max>many</max>", "bad-request", "modify"),
    ],
)
async def test_a_part_that_cannot_be_given(hag: Client, page: str, condition: str, type: str) -> None:
    await hag.send(
        f"<iq type='get' id='1' to='{CHAT}'><query xmlns='{ITEMS}'><set xmlns='{RSM}'>{page}</set></query></iq>"
    )
    hag.expect(refused(hag, condition, type, room=CHAT))


@pytest.mark.parametrize("ns", [INFO, ITEMS])
async def test_the_service_has_no_nodes(hag: Client, ns: str) -> None:
    await hag.send(f"<iq type='get' id='1' to='{CHAT}'><query xmlns='{ns}' node='x'/></iq>")
    hag.expect(refused(hag, "item-not-found", "cancel", room=CHAT))


# A room


async def test_a_room_says_what_it_is(server: Harness, hag: Client) -> None:
    texts = {"description": "The place for all good witches!", "lang": "en"}
    await make_room(server, CRONE, name="A Dark Cave", persistent=False, **texts)
    record = await server.stores.rooms.load(Jid.parse(ROOM))
    assert record is not None
    await server.stores.rooms.set_subject(record.id, Subject("Spells", "firstwitch", 0.0))
    await attend(server, f"{CRONE}/desktop", "firstwitch")
    query = await info(hag, ROOM)
    assert [each.attrs for each in query.each("identity")] == [
        {"category": "conference", "type": "text", "name": "A Dark Cave"}
    ]
    assert features(query) >= {
        INFO,
        MUC,
        f"{MUC}#stable_id",
        f"{MUC}#roominfo",
        f"{MUC}#roomconfig",
        f"{MUC}#register",
        "jabber:iq:register",
        "urn:xmpp:occupant-id:0",
        "muc_public",
        "muc_open",
        "muc_unmoderated",
        "muc_semianonymous",
        "muc_unsecured",
        "muc_temporary",
    }
    assert form(query) == {
        "FORM_TYPE": [f"{MUC}#roominfo"],
        "muc#roominfo_description": ["The place for all good witches!"],
        "muc#roominfo_lang": ["en"],
        "muc#roominfo_subject": ["Spells"],
        "muc#roominfo_subjectmod": ["0"],
        "muc#roominfo_occupants": ["1"],
        "muc#roomconfig_changesubject": ["0"],
        "muc#roomconfig_allowinvites": ["1"],
        "muc#roomconfig_allowpm": ["anyone"],
        "muc#maxhistoryfetch": ["20"],
    }


async def test_a_room_of_the_other_kind_says_so(server: Harness, hag: Client) -> None:
    await make_room(
        server,
        CRONE,
        public=False,
        members_only=True,
        moderated=True,
        whois="anyone",
        password="cauldronburn",
        persistent=True,
    )
    found = features(await info(hag, ROOM))
    assert {each for each in found if each.startswith("muc_")} == {
        "muc_hidden",
        "muc_membersonly",
        "muc_moderated",
        "muc_nonanonymous",
        "muc_passwordprotected",
        "muc_persistent",
    }


async def test_a_room_without_a_name_is_called_by_its_address(server: Harness, hag: Client) -> None:
    await make_room(server, CRONE)
    identity = (await info(hag, ROOM)).child("identity")
    assert identity is not None
    assert identity.get("name") == "coven"


async def test_whom_to_ask_is_told_where_all_see_who_is_who(server: Harness, hag: Client) -> None:
    await make_room(server, CRONE, whois="anyone")
    assert form(await info(hag, ROOM))["muc#roominfo_contactjid"] == [CRONE]


@pytest.mark.parametrize("settings", [{"members_only": True}, {"password": "cauldronburn"}])
async def test_others_hear_nothing_of_what_is_said_behind_closed_doors(
    server: Harness, hag: Client, settings: dict[str, Any]
) -> None:
    lists = {"wiccarocks@shakespeare.lit": Affiliation.MEMBER}
    await make_room(server, CRONE, lists, whois="anyone", **settings)
    inner = {"muc#roominfo_occupants", "muc#roominfo_contactjid"}
    assert not inner.intersection(form(await info(hag, ROOM)))
    member = await server.client("wiccarocks@shakespeare.lit/laptop")
    assert inner <= set(form(await info(member, ROOM)))


async def test_who_is_banned_hears_nothing_of_what_is_said_there(server: Harness, hag: Client) -> None:
    await make_room(server, CRONE, {"hag66@shakespeare.lit": Affiliation.OUTCAST})
    assert "muc#roominfo_occupants" not in form(await info(hag, ROOM))


async def test_a_room_that_is_not_configured_is_none_yet(server: Harness, hag: Client) -> None:
    first = await server.client(f"{CRONE}/desktop", available=True)
    await first.send(enter("firstwitch"))
    await hag.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{INFO}'/></iq>")
    hag.expect(refused(hag, "item-not-found", "cancel"))
    assert "muc_temporary" in features(await info(first, ROOM))


async def test_a_room_that_does_not_exist_is_not_found(hag: Client) -> None:
    await hag.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{INFO}'/></iq>")
    hag.expect(refused(hag, "item-not-found", "cancel"))


async def test_who_is_there_sees_who_is_there_and_others_see_an_empty_list(
    server: Harness, hag: Client
) -> None:
    await make_room(server, CRONE, broadcast=("moderator", "visitor"))
    first = await attend(server, f"{CRONE}/desktop", "firstwitch")
    await attend(server, "pistol@shakespeare.lit/harfleur", "pistol")
    assert not (await items(hag, ROOM)).children
    await hag.send(enter("thirdwitch"))
    query = await items(hag, ROOM)
    # whose presence is not for all is not in the list either
    assert [each.attrs for each in query.each("item")] == [
        {"jid": f"{ROOM}/firstwitch"},
        {"jid": f"{ROOM}/thirdwitch"},
    ]
    first.received.clear()


async def test_the_node_of_allowed_traffic_is_not_there_for_all_is_allowed(
    server: Harness, hag: Client
) -> None:
    await make_room(server, CRONE)
    await hag.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{INFO}' node='{MUC}#traffic'/></iq>")
    hag.expect(refused(hag, "service-unavailable", "cancel"))  # XEP-0045#impl-service-traffic


async def test_a_room_knows_no_other_node(server: Harness, hag: Client) -> None:
    await make_room(server, CRONE)
    for ns in (INFO, ITEMS):
        await hag.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{ns}' node='x'/></iq>")
        hag.expect(refused(hag, "item-not-found", "cancel"))


# Occupants and contacts


@pytest.mark.parametrize("ns", [INFO, ITEMS])
async def test_who_is_not_there_asks_no_occupant(server: Harness, hag: Client, ns: str) -> None:
    await make_room(server, CRONE)
    first = await attend(server, f"{CRONE}/desktop", "firstwitch")
    first.received.clear()
    await hag.send(f"<iq type='get' id='1' to='{ROOM}/firstwitch'><query xmlns='{ns}'/></iq>")
    hag.expect(refused(hag, "bad-request", "modify", room=f"{ROOM}/firstwitch"))
    first.expect_nothing()


async def test_an_occupant_is_asked_by_another_through_the_room(server: Harness, hag: Client) -> None:
    await make_room(server, CRONE)
    first = await attend(server, f"{CRONE}/desktop", "firstwitch")
    await hag.send(enter("thirdwitch"))
    first.received.clear()
    hag.received.clear()
    await hag.send(f"<iq type='get' id='1' to='{ROOM}/firstwitch'><query xmlns='{INFO}'/></iq>")
    asked = first.received.pop()
    assert (asked.get("from"), asked.get("to")) == (f"{ROOM}/thirdwitch", str(first.jid))
    await first.send(
        f"<iq type='result' id='{asked.get('id')}' to='{asked.get('from')}'><query xmlns='{INFO}'/></iq>"
    )
    hag.expect(
        f"<iq type='result' id='1' from='{ROOM}/firstwitch' to='{hag.jid}'><query xmlns='{INFO}'/></iq>"
    )


async def test_in_which_rooms_a_contact_is_its_client_says(server: Harness, hag: Client) -> None:
    contact = await server.client("wiccarocks@shakespeare.lit/laptop", available=True)
    query = f"<query xmlns='{ITEMS}' node='{MUC}#rooms'/>"
    await hag.send(f"<iq type='get' id='gp7w61v3' to='{contact.jid}'>{query}</iq>")
    contact.expect(f"<iq type='get' id='gp7w61v3' from='{hag.jid}' to='{contact.jid}'>{query}</iq>")
