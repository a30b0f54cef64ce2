"""XEP-0313#business-storeret-muc-archives: the history of a room, for those who may enter it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.elsewhere import Elsewhere
from tests.support.harness import Client, Harness
from tests.support.history import Shown, query
from tests.support.rooms import ROOM, attend, forget, make_room, refused
from tests.support.talk import ADMIN, HAG, OCCUPANT, OWNER, name, tell, texts
from tests.support.xml import matches, parse, show
from xmppd.im.results import MAM
from xmppd.storage.rooms import Affiliation

KING = "king@shakespeare.lit"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit", toml="[extensions.muc]\npage = 3\nmax_page = 5\n") as server:
        yield server


async def said(server: Harness, count: int = 3, **settings: Any) -> tuple[Client, Client]:
    """The owner and a hag say ``count`` things in turn."""
    lists = {ADMIN: Affiliation.MEMBER, KING: Affiliation.OUTCAST, HAG: Affiliation.MEMBER}
    await make_room(server, OWNER, lists, **settings)
    first = await attend(server, f"{OWNER}/desktop", "firstwitch")
    third = await attend(server, f"{HAG}/pda", "thirdwitch")
    for number in range(1, count + 1):
        await (first if number % 2 else third).send(tell(number))
        server.clock.advance(1)
    forget(first, third)
    return first, third


async def ask(client: Client, rsm: str = "", inside: str = "", **fields: str | list[str]) -> Shown:
    await client.send(f"<iq type='set' id='mam1' to='{ROOM}'>{query(rsm, inside, **fields)}</iq>")
    results = []
    while client.received[0].name == "message":
        message = client.received.pop(0)
        assert message.get("from") == ROOM
        result = message.child("result", MAM)
        assert result is not None
        results.append(result)
    fin = client.received.pop(0).child("fin", MAM)
    assert fin is not None
    return Shown(results, fin)


async def test_moderators_see_who_wrote(server: Harness) -> None:
    first, third = await said(server, 2)
    got = (await ask(first)).messages
    for message, nick, client, affiliation, role in (
        (got[0], "firstwitch", first, "owner", "moderator"),
        (got[1], "thirdwitch", third, "member", "participant"),
    ):
        id = message.get("id")
        [wanted] = parse(
            f"<message from='{ROOM}/{nick}' id='{id}' type='groupchat'><body>{id}</body>{OCCUPANT}"
            "<x xmlns='http://jabber.org/protocol/muc#user'>"
            f"<item affiliation='{affiliation}' role='{role}' jid='{client.jid}'/></x></message>"
        )
        assert matches(wanted, message), show(message)


async def test_others_see_only_the_nick(server: Harness) -> None:
    _, third = await said(server, 2)
    for message in (await ask(third)).messages:
        id = message.get("id")
        nick = "firstwitch" if id == "1" else "thirdwitch"
        [wanted] = parse(
            f"<message from='{ROOM}/{nick}' id='{id}' type='groupchat'><body>{id}</body>{OCCUPANT}</message>"
        )
        assert matches(wanted, message), show(message)


async def test_where_all_may_know_all_see_who_wrote(server: Harness) -> None:
    await said(server, 2, whois="anyone")
    stranger = await server.client("macbeth@shakespeare.lit/horse")
    assert all(
        message.child("x", "http://jabber.org/protocol/muc#user") is not None
        for message in (await ask(stranger)).messages
    )


async def test_the_name_is_the_one_that_was_told(server: Harness) -> None:
    first, _ = await said(server, 1)
    await first.send(tell("last"))
    told = name(first)
    forget(first)
    assert (await ask(first)).names[-1] == told
    assert (await ask(first, ids=[told])).bodies == ["last"]


async def test_pages(server: Harness) -> None:
    first, _ = await said(server, 7)
    page = await ask(first)
    assert page.bodies == ["1", "2", "3"]
    assert not page.complete
    page = await ask(first, f"<after>{page.set['last']}</after><max>100</max>")
    assert page.bodies == ["4", "5", "6", "7"]
    assert page.complete
    page = await ask(first, "<before/><max>2</max>")
    assert page.bodies == ["6", "7"]
    page = await ask(first, f"<before>{page.set['first']}</before><max>2</max>", "<flip-page/>")
    assert page.bodies == ["5", "4"]
    assert (await ask(first, "<max>0</max>")).set == {"count": "7"}


async def test_what_a_nick_said(server: Harness) -> None:
    """XEP-0313#filter-jid: the publisher, under the address that all see."""
    _, third = await said(server, 5)
    assert (await ask(third, with_=f"{ROOM}/thirdwitch")).bodies == ["2", "4"]
    assert (await ask(third, "<max>2</max>", with_=f"{ROOM}/firstwitch")).bodies == ["1", "3"]
    assert (await ask(third, with_=f"{ROOM}/nobody")).bodies == []
    assert (await ask(third, "<max>5</max>", with_=ROOM)).bodies == ["1", "2", "3", "4", "5"]


async def test_what_a_person_said_who_may_know_may_ask(server: Harness) -> None:
    first, third = await said(server, 5)
    assert (await ask(first, with_=HAG)).bodies == ["2", "4"]
    assert (await ask(first, with_=f"{HAG}/pda")).bodies == ["2", "4"]
    assert (await ask(first, with_=f"{HAG}/other")).bodies == []
    assert (await ask(first, "<max>0</max>", with_=HAG)).set == {"count": "2"}
    assert (await ask(third, with_=HAG)).bodies == ["2", "4"], "one knows what one has said"
    await third.send(f"<iq type='set' id='1' to='{ROOM}'>{query(with_=OWNER)}</iq>")
    third.expect(refused(third, "forbidden", "auth"))


@pytest.mark.parametrize(
    ("who", "settings", "condition"),
    [
        ("macbeth@shakespeare.lit", {}, ""),
        ("macbeth@shakespeare.lit", {"members_only": True}, "forbidden"),
        ("macbeth@shakespeare.lit", {"password": "cauldron"}, "forbidden"),
        (ADMIN, {"members_only": True}, ""),
        (ADMIN, {"password": "cauldron"}, ""),
        (KING, {}, "forbidden"),
        (KING, {"members_only": True}, "forbidden"),
        (ADMIN, {"archived": False}, "service-unavailable"),
        (ADMIN, {"locked": True}, "item-not-found"),
    ],
)
async def test_who_may_enter_may_read(
    server: Harness, who: str, settings: dict[str, Any], condition: str
) -> None:
    lists = {ADMIN: Affiliation.MEMBER, KING: Affiliation.OUTCAST}
    await make_room(server, OWNER, lists, **settings)
    client = await server.client(f"{who}/horse")
    types = {"forbidden": "auth"}
    for type, payload in (
        ("set", query()),
        ("get", f"<query xmlns='{MAM}'/>"),
        ("get", f"<metadata xmlns='{MAM}'/>"),
    ):
        await client.send(f"<iq type='{type}' id='1' to='{ROOM}'>{payload}</iq>")
        if condition:
            client.expect(refused(client, condition, types.get(condition, "cancel")))
        else:
            assert client.received.pop().get("type") == "result"


async def test_who_gave_the_password_may_read(server: Harness) -> None:
    await make_room(server, OWNER, password="cauldron")
    third = await server.client(f"{HAG}/pda", available=True)
    await third.send(
        f"<presence to='{ROOM}/thirdwitch'><x xmlns='http://jabber.org/protocol/muc'>"
        "<password>cauldron</password></x></presence>"
    )
    await third.send(tell(1))
    forget(third)
    assert (await ask(third)).bodies == ["1"]


async def test_the_form_and_where_the_archive_begins_and_ends(server: Harness) -> None:
    first, _ = await said(server, 3)
    await first.send(f"<iq type='get' id='1' to='{ROOM}'><query xmlns='{MAM}'/></iq>")
    form = first.received.pop().child("query", MAM)
    assert form is not None
    [x] = form.elements()
    fields = {field.get("var") for field in x.each("field")}
    assert fields == {"FORM_TYPE", "with", "start", "end", "before-id", "after-id", "ids"}
    names = (await ask(first)).names
    await first.send(f"<iq type='get' id='1' to='{ROOM}'><metadata xmlns='{MAM}'/></iq>")
    first.expect(
        f"<iq type='result' id='1' from='{ROOM}' to='{first.jid}'><metadata xmlns='{MAM}'>"
        f"<start id='{names[0]}' timestamp='2026-09-21T14:13:20.000Z'/>"
        f"<end id='{names[-1]}' timestamp='2026-09-21T14:13:22.000Z'/></metadata></iq>"
    )


@pytest.mark.parametrize(
    ("asked", "condition", "type"),
    [
        (query(after_id="nothing"), "item-not-found", "cancel"),
        (query(ids=["nothing"]), "item-not-found", "cancel"),
        (query(start="yesterday"), "bad-request", "modify"),
        (query(unknown="1"), "feature-not-implemented", "cancel"),
        (query("<max>many</max>"), "bad-request", "modify"),
        (query("<index>1</index>"), "feature-not-implemented", "cancel"),
    ],
)
async def test_what_it_does_not_understand(server: Harness, asked: str, condition: str, type: str) -> None:
    first, _ = await said(server, 1)
    await first.send(f"<iq type='set' id='1' to='{ROOM}'>{asked}</iq>")
    first.expect(refused(first, condition, type))


async def test_the_names_of_another_room_mean_nothing(server: Harness) -> None:
    first, _ = await said(server, 1)
    await make_room(server, OWNER, room="heath@muc.shakespeare.lit")
    other = await attend(server, f"{OWNER}/desktop2", "firstwitch", room="heath@muc.shakespeare.lit")
    await other.send(tell(1, to="heath@muc.shakespeare.lit"))
    found = other.received[-1].child("stanza-id", "urn:xmpp:sid:0")
    assert found is not None
    forget(first)
    await first.send(f"<iq type='set' id='1' to='{ROOM}'>{query(after_id=found.attrs['id'])}</iq>")
    first.expect(refused(first, "item-not-found", "cancel"))


async def test_who_reads_slowly_holds_up_nobody(server: Harness) -> None:
    """DESIGN I6."""
    first, third = await said(server, 3)
    third.stop_reading()
    third.send_nowait(f"<iq type='set' id='1' to='{ROOM}'>{query()}</iq>")
    await server.pass_by()
    first.send_nowait(tell("goes on"))
    await server.pass_by()
    assert texts(first) == ["goes on"]
    third.read_on()
    await server.settle()
    assert third.received[-1].child("fin", MAM) is not None


async def test_somebody_on_another_server_asks(server: Harness) -> None:
    await said(server, 2)
    elsewhere = Elsewhere(server, "montague.lit")
    await elsewhere.send(
        f"<iq type='set' id='1' from='romeo@montague.lit/orchard' to='{ROOM}'>{query()}</iq>"
    )
    assert [each.name for each in elsewhere.received] == ["message", "message", "iq"]
    assert elsewhere.received[-1].get("type") == "result"


async def test_it_outlives_the_server(server: Harness) -> None:
    await said(server, 2)
    await server.restart(crash=True)
    member = await server.client(f"{ADMIN}/laptop")
    assert (await ask(member)).bodies == ["1", "2"]


@pytest.mark.parametrize("archived", [True, False])
async def test_a_room_says_whether_it_has_one(server: Harness, archived: bool) -> None:
    """XEP-0313#support, XEP-0359#disco, XEP-0424#disco, XEP-0425#disco, XEP-0410#serveroptimization, XEP-0500."""
    await make_room(server, OWNER, archived=archived, slow_seconds=20)
    third = await server.client(f"{HAG}/pda")
    await third.send(
        f"<iq type='get' id='1' to='{ROOM}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    found = third.received.pop().child("query", "http://jabber.org/protocol/disco#info")
    assert found is not None
    features = {each.attrs["var"] for each in found.each("feature")}
    assert "http://jabber.org/protocol/muc#self-ping-optimization" in features
    kept = {
        MAM,
        f"{MAM}#extended",
        "http://jabber.org/protocol/rsm",
        "urn:xmpp:sid:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:message-retract:1#tombstone",
        "urn:xmpp:message-moderate:1",
    }
    assert features & kept == (kept if archived else set())
    form = found.child("x", "jabber:x:data")
    assert form is not None
    [slow] = [each for each in form.each("field") if each.get("var") == "muc#roominfo_slow_mode_duration"]
    assert [each.text() for each in slow.elements()] == ["20"]
