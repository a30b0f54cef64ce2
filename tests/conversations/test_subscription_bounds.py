"""Subscriptions that are blocked, too many, or not stored: nothing is told of what did not happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.conversations.contacts import JULIET, ROMEO, block
from tests.conversations.subscribing import (
    error,
    friends,
    item,
    presence,
    push,
    states,
)
from tests.support.harness import Client, Harness
from xmppd.storage.interfaces import RosterChange, StorageUnavailable, Subscription

# Blocked (XEP-0191#block): the contact hears nothing, and the user does not learn why


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
