"""Subscriptions between two of our own accounts (RFC 6121#3): both sides change together, then both are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, StorageUnavailable, Subscription

JULIET, ROMEO = "juliet@capulet.lit", "romeo@montague.lit"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
DELAY = "<delay xmlns='urn:xmpp:delay' from='*' stamp='*'/>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit") as server:
        yield server


@pytest_asyncio.fixture
async def juliet(server: Harness) -> Client:
    return await interested(server, f"{JULIET}/balcony")


@pytest_asyncio.fixture
async def romeo(server: Harness) -> Client:
    return await interested(server, f"{ROMEO}/orchard")


async def interested(server: Harness, jid: str) -> Client:
    """Available, and interested in its roster."""
    client = await server.client(jid, available=True)
    await client.send("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
    client.received.clear()
    return client


async def friends(server: Harness, *clients: Client, state: Subscription = Subscription.BOTH) -> None:
    """Juliet and Romeo have one another in their rosters in ``state`` (as Juliet sees it)."""
    mirrored = {Subscription.TO: Subscription.FROM, Subscription.FROM: Subscription.TO}
    await put(server, JULIET, RosterItem(Jid.parse(ROMEO), subscription=state))
    await put(server, ROMEO, RosterItem(Jid.parse(JULIET), subscription=mirrored.get(state, state)))
    for client in clients:  # so that the node reads the rosters again
        await client.send(
            "<iq type='set' id='x'><query xmlns='jabber:iq:roster'><item jid='x@x.lit'/></query></iq>"
        )
        client.received.clear()


async def put(server: Harness, owner: str, item: RosterItem) -> None:
    id = await server.account(owner)
    await server.stores.rosters.update([RosterChange(id, item.jid, lambda _: item)])


async def item(server: Harness, owner: str, contact: str) -> RosterItem | None:
    roster = await server.stores.rosters.load(await server.account(owner))
    return roster.items.get(Jid.parse(contact))


async def states(server: Harness) -> tuple[str, str]:
    """What Juliet's roster says of Romeo, and his of her; "-": nothing."""
    return state(await item(server, JULIET, ROMEO)), state(await item(server, ROMEO, JULIET))


def state(item: RosterItem | None) -> str:
    if item is None or not item.listed:
        return "-"
    return item.subscription.value + (" ask" if item.ask else "")


def push(client: Client, contact: str, subscription: str, more: str = "") -> str:
    return (
        f"<iq type='set' id='*' from='{client.jid.bare}' to='{client.jid}'>"
        f"<query xmlns='jabber:iq:roster' ver='*'><item jid='{contact}' subscription='{subscription}'{more}/>"
        "</query></iq>"
    )


def presence(type: str, sender: str, to: str) -> str:
    return f"<presence type='{type}' from='{sender}' to='{to}'/>"


def error(id: str, type: str, condition: str, by: str, to: str) -> str:
    return (
        f"<presence type='error' id='{id}' from='{by}' to='{to}'><error type='{type}'>"
        f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></presence>"
    )


# The whole story


async def test_two_people_become_contacts(server: Harness, juliet: Client, romeo: Client) -> None:
    await romeo.send(f"<presence to='{JULIET}' type='subscribe' id='s1'><status>It is I</status></presence>")
    romeo.expect(push(romeo, JULIET, "none", " ask='subscribe'"))
    juliet.expect(
        f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe' id='s1'><status>It is I</status></presence>"
    )

    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    juliet.expect(push(juliet, ROMEO, "from"))
    romeo.expect(
        presence("subscribed", JULIET, ROMEO),
        push(romeo, JULIET, "to"),
        f"<presence from='{JULIET}/balcony' to='{ROMEO}'>{DELAY}</presence>",
    )

    await juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
    juliet.expect(push(juliet, ROMEO, "from", " ask='subscribe'"))
    romeo.expect(presence("subscribe", JULIET, ROMEO))

    await romeo.send(f"<presence to='{JULIET}' type='subscribed'/>")
    romeo.expect(push(romeo, JULIET, "both"))
    juliet.expect(
        presence("subscribed", ROMEO, JULIET),
        push(juliet, ROMEO, "both"),
        f"<presence from='{ROMEO}/orchard' to='{JULIET}'>{DELAY}</presence>",
    )

    await romeo.send(f"<presence to='{JULIET}' type='unsubscribe'/>")  # RFC 6121#3.3
    romeo.expect(push(romeo, JULIET, "from"), presence("unavailable", f"{JULIET}/balcony", ROMEO))
    juliet.expect(presence("unsubscribe", ROMEO, JULIET), push(juliet, ROMEO, "to"))

    await romeo.send(f"<presence to='{JULIET}' type='unsubscribed'/>")  # RFC 6121#3.2
    romeo.expect(push(romeo, JULIET, "none"))
    juliet.expect(
        presence("unavailable", f"{ROMEO}/orchard", JULIET),
        presence("unsubscribed", ROMEO, JULIET),
        push(juliet, ROMEO, "none"),
    )
    juliet.expect_nothing()
    romeo.expect_nothing()


async def test_a_request_is_denied(server: Harness, juliet: Client, romeo: Client) -> None:
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    await juliet.send(f"<presence to='{ROMEO}' type='unsubscribed'/>")
    romeo.expect(
        push(romeo, JULIET, "none", " ask='subscribe'"),
        presence("unsubscribed", JULIET, ROMEO),
        push(romeo, JULIET, "none"),
    )
    juliet.expect(presence("subscribe", ROMEO, JULIET))
    juliet.expect_nothing()  # RFC 6121#A.2.4: he never was in her roster
    assert await states(server) == ("-", "none")


# Who of several resources hears what


async def test_a_request_goes_to_all_available_resources(server: Harness, romeo: Client) -> None:
    """RFC 6121#3.1.3, also to those of negative priority, and to those that did not ask for the roster."""
    balcony = await server.client(f"{JULIET}/balcony", available=True)
    chamber = await server.client(f"{JULIET}/chamber")
    garden = await server.client(f"{JULIET}/garden")
    await garden.send("<presence><priority>-1</priority></presence>")
    for client in (balcony, garden):
        client.received.clear()
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    balcony.expect(presence("subscribe", ROMEO, JULIET))
    garden.expect(presence("subscribe", ROMEO, JULIET))
    chamber.expect_nothing()


async def test_answers_go_to_interested_and_to_available_resources(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    """RFC 6121#3.1.6 names the interested ones; see ``_listeners``."""
    invisible = await server.client(f"{ROMEO}/invisible")
    await invisible.send("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>")
    rosterless = await server.client(f"{ROMEO}/rosterless", available=True)
    neither = await server.client(f"{ROMEO}/neither")
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    invisible.received.clear()
    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    current = f"<presence from='{JULIET}/balcony' to='{ROMEO}'>{DELAY}</presence>"
    rosterless.expect(presence("subscribed", JULIET, ROMEO), current)
    invisible.expect(presence("subscribed", JULIET, ROMEO), push(invisible, JULIET, "to"))
    for client in (rosterless, invisible, neither):
        client.expect_nothing()


async def test_all_available_resources_are_shown_and_hidden(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    chamber = await server.client(f"{JULIET}/chamber")
    await chamber.send("<presence><show>away</show><priority>-1</priority></presence>")
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    romeo.received.clear()
    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    romeo.expect(
        presence("subscribed", JULIET, ROMEO),
        push(romeo, JULIET, "to"),
        f"<presence from='{JULIET}/balcony' to='{ROMEO}'>{DELAY}</presence>",
        f"<presence from='{JULIET}/chamber' to='{ROMEO}'><show>away</show><priority>-1</priority>{DELAY}</presence>",
    )
    await juliet.send(f"<presence to='{ROMEO}' type='unsubscribed'/>")
    romeo.expect(
        presence("unavailable", f"{JULIET}/balcony", ROMEO),
        presence("unavailable", f"{JULIET}/chamber", ROMEO),
        presence("unsubscribed", JULIET, ROMEO),
        push(romeo, JULIET, "none"),
    )


async def test_who_is_not_available_shows_nothing(server: Harness, romeo: Client) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    romeo.received.clear()
    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    romeo.expect(presence("subscribed", JULIET, ROMEO), push(romeo, JULIET, "to"))
    romeo.expect_nothing()


# Requests that wait (RFC 6121#3.1.3)


async def test_a_request_waits_until_it_is_answered(server: Harness, romeo: Client) -> None:
    await server.account(JULIET)
    request = (
        f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe' id='s'><status>It is I</status>"
        "<nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick></presence>"
    )
    await romeo.send(request.replace(f"from='{ROMEO}' ", ""))
    juliet = await server.client(f"{JULIET}/balcony")
    juliet.expect_nothing()
    own = f"<presence from='{JULIET}/balcony' to='{JULIET}'/>"
    await juliet.send("<presence/>")
    juliet.expect(own, request)
    await juliet.send("<presence/>")
    juliet.expect(own)  # only when a resource becomes available
    chamber = await server.client(f"{JULIET}/chamber")
    await chamber.send("<presence/>")
    chamber.expect(
        f"<presence from='{JULIET}/chamber' to='{JULIET}'/>",
        f"<presence from='{JULIET}/balcony' to='{JULIET}/chamber'>{DELAY}</presence>",
        request,
    )
    juliet.received.clear()
    await juliet.send("<presence type='unavailable'/><presence/>")
    juliet.expect_all(
        presence("unavailable", f"{JULIET}/balcony", JULIET),
        own,
        f"<presence from='{JULIET}/chamber' to='{JULIET}/balcony'>{DELAY}</presence>",
        request,
    )
    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    garden = await server.client(f"{JULIET}/garden")
    await garden.send("<presence/>")
    assert [stanza.get("type") for stanza in garden.received] == [None, None, None]


async def test_a_request_that_is_repeated_is_delivered_once(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    first = f"<presence to='{JULIET}' type='subscribe'><status>first</status></presence>"
    await romeo.send(first + first.replace("first", "second"))
    waiting = f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe'><status>first</status></presence>"
    juliet.expect(waiting)
    juliet.expect_nothing()
    await juliet.send("<presence type='unavailable'/>")
    juliet.received.clear()
    await juliet.send("<presence/>")
    juliet.expect(f"<presence from='{JULIET}/balcony' to='{JULIET}'/>", waiting)


async def test_a_request_that_was_taken_back_waits_no_longer(server: Harness, romeo: Client) -> None:
    await server.account(JULIET)
    await romeo.send(
        f"<presence to='{JULIET}' type='subscribe'/><presence to='{JULIET}' type='unsubscribe'/>"
    )
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence/>")
    juliet.expect(f"<presence from='{JULIET}/balcony' to='{JULIET}'/>")
    juliet.expect_nothing()
    assert await states(server) == ("-", "none")


# Answers given beforehand


async def test_who_was_approved_beforehand_is_let_in_at_once(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    juliet.expect(push(juliet, ROMEO, "none", " approved='true'"))
    romeo.expect_nothing()  # RFC 6121#3.4.2
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    romeo.expect(
        push(romeo, JULIET, "none", " ask='subscribe'"),
        presence("subscribed", JULIET, ROMEO),
        push(romeo, JULIET, "to"),
        f"<presence from='{JULIET}/balcony' to='{ROMEO}'>{DELAY}</presence>",
    )
    juliet.expect(push(juliet, ROMEO, "from"))
    juliet.expect_nothing()


async def test_who_sees_the_contact_already_is_told_so_again(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    """RFC 6121#3.1.3: e.g. after the two rosters got out of step; nobody is asked."""
    await friends(server, juliet, romeo)
    await put(server, ROMEO, RosterItem(Jid.parse(JULIET), subscription=Subscription.FROM))
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    romeo.expect(
        push(romeo, JULIET, "from", " ask='subscribe'"),
        presence("subscribed", JULIET, ROMEO),
        push(romeo, JULIET, "both"),
        f"<presence from='{JULIET}/balcony' to='{ROMEO}'>{DELAY}</presence>",
    )
    juliet.expect_nothing()
    assert await states(server) == ("both", "both")


# Addresses that cannot answer


@pytest.mark.parametrize("nobody", ["nobody@capulet.lit", "capulet.lit"])
async def test_who_is_not_there_answers_unsubscribed(server: Harness, romeo: Client, nobody: str) -> None:
    """RFC 6121#3.1.3, #8.5.1."""
    await romeo.send(f"<presence to='{nobody}' type='subscribe'/>")
    romeo.expect(
        push(romeo, nobody, "none", " ask='subscribe'"),
        presence("unsubscribed", nobody, ROMEO),
        push(romeo, nobody, "none"),
    )
    await romeo.send(
        "".join(f"<presence to='{nobody}' type='{type}'/>" for type in ("unsubscribe", "unsubscribed"))
    )
    romeo.expect_nothing()


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
async def test_nobody_is_a_contact_of_their_own(server: Harness, romeo: Client, type: str) -> None:
    await romeo.send(f"<presence to='{ROMEO}/orchard' type='{type}' id='p'/>")
    romeo.expect(error("p", "cancel", "not-allowed", f"{ROMEO}/orchard", f"{ROMEO}/orchard"))
    assert await item(server, ROMEO, ROMEO) is None


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"])
async def test_a_subscription_stanza_is_for_somebody(romeo: Client, type: str) -> None:
    await romeo.send(f"<presence type='{type}' id='p'/>")
    romeo.expect(error("p", "modify", "bad-request", ROMEO, f"{ROMEO}/orchard"))


# Removing a contact (RFC 6121#2.5.2)


async def test_a_contact_that_is_removed_hears_that_all_is_over(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await friends(server, juliet, romeo)
    await romeo.send(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>"
        f"<item jid='{JULIET}' subscription='remove'/></query></iq>"
    )
    romeo.expect(
        f"<iq type='result' id='r' from='{ROMEO}' to='{ROMEO}/orchard'/>",
        presence("unavailable", f"{JULIET}/balcony", ROMEO),
        push(romeo, JULIET, "remove"),
    )
    juliet.expect(
        presence("unavailable", f"{ROMEO}/orchard", JULIET),
        presence("unsubscribe", ROMEO, JULIET),
        push(juliet, ROMEO, "to"),
        presence("unsubscribed", ROMEO, JULIET),
        push(juliet, ROMEO, "none"),
    )
    juliet.expect_nothing()
    romeo.expect_nothing()
    assert await states(server) == ("none", "-")


async def test_removing_a_contact_takes_the_request_back(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    await romeo.send(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>"
        f"<item jid='{JULIET}' subscription='remove'/></query></iq>"
    )
    juliet.expect(presence("subscribe", ROMEO, JULIET), presence("unsubscribe", ROMEO, JULIET))
    juliet.expect_nothing()
    assert await states(server) == ("-", "-")


# An account that goes away


async def test_contacts_of_a_deleted_account_are_told_and_no_longer_subscribed(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await friends(server, juliet, romeo)
    nurse = await interested(server, "nurse@capulet.lit/kitchen")
    await nurse.send(f"<presence to='{ROMEO}' type='subscribe'/>")
    nurse.received.clear()
    await server.node.administration.delete(Jid.parse(ROMEO))
    await server.settle()
    assert romeo.error is not None
    juliet.expect(
        presence("unavailable", f"{ROMEO}/orchard", JULIET),
        presence("unsubscribe", ROMEO, JULIET),
        push(juliet, ROMEO, "to"),
        presence("unsubscribed", ROMEO, JULIET),
        push(juliet, ROMEO, "none"),
    )
    nurse.expect(presence("unsubscribed", ROMEO, "nurse@capulet.lit"), push(nurse, ROMEO, "none"))
    other = await interested(server, f"{ROMEO}/orchard")  # somebody takes the address
    assert await states(server) == ("none", "-")
    await other.send("<presence/>")
    juliet.expect_nothing()


# Blocked (XEP-0191#block): the contact hears nothing, and the user does not learn why


async def block(client: Client, jid: str) -> None:
    await client.send(
        f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>"
    )
    client.received.clear()


async def test_a_request_of_a_blocked_user_is_lost(server: Harness, juliet: Client, romeo: Client) -> None:
    await block(juliet, ROMEO)
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    romeo.expect(push(romeo, JULIET, "none", " ask='subscribe'"))
    romeo.expect_nothing()
    juliet.expect_nothing()
    assert await states(server) == ("-", "none ask")
    assert await item(server, JULIET, ROMEO) is None  # nor will it be there when he is unblocked


async def test_a_request_that_waits_is_not_shown_while_its_sender_is_blocked(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    await block(juliet, ROMEO)
    chamber = await server.client(f"{JULIET}/chamber")
    await chamber.send("<presence/>")
    assert not [stanza for stanza in chamber.received if stanza.get("type") == "subscribe"]


@pytest.mark.parametrize(
    ("type", "before", "after"),
    [
        ("unsubscribe", Subscription.BOTH, ("to", "from")),
        ("unsubscribed", Subscription.BOTH, ("from", "to")),
    ],
)
async def test_a_blocked_user_can_leave_and_the_rosters_agree(
    server: Harness, juliet: Client, romeo: Client, type: str, before: Subscription, after: tuple[str, str]
) -> None:
    await friends(server, juliet, romeo, state=before)
    await block(juliet, ROMEO)
    romeo.received.clear()
    await romeo.send(f"<presence to='{JULIET}' type='{type}'/>")
    juliet.expect(push(juliet, ROMEO, after[0]))
    juliet.expect_nothing()
    romeo.expect(push(romeo, JULIET, after[1]))
    romeo.expect_nothing()
    assert await states(server) == after


# Limits


async def test_requests_are_rationed() -> None:
    async with Harness(
        "capulet.lit", "montague.lit", toml="[limits]\nsubscription_requests_per_hour = 2"
    ) as server:
        romeo = await server.client(f"{ROMEO}/orchard")
        for number in range(3):
            await server.account(f"a{number}@capulet.lit")
            await romeo.send(f"<presence to='a{number}@capulet.lit' type='subscribe' id='{number}'/>")
        romeo.expect(error("2", "wait", "resource-constraint", "a2@capulet.lit", f"{ROMEO}/orchard"))
        assert await item(server, ROMEO, "a1@capulet.lit") is not None
        assert await item(server, ROMEO, "a2@capulet.lit") is None
        await romeo.send("<presence to='a1@capulet.lit' type='unsubscribe'/>")  # only asking is rationed
        await romeo.close()
        romeo = await server.client(f"{ROMEO}/orchard")  # logging in again does not help
        await romeo.send("<presence to='a2@capulet.lit' type='subscribe' id='3'/>")
        romeo.expect(error("3", "wait", "resource-constraint", "a2@capulet.lit", f"{ROMEO}/orchard"))
        await server.advance(3_600)
        await romeo.send("<presence to='a2@capulet.lit' type='subscribe' id='4'/>")
        romeo.expect_nothing()
        assert await item(server, ROMEO, "a2@capulet.lit") is not None


async def test_only_so_many_requests_wait_in_one_account() -> None:
    """They do not take the room of contacts."""
    limits = "[limits]\nsubscription_requests = 1\nroster_items = 2"
    async with Harness("capulet.lit", "montague.lit", toml=limits) as server:
        await server.account(JULIET)
        romeo = await server.client(f"{ROMEO}/orchard")
        paris = await server.client("paris@montague.lit/palace")
        await romeo.send(f"<presence to='{JULIET}' type='subscribe' id='1'/>")
        await paris.send(f"<presence to='{JULIET}' type='subscribe' id='2'/>")
        romeo.expect_nothing()
        paris.expect(error("2", "wait", "resource-constraint", JULIET, "paris@montague.lit/palace"))
        assert await item(server, "paris@montague.lit", JULIET) is None  # both or none
        juliet = await server.client(f"{JULIET}/balcony")
        for contact in ("a@x.lit", "b@x.lit"):
            await juliet.send(
                f"<iq type='set' id='{contact}'><query xmlns='jabber:iq:roster'><item jid='{contact}'/></query></iq>"
            )
            juliet.expect(f"<iq type='result' id='{contact}' from='{JULIET}' to='{JULIET}/balcony'/>")


async def test_of_a_large_request_the_text_is_not_kept() -> None:
    limits = "[limits]\nsubscription_request_bytes = 200"
    async with Harness("capulet.lit", "montague.lit", toml=limits) as server:
        juliet = await server.client(f"{JULIET}/balcony", available=True)
        romeo = await server.client(f"{ROMEO}/orchard")
        text = f"<status>{'Ay me! ' * 30}</status>"
        await romeo.send(f"<presence to='{JULIET}' type='subscribe' id='s'>{text}</presence>")
        juliet.expect(f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe' id='s'>{text}</presence>")
        chamber = await server.client(f"{JULIET}/chamber")
        await chamber.send("<presence/>")
        assert chamber.received.pop(1).get("from") == f"{JULIET}/balcony"
        chamber.expect(
            f"<presence from='{JULIET}/chamber' to='{JULIET}'/>",
            f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe' id='s'/>",
        )


# I1: one transaction, and nothing is told before it


async def test_both_sides_change_in_one_transaction(
    server: Harness, juliet: Client, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions: list[list[int]] = []
    update = server.stores.rosters.update

    async def watched(changes: Sequence[RosterChange], **limits: Any) -> object:
        transactions.append(sorted({change.owner for change in changes}))
        assert not juliet.received
        assert not romeo.received
        return await update(changes, **limits)

    with monkeypatch.context() as patched:
        patched.setattr(server.stores.rosters, "update", watched)
        await juliet.send(
            f"<presence to='{ROMEO}' type='subscribed'/>"
        )  # beforehand, so that an answer follows
        juliet.received.clear()
        await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
        juliet.received.clear()
        romeo.received.clear()
        await romeo.send(
            "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>"
            f"<item jid='{JULIET}' subscription='remove'/></query></iq>"
        )
    both = sorted([await server.account(JULIET), await server.account(ROMEO)])
    assert transactions == [both, both, both]


async def test_nothing_is_told_of_what_was_not_stored(
    server: Harness, juliet: Client, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(server.stores.rosters, "update", full)
        await romeo.send(f"<presence to='{JULIET}' type='subscribe' id='s'/>")
    romeo.expect(error("s", "wait", "resource-constraint", JULIET, f"{ROMEO}/orchard"))
    romeo.expect_nothing()
    juliet.expect_nothing()
    assert await states(server) == ("-", "-")


async def test_two_who_ask_each_other_at_once(server: Harness, juliet: Client, romeo: Client) -> None:
    juliet.send_nowait(f"<presence to='{ROMEO}' type='subscribe'/>")
    romeo.send_nowait(f"<presence to='{JULIET}' type='subscribe'/>")
    await server.settle()
    assert await states(server) == ("none ask", "none ask")
    juliet.send_nowait(f"<presence to='{ROMEO}' type='subscribed'/>")
    romeo.send_nowait(f"<presence to='{JULIET}' type='subscribed'/>")
    await server.settle()
    assert await states(server) == ("both", "both")
    for client, other in ((juliet, ROMEO), (romeo, JULIET)):
        versions = [
            int(str(query.get("ver")).partition("-")[2])
            for stanza in client.received
            if (query := stanza.child("query", "jabber:iq:roster")) is not None
        ]
        assert versions == sorted(versions), "pushes come in the order of their versions"
        shown = [stanza for stanza in client.received if str(stanza.get("from")).startswith(f"{other}/")]
        assert len(shown) == 1


async def test_what_a_client_sends_behind_a_request_comes_behind_it(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    """I5: the request waits for the storage, and the message must not overtake it."""
    await romeo.send(
        f"<presence to='{JULIET}' type='subscribe'/><message to='{JULIET}' type='chat'><body>Hark</body></message>"
    )
    juliet.expect(
        presence("subscribe", ROMEO, JULIET),
        f"<message from='{ROMEO}/orchard' to='{JULIET}' type='chat'><body>Hark</body></message>",
    )
