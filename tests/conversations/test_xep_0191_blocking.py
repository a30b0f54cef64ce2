"""XEP-0191: what blocking does to either side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness
from xmppd.extensions.xep_0191_blocking import Blocked
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, StorageUnavailable, Subscription

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@montague.lit"


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness(
        "capulet.lit", "montague.lit", toml="[extensions.blocking]\nmax_items = 3\n"
    ) as harness:
        yield harness


async def subscribe(server: Harness, owner: str, contact: str, state: Subscription) -> None:
    jid = Jid.parse(contact)
    id = await server.account(owner)
    await server.stores.rosters.update([RosterChange(id, jid, lambda _: RosterItem(jid, subscription=state))])


async def command(client: Client, name: str, *jids: str) -> None:
    """Block or unblock, and take the result."""
    items = "".join(f"<item jid='{jid}'/>" for jid in jids)
    await client.send(f"<iq type='set' id='{name}1'><{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>")
    client.expect(f"<iq type='result' from='{JULIET}' to='{client.jid}' id='{name}1'/>")


async def blocklist(client: Client, *jids: str) -> None:
    """The list is this."""
    items = "".join(f"<item jid='{jid}'/>" for jid in jids)
    await client.send("<iq type='get' id='list1'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    client.expect(
        f"<iq type='result' from='{JULIET}' to='{client.jid}' id='list1'>"
        f"<blocklist xmlns='urn:xmpp:blocking'>{items}</blocklist></iq>"
    )


def error(kind: str, sender: str, to: str, type: str, condition: str, extra: str = "") -> str:
    return (
        f"<{kind} type='error' from='{sender}' to='{to}' id='1'><error type='{type}'>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{extra}</error></{kind}>"
    )


# The list


async def test_the_list_is_empty_at_first_and_holds_what_was_blocked(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    await blocklist(juliet)
    await command(juliet, "block", ROMEO, "iago@shakespeare.lit")
    juliet.received.clear()
    await blocklist(juliet, "iago@shakespeare.lit", ROMEO)


async def test_resources_that_asked_for_the_list_are_told_of_changes(server: Harness) -> None:
    chamber = await server.client(f"{JULIET}/chamber")
    balcony = await server.client(f"{JULIET}/balcony")
    phone = await server.client(f"{JULIET}/phone")
    await blocklist(chamber)
    await blocklist(balcony)
    for name, items in (
        ("block", f"<item jid='{ROMEO}'/>"),
        ("unblock", f"<item jid='{ROMEO}'/>"),
        ("unblock", ""),
    ):
        await command(phone, name, *([ROMEO] if items else []))
        for client in (chamber, balcony):
            client.expect(
                f"<iq type='set' from='{JULIET}' to='{client.jid}' id='*'>"
                f"<{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>"
            )
        phone.expect_nothing()


async def test_a_push_follows_the_result_to_who_asked(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    await blocklist(juliet)
    await command(juliet, "block", ROMEO)
    juliet.expect(
        f"<iq type='set' from='{JULIET}' to='{juliet.jid}' id='*'>"
        f"<block xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></block></iq>"
    )


@pytest.mark.parametrize(
    ("payload", "type", "condition"),
    [
        ("<block xmlns='urn:xmpp:blocking'/>", "modify", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item/></block>", "modify", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item jid='@nowhere'/></block>", "modify", "jid-malformed"),
    ],
)
async def test_what_names_nobody_is_refused(server: Harness, payload: str, type: str, condition: str) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    await juliet.send(f"<iq type='set' id='1'>{payload}</iq>")
    (got,) = juliet.received
    problem = got.child("error")
    assert problem is not None
    assert problem.get("type") == type
    assert problem.child(condition, "urn:ietf:params:xml:ns:xmpp-stanzas") is not None


async def test_a_list_that_would_grow_too_long_stays_as_it_is(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    await command(juliet, "block", "a@x.lit", "b@x.lit", "c@x.lit")
    await juliet.send(
        "<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='d@x.lit'/></block></iq>"
    )
    text = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>you can block 3 addresses</text>"
    juliet.expect(error("iq", JULIET, f"{JULIET}/chamber", "wait", "resource-constraint", text))
    await blocklist(juliet, "a@x.lit", "b@x.lit", "c@x.lit")


async def test_nobody_else_may_see_or_change_the_list(server: Harness) -> None:
    await server.client(f"{JULIET}/chamber")
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send(f"<iq type='get' to='{JULIET}' id='1'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    romeo.expect(error("iq", JULIET, f"{ROMEO}/orchard", "cancel", "service-unavailable"))


async def test_support_is_announced(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    await juliet.send(
        "<iq type='get' to='capulet.lit' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    query = next(juliet.received[0].elements())
    assert "urn:xmpp:blocking" in [feature.get("var") for feature in query.each("feature")]


# From the blocked one


async def test_messages_from_a_blocked_address_come_back(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await command(juliet, "block", ROMEO)
    for to in (JULIET, f"{JULIET}/chamber", f"{JULIET}/gone"):
        for type in ("normal", "chat", "headline"):
            await romeo.send(f"<message to='{to}' type='{type}' id='1'><body>O speak again</body></message>")
            romeo.expect(error("message", to, f"{ROMEO}/orchard", "cancel", "service-unavailable"))
    await romeo.send(f"<message to='{JULIET}/chamber' type='error' id='1'/>")
    romeo.expect_nothing()
    juliet.expect_nothing()


async def test_nothing_from_a_blocked_address_is_kept_for_later(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    romeo = await server.client(f"{ROMEO}/orchard")
    await command(juliet, "block", ROMEO)
    await juliet.close()
    await romeo.send(f"<message to='{JULIET}' type='chat' id='1'><body>O speak again</body></message>")
    romeo.expect(error("message", JULIET, f"{ROMEO}/orchard", "cancel", "service-unavailable"))
    again = await server.client(f"{JULIET}/chamber")
    await again.send("<presence/>")
    assert [element.name for element in again.received if element.name == "message"] == []


async def test_requests_from_a_blocked_address_come_back_and_answers_vanish(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await command(juliet, "block", ROMEO)
    for to in (JULIET, f"{JULIET}/chamber"):
        for type in ("get", "set"):
            await romeo.send(f"<iq to='{to}' type='{type}' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
            romeo.expect(error("iq", to, f"{ROMEO}/orchard", "cancel", "service-unavailable"))
    await romeo.send(f"<iq to='{JULIET}/chamber' type='result' id='1'/>")
    await romeo.send(f"<iq to='{JULIET}/chamber' type='error' id='1'/>")
    romeo.expect_nothing()
    juliet.expect_nothing()


@pytest.mark.parametrize(
    "type", ["", "unavailable", "subscribe", "unsubscribe", "subscribed", "unsubscribed", "probe"]
)
async def test_presence_from_a_blocked_address_vanishes(server: Harness, type: str) -> None:
    await subscribe(server, JULIET, ROMEO, Subscription.BOTH)
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    await command(juliet, "block", ROMEO)
    romeo.received.clear()
    attribute = f"type='{type}'" if type else ""
    await romeo.send(f"<presence to='{JULIET}' {attribute}/>")
    assert [element for element in romeo.received if "juliet" in (element.get("from") or "")] == []
    juliet.expect_nothing()


@pytest.mark.parametrize(
    ("blocked", "orchard", "study"),
    [
        (f"{ROMEO}/orchard", False, True),
        (ROMEO, False, False),
        ("montague.lit", False, False),
        ("montague.lit/orchard", True, True),
        ("capulet.lit", True, True),
    ],
)
async def test_how_addresses_match(server: Harness, blocked: str, orchard: bool, study: bool) -> None:
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    await command(juliet, "block", blocked)
    for resource, passes in (("orchard", orchard), ("study", study)):
        romeo = await server.client(f"{ROMEO}/{resource}")
        await romeo.send(f"<message to='{JULIET}/chamber'><body>Ay me</body></message>")
        assert len(juliet.received) == passes
        assert len(romeo.received) != passes
        juliet.received.clear()


# To the blocked one


@pytest.mark.parametrize(
    "stanza",
    [
        "<message to='{}' id='1'><body>Can you hear me now?</body></message>",
        "<iq type='get' to='{}' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<presence to='{}' id='1'/>",
        "<presence to='{}' type='subscribe' id='1'/>",
    ],
)
async def test_sending_to_a_blocked_address_is_a_mistake(server: Harness, stanza: str) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await command(juliet, "block", ROMEO)
    await juliet.send(stanza.format(f"{ROMEO}/orchard"))
    text = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>you have blocked them</text>"
    juliet.expect(
        error(
            stanza[1:].split()[0], f"{ROMEO}/orchard", f"{JULIET}/chamber", "cancel", "not-acceptable",
            f"{text}<blocked xmlns='urn:xmpp:blocking:errors'/>",
        )
    )  # fmt: skip
    romeo.expect_nothing()


async def test_who_sees_the_user_is_told_that_she_left_and_that_she_is_back(server: Harness) -> None:
    await subscribe(server, JULIET, ROMEO, Subscription.BOTH)
    await subscribe(server, ROMEO, JULIET, Subscription.BOTH)
    juliet = await server.client(f"{JULIET}/chamber")
    await juliet.send("<presence><status>Ay me</status></presence>")
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    await command(juliet, "block", ROMEO)
    romeo.expect(f"<presence type='unavailable' from='{JULIET}/chamber' to='{ROMEO}'/>")
    romeo.expect_nothing()
    juliet.received.clear()
    await command(juliet, "unblock", ROMEO)
    delay = "<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='*'/>"
    romeo.expect(f"<presence from='{JULIET}/chamber' to='{ROMEO}'><status>Ay me</status>{delay}</presence>")
    romeo.expect_nothing()
    # her client missed what he sent meanwhile, so the server asks for it
    assert [element.get("from") for element in juliet.received] == [f"{ROMEO}/orchard"]


@pytest.mark.parametrize("name", ["block", "unblock"])
async def test_nothing_changes_where_the_contacts_cannot_be_read(
    server: Harness, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else Romeo would be blocked and see Juliet online for ever."""
    await subscribe(server, JULIET, ROMEO, Subscription.FROM)
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    held = [] if name == "block" else [ROMEO]
    if held:
        await command(juliet, "block", *held)

    async def broken(owner: int) -> None:
        raise StorageUnavailable("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(server.stores.rosters, "load", broken)
        await juliet.send(
            f"<iq type='set' id='1'><{name} xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></{name}></iq>"
        )
    (answer,) = juliet.received
    assert answer.get("type") == "error"
    juliet.received.clear()
    await blocklist(juliet, *held)


async def test_who_does_not_see_the_user_is_told_nothing(server: Harness) -> None:
    await subscribe(server, JULIET, ROMEO, Subscription.TO)
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await command(juliet, "block", ROMEO)
    await command(juliet, "unblock")
    romeo.expect_nothing()


async def test_blocking_a_resource_or_a_domain_tells_only_whom_it_concerns(server: Harness) -> None:
    await subscribe(server, JULIET, ROMEO, Subscription.FROM)
    await subscribe(server, JULIET, "nurse@capulet.lit", Subscription.FROM)
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    nurse = await server.client("nurse@capulet.lit/hall", available=True)
    await command(juliet, "block", f"{ROMEO}/orchard")
    romeo.expect(f"<presence type='unavailable' from='{JULIET}/chamber' to='{ROMEO}/orchard'/>")
    await command(juliet, "block", "montague.lit")
    romeo.expect(f"<presence type='unavailable' from='{JULIET}/chamber' to='{ROMEO}'/>")
    # still blocked by his domain
    await command(juliet, "unblock", f"{ROMEO}/orchard")
    romeo.expect_nothing()
    nurse.expect_nothing()


async def test_who_got_directed_presence_is_told_too(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await juliet.send(f"<presence to='{ROMEO}/orchard'/>")
    romeo.expect(f"<presence from='{JULIET}/chamber' to='{ROMEO}/orchard'/>")
    await command(juliet, "block", ROMEO)
    romeo.expect(f"<presence type='unavailable' from='{JULIET}/chamber' to='{ROMEO}/orchard'/>")


async def test_presence_is_not_broadcast_to_blocked_contacts(server: Harness) -> None:
    await subscribe(server, JULIET, ROMEO, Subscription.BOTH)
    await subscribe(server, ROMEO, JULIET, Subscription.BOTH)
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    await command(juliet, "block", ROMEO)
    romeo.received.clear()
    await juliet.send("<presence><show>away</show></presence>")
    await juliet.close()
    romeo.expect_nothing()


# Limits of blocking


async def test_it_never_stands_between_ones_own_resources(server: Harness) -> None:
    chamber = await server.client(f"{JULIET}/chamber", available=True)
    balcony = await server.client(f"{JULIET}/balcony", available=True)
    chamber.received.clear()
    await command(chamber, "block", JULIET, "capulet.lit")
    balcony.received.clear()
    await balcony.send(f"<message to='{JULIET}/chamber'><body>Note</body></message>")
    chamber.expect(f"<message from='{JULIET}/balcony' to='{JULIET}/chamber'><body>Note</body></message>")
    await chamber.send(f"<message to='{JULIET}/balcony'><body>Note</body></message>")
    balcony.expect(f"<message from='{JULIET}/chamber' to='{JULIET}/balcony'><body>Note</body></message>")


async def test_blocks_survive_sessions_and_end_when_they_are_lifted(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    romeo = await server.client(f"{ROMEO}/orchard")
    await command(juliet, "block", ROMEO)
    await juliet.close()
    juliet = await server.client(f"{JULIET}/chamber", available=True)
    await romeo.send(f"<message to='{JULIET}' id='1'><body>Ay me</body></message>")
    romeo.expect(error("message", JULIET, f"{ROMEO}/orchard", "cancel", "service-unavailable"))
    await command(juliet, "unblock")
    await blocklist(juliet)
    await romeo.send(f"<message to='{JULIET}' id='1'><body>Ay me</body></message>")
    juliet.expect(f"<message from='{ROMEO}/orchard' to='{JULIET}' id='1'><body>Ay me</body></message>")


async def test_nothing_is_kept_in_memory_for_who_blocks_nobody(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/chamber")
    account = juliet.session.account
    assert account.get(Blocked) is None
    await command(juliet, "block", ROMEO)
    assert account.get(Blocked) is not None
    await command(juliet, "unblock", ROMEO)
    assert account.get(Blocked) is None


async def test_whoever_blocks_the_own_server_can_still_talk_to_it() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send(
            "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='capulet.lit'/></block></iq>"
        )
        juliet.received.clear()
        await juliet.send("<iq type='get' to='capulet.lit' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        juliet.expect("<iq type='result' from='capulet.lit' to='juliet@capulet.lit/balcony' id='p'/>")
