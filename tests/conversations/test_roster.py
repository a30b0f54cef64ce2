"""Rosters: what clients ask and set, who is told, what is refused (RFC 6121#2, XEP-0237)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.sessions.offers import StreamInfo
from xmppd.storage.interfaces import RosterItem, StorageUnavailable

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
GET = "<iq type='get' id='get'><query xmlns='jabber:iq:roster'/></iq>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as server:
        yield server


@pytest_asyncio.fixture
async def juliet(server: Harness) -> Client:
    """Interested in her roster, and nothing to read yet."""
    return await interested(server, "juliet@capulet.lit/balcony")


async def interested(server: Harness, jid: str) -> Client:
    client = await server.client(jid)
    await client.send(GET)
    client.received.clear()
    return client


def set_item(item: str, id: str = "set") -> str:
    return f"<iq type='set' id='{id}'><query xmlns='jabber:iq:roster'>{item}</query></iq>"


def push(item: str, to: str = "juliet@capulet.lit/balcony", ver: str = "*") -> str:
    return (
        f"<iq type='set' id='*' from='{Jid.parse(to).bare}' to='{to}'>"
        f"<query xmlns='jabber:iq:roster' ver='{ver}'>{item}</query></iq>"
    )


def result(id: str, payload: str = "", to: str = "juliet@capulet.lit/balcony") -> str:
    return f"<iq type='result' id='{id}' from='{Jid.parse(to).bare}' to='{to}'>{payload}</iq>"


def error(
    id: str, type: str, condition: str, to: str = "juliet@capulet.lit/balcony", by: str | None = None
) -> str:
    return (
        f"<iq type='error' id='{id}' from='{by or Jid.parse(to).bare}' to='{to}'><error type='{type}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></iq>"
    )


# RFC 6121#2.1.3, #2.1.4: the roster


async def test_a_new_account_has_an_empty_roster(server: Harness) -> None:
    juliet = await server.client("juliet@capulet.lit/balcony")
    await juliet.send(GET)
    juliet.expect(result("get", "<query xmlns='jabber:iq:roster' ver='*'/>"))


async def test_a_roster_shows_each_contact_as_it_is(server: Harness, juliet: Client) -> None:
    await juliet.send(
        set_item(
            "<item jid='romeo@capulet.lit' name='My Romeo'><group>Friends</group><group>Lovers</group></item>"
        )
        + set_item("<item jid='nurse@capulet.lit'/>")
        + "<presence to='nurse@montague.lit' type='subscribed'/>"
        + "<presence to='romeo@capulet.lit' type='subscribe'/>"
    )
    juliet.received.clear()
    await juliet.send(GET)
    juliet.expect(
        result(
            "get",
            "<query xmlns='jabber:iq:roster' ver='*'>"
            "<item jid='nurse@capulet.lit' subscription='none'/>"
            "<item jid='nurse@montague.lit' subscription='none' approved='true'/>"
            "<item jid='romeo@capulet.lit' name='My Romeo' subscription='none'>"
            "<group>Friends</group><group>Lovers</group></item></query>",
        )
    )


async def test_requests_of_strangers_are_not_in_the_roster(server: Harness, juliet: Client) -> None:
    romeo = await server.client("romeo@capulet.lit/orchard")
    await romeo.send("<presence to='juliet@capulet.lit' type='subscribe'/>")
    juliet.expect_nothing()  # RFC 6121#3.1.3: no push either
    await juliet.send(GET)
    juliet.expect(result("get", "<query xmlns='jabber:iq:roster' ver='*'/>"))


# RFC 6121#2.3, #2.4: adding and changing


async def test_an_added_contact_is_pushed_to_every_interested_resource(
    server: Harness, juliet: Client
) -> None:
    chamber = await interested(server, "juliet@capulet.lit/chamber")
    garden = await server.client("juliet@capulet.lit/garden", available=True)  # never asked for the roster
    await juliet.send(set_item("<item jid='nurse@capulet.lit' name='Nurse'><group>Servants</group></item>"))
    item = "<item jid='nurse@capulet.lit' name='Nurse' subscription='none'><group>Servants</group></item>"
    juliet.expect(result("set"), push(item))
    chamber.expect(push(item, to="juliet@capulet.lit/chamber"))
    garden.expect_nothing()


async def test_who_has_not_asked_for_the_roster_gets_no_push(server: Harness) -> None:
    juliet = await server.client("juliet@capulet.lit/balcony")
    await juliet.send(set_item("<item jid='nurse@capulet.lit'/>"))
    juliet.expect(result("set"))
    juliet.expect_nothing()


async def test_a_change_replaces_name_and_groups(juliet: Client) -> None:
    await juliet.send(
        set_item("<item jid='romeo@capulet.lit' name='Romeo'><group>Friends</group></item>", id="1")
        + set_item("<item jid='romeo@capulet.lit'><group>Lovers</group><group>Foes</group></item>", id="2")
    )
    juliet.expect(
        result("1"),
        push("<item jid='romeo@capulet.lit' name='Romeo' subscription='none'><group>Friends</group></item>"),
        result("2"),
        push(
            "<item jid='romeo@capulet.lit' subscription='none'><group>Lovers</group><group>Foes</group></item>"
        ),
    )


async def test_a_change_that_changes_nothing_is_not_pushed(juliet: Client) -> None:
    await juliet.send(set_item("<item jid='romeo@capulet.lit' name='Romeo'/>"))
    juliet.received.clear()
    await juliet.send(set_item("<item jid='romeo@capulet.lit' name='Romeo'/>", id="again"))
    juliet.expect(result("again"))
    juliet.expect_nothing()


async def test_a_change_leaves_the_subscription_alone(juliet: Client) -> None:
    """RFC 6121#2.1.2: whatever a client says about subscription, ask and approved is ignored."""
    await juliet.send(
        set_item("<item jid='romeo@capulet.lit' subscription='both' ask='subscribe' approved='true'/>")
    )
    juliet.expect(result("set"), push("<item jid='romeo@capulet.lit' subscription='none'/>"))


async def test_the_address_of_a_contact_is_prepared(juliet: Client) -> None:
    await juliet.send(set_item("<item jid='Romeo@CAPULET.lit'/>"))
    juliet.expect(result("set"), push("<item jid='romeo@capulet.lit' subscription='none'/>"))


async def test_a_name_may_hold_anything_that_xml_can(juliet: Client) -> None:
    item = (
        "<item jid='romeo@capulet.lit' name='R&amp;J &lt;3 &apos;&quot; 💔'{}><group>a &amp; b</group></item>"
    )
    await juliet.send(set_item(item.format("")))
    juliet.expect(result("set"), push(item.format(" subscription='none'")))


async def test_a_stranger_that_is_put_into_the_roster_keeps_the_request(
    server: Harness, juliet: Client
) -> None:
    romeo = await server.client("romeo@capulet.lit/orchard", available=True)
    await romeo.send("<presence to='juliet@capulet.lit' type='subscribe'/>")
    await juliet.send(set_item("<item jid='romeo@capulet.lit' name='Romeo'/>"))
    juliet.expect(result("set"), push("<item jid='romeo@capulet.lit' name='Romeo' subscription='none'/>"))
    await juliet.send("<presence to='romeo@capulet.lit' type='subscribed'/>")
    juliet.expect(push("<item jid='romeo@capulet.lit' name='Romeo' subscription='from'/>"))


@pytest.mark.parametrize(
    ("query", "type", "condition"),
    [
        ("", "modify", "bad-request"),
        ("<item jid='a@capulet.lit'/><item jid='b@capulet.lit'/>", "modify", "bad-request"),
        ("<item name='Nobody'/>", "modify", "bad-request"),
        ("<item jid='@capulet.lit'/>", "modify", "jid-malformed"),
        (
            "<item jid='a@capulet.lit'><group>Twice</group><group>Twice</group></item>",
            "modify",
            "bad-request",
        ),
        ("<item jid='a@capulet.lit'><group/></item>", "modify", "not-acceptable"),
        ("<item jid='a@capulet.lit' name='{1024}'/>", "modify", "not-acceptable"),
        ("<item jid='a@capulet.lit'><group>{1024}</group></item>", "modify", "not-acceptable"),
        ("<item jid='a@capulet.lit' name='{é513}'/>", "modify", "not-acceptable"),
        (
            "<item jid='a@capulet.lit' name='{683}'><group>a{683}</group><group>b{683}</group></item>",
            "modify",
            "not-acceptable",
        ),
        ("<item jid='juliet@capulet.lit'/>", "cancel", "not-allowed"),
        ("<item jid='juliet@capulet.lit/chamber'/>", "cancel", "not-allowed"),
        ("<item jid='a@capulet.lit' subscription='remove'/>", "cancel", "item-not-found"),
        ("<item jid='juliet@capulet.lit' subscription='remove'/>", "cancel", "item-not-found"),
    ],
)
async def test_what_is_wrong_is_refused_and_changes_nothing(
    juliet: Client, query: str, type: str, condition: str
) -> None:
    """RFC 6121#2.3.3, #2.4.3, #2.5.3."""
    query = query.replace("{1024}", "x" * 1024).replace("{é513}", "é" * 513).replace("{683}", "x" * 683)
    await juliet.send(set_item(query) + GET)
    juliet.expect(error("set", type, condition), result("get", "<query xmlns='jabber:iq:roster' ver='*'/>"))
    juliet.expect_nothing()


async def test_a_name_may_be_as_long_as_the_limit(juliet: Client) -> None:
    name = "x" * 1023
    await juliet.send(set_item(f"<item jid='romeo@capulet.lit' name='{name}'/>"))
    juliet.expect(result("set"), push(f"<item jid='romeo@capulet.lit' name='{name}' subscription='none'/>"))


async def test_a_roster_and_its_contacts_are_bounded() -> None:
    async with Harness("capulet.lit", toml="[limits]\nroster_items = 2\nroster_groups = 1") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send(
            set_item("<item jid='a@capulet.lit'/>", id="1")
            + set_item("<item jid='b@capulet.lit'/>", id="2")
            + set_item("<item jid='c@capulet.lit'/>", id="3")
            + set_item("<item jid='a@capulet.lit' name='A'/>", id="4")
            + set_item("<item jid='a@capulet.lit'><group>x</group><group>y</group></item>", id="5")
            + "<presence to='d@capulet.lit' type='subscribe' id='6'/>"
        )
        juliet.expect(
            result("1"),
            result("2"),
            error("3", "wait", "resource-constraint"),
            result("4"),
            error("5", "modify", "not-acceptable"),
            "<presence type='error' id='6' from='d@capulet.lit' to='juliet@capulet.lit/balcony'>"
            f"<error type='wait'><resource-constraint xmlns='{ERRORS}'/>"
            f"<text xmlns='{ERRORS}' xml:lang='en'>*</text></error></presence>",
        )


# RFC 6121#2.5: removing (what contacts hear of it is in test_subscriptions.py)


async def test_a_removed_contact_is_pushed_as_removed(server: Harness, juliet: Client) -> None:
    chamber = await interested(server, "juliet@capulet.lit/chamber")
    await juliet.send(set_item("<item jid='nurse@capulet.lit'/>", id="add"))
    juliet.received.clear()
    chamber.received.clear()
    await juliet.send(set_item("<item jid='nurse@capulet.lit' subscription='remove'/>") + GET)
    item = "<item jid='nurse@capulet.lit' subscription='remove'/>"
    juliet.expect(result("set"), push(item), result("get", "<query xmlns='jabber:iq:roster' ver='*'/>"))
    chamber.expect(push(item, to="juliet@capulet.lit/chamber"))


async def test_a_stranger_who_asked_is_no_contact_that_could_be_removed(
    server: Harness, juliet: Client
) -> None:
    romeo = await server.client("romeo@capulet.lit/orchard", available=True)
    await romeo.send("<presence to='juliet@capulet.lit' type='subscribe'/>")
    await juliet.send(set_item("<item jid='romeo@capulet.lit' subscription='remove'/>"))
    juliet.expect(error("set", "cancel", "item-not-found"))
    romeo.expect_nothing()


# RFC 6121#2.6, XEP-0237: versions


async def test_who_has_the_newest_version_gets_nothing(server: Harness, juliet: Client) -> None:
    await juliet.send(set_item("<item jid='nurse@capulet.lit'/>"))
    pushed = juliet.received[-1].child("query", "jabber:iq:roster")
    assert pushed is not None
    version = pushed.get("ver")
    again = await server.client("juliet@capulet.lit/chamber")
    await again.send(f"<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>")
    again.expect(result("get", to="juliet@capulet.lit/chamber"))
    await juliet.send(set_item("<item jid='romeo@capulet.lit'/>"))
    again.expect(  # it is interested all the same
        push("<item jid='romeo@capulet.lit' subscription='none'/>", to="juliet@capulet.lit/chamber")
    )


@pytest.mark.parametrize("version", ["", "0", "1-0", "something"])
async def test_who_has_another_version_or_none_gets_the_whole_roster(juliet: Client, version: str) -> None:
    await juliet.send(set_item("<item jid='nurse@capulet.lit'/>"))
    juliet.received.clear()
    await juliet.send(f"<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>")
    juliet.expect(
        result(
            "get",
            "<query xmlns='jabber:iq:roster' ver='*'><item jid='nurse@capulet.lit' subscription='none'/></query>",
        )
    )


async def test_every_push_has_a_version_of_its_own_and_the_last_is_the_rosters(juliet: Client) -> None:
    await juliet.send(
        set_item("<item jid='nurse@capulet.lit'/>")
        + "<presence to='romeo@capulet.lit' type='subscribe'/>"  # answered: there is no such account
        + set_item("<item jid='nurse@capulet.lit' subscription='remove'/>")
        + GET
    )
    versions = [
        query.get("ver")
        for stanza in juliet.received
        if (query := stanza.child("query", "jabber:iq:roster")) is not None
    ]
    assert len(versions) == 5
    assert len(set(versions)) == 4
    assert versions[-1] == versions[-2]


async def test_an_account_that_was_made_again_has_other_versions(server: Harness) -> None:
    juliet = await server.client("juliet@capulet.lit/balcony")
    await juliet.send(set_item("<item jid='nurse@capulet.lit'/>") + GET)
    query = juliet.received[-1].child("query", "jabber:iq:roster")
    assert query is not None
    await server.node.administration.delete(Jid.parse("juliet@capulet.lit"))
    await server.settle()
    other = await server.client("juliet@capulet.lit/balcony")
    await other.send(set_item("<item jid='romeo@capulet.lit'/>"))
    other.received.clear()
    await other.send(
        f"<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='{query.get('ver')}'/></iq>"
    )
    other.expect(
        result(
            "get",
            "<query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@capulet.lit' subscription='none'/></query>",
        )
    )


def test_versions_and_pre_approval_are_offered_to_who_is_logged_in(features: list[str]) -> None:
    assert features == ["ver urn:xmpp:features:rosterver", "sub urn:xmpp:features:pre-approval"]


@pytest_asyncio.fixture
async def features(server: Harness) -> list[str]:
    offers = server.node.core.offers
    domain = Jid.parse("capulet.lit")
    stranger = offers.features(StreamInfo(domain, "192.0.2.1", True, None))
    assert not [feature for feature in stranger if "features" in feature.ns]
    member = offers.features(StreamInfo(domain, "192.0.2.1", True, Jid.parse("juliet@capulet.lit")))
    return [
        f"{feature.name} {feature.ns}" for feature in member if feature.ns.startswith("urn:xmpp:features:")
    ]


# Whose roster it is


async def test_a_client_may_name_its_own_account(juliet: Client) -> None:
    await juliet.send(GET.replace("<iq", "<iq to='juliet@capulet.lit'"))
    juliet.expect(result("get", "<query xmlns='jabber:iq:roster' ver='*'/>"))


@pytest.mark.parametrize("to", ["romeo@capulet.lit", "nobody@capulet.lit", "capulet.lit"])
@pytest.mark.parametrize("request_", [GET, set_item("<item jid='nurse@capulet.lit'/>", id="get")])
async def test_the_roster_of_others_is_theirs(
    server: Harness, juliet: Client, to: str, request_: str
) -> None:
    """RFC 6121#2.3.3; an address without account gives the same answer."""
    await server.account("romeo@capulet.lit")
    await juliet.send(request_.replace("<iq", f"<iq to='{to}'"))
    juliet.expect(error("get", "auth", "forbidden", by=to))


async def test_pushes_need_no_answer(juliet: Client) -> None:
    """RFC 6121#2.1.6: what the client answers to a push, or whether, changes nothing."""
    await juliet.send(set_item("<item jid='nurse@capulet.lit'/>"))
    id = juliet.received[-1].get("id")
    juliet.received.clear()
    await juliet.send(f"<iq type='result' id='{id}'/><iq type='error' id='{id}'/>")
    juliet.expect_nothing()


# I1: durable before visible


async def test_nothing_is_told_of_a_change_that_was_not_stored(
    server: Harness, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(server.stores.rosters, "update", full)
        await juliet.send(set_item("<item jid='nurse@capulet.lit'/>"))
    juliet.expect(error("set", "wait", "resource-constraint"))
    juliet.expect_nothing()
    await juliet.send(GET)
    juliet.expect(result("get", "<query xmlns='jabber:iq:roster' ver='*'/>"))


async def test_an_answered_change_is_in_the_storage(server: Harness, juliet: Client) -> None:
    await juliet.send(set_item("<item jid='nurse@capulet.lit' name='Nurse'/>"))
    juliet.expect(result("set"))
    roster = await server.stores.rosters.load(await server.account("juliet@capulet.lit"))
    nurse = Jid.parse("nurse@capulet.lit")
    assert roster.items == {nurse: RosterItem(nurse, "Nurse")}


async def test_a_change_is_stored_when_the_client_is_gone_before_the_answer(
    server: Harness, juliet: Client
) -> None:
    juliet.send_nowait(set_item("<item jid='nurse@capulet.lit'/>"))
    await juliet.close()
    roster = await server.stores.rosters.load(await server.account("juliet@capulet.lit"))
    assert list(roster.items) == [Jid.parse("nurse@capulet.lit")]


async def test_a_push_never_overtakes_the_roster_it_belongs_behind(server: Harness, juliet: Client) -> None:
    """A client that asks while another one changes: the result has the change, or a push follows it."""
    chamber = await server.client("juliet@capulet.lit/chamber")
    juliet.send_nowait(set_item("<item jid='nurse@capulet.lit'/>"))
    chamber.send_nowait(GET)
    await server.settle()
    seen: list[str | None] = []
    for stanza in chamber.received:
        query = stanza.child("query", "jabber:iq:roster")
        assert query is not None
        items = [item.get("jid") for item in query.each("item")]
        seen = items if stanza.get("type") == "result" else seen + items
    assert seen == ["nurse@capulet.lit"]
