"""Subscriptions between two of our own accounts (RFC 6121#3): both sides change together, then both are told."""

from __future__ import annotations

import pytest

from tests.conversations.contacts import JULIET, ROMEO
from tests.conversations.subscribing import (
    DELAY,
    error,
    friends,
    interested,
    item,
    presence,
    push,
    put,
    states,
)
from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterItem, Subscription

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
