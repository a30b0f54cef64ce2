"""Probes: who asks for somebody's presence, and who is told (RFC 6121#4.3)."""

from __future__ import annotations

import pytest

from tests.conversations.contacts import (
    DELAY,
    JULIET,
    ROMEO,
    friends,
    gone,
    presence,
    probe,
    sees,
)
from tests.support.elsewhere import Elsewhere
from tests.support.harness import Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import Subscription


async def test_a_contact_elsewhere_asks_and_is_told(server: Harness) -> None:
    verona = Elsewhere(server, "verona.lit")
    await sees(server, "escalus@verona.lit", JULIET)
    balcony = await server.client(f"{JULIET}/balcony")
    await balcony.send("<presence><show>dnd</show></presence>")
    await server.client(f"{JULIET}/chamber", available=True)
    await server.client(f"{JULIET}/idle")
    verona.received.clear()
    await verona.send(probe("escalus@verona.lit", JULIET))
    verona.expect(
        presence(f"{JULIET}/balcony", "escalus@verona.lit", f"<show>dnd</show>{DELAY}"),
        presence(f"{JULIET}/chamber", "escalus@verona.lit", DELAY),
    )
    verona.expect_nothing()


@pytest.mark.parametrize("asked", [JULIET, "nobody@capulet.lit"])
async def test_who_may_not_see_the_presence_is_unsubscribed(server: Harness, asked: str) -> None:
    """RFC 6121#4.3.2: also where there is no account."""
    verona = Elsewhere(server, "verona.lit")
    await sees(server, JULIET, "escalus@verona.lit")  # the other way round
    await server.client(f"{JULIET}/balcony", available=True)
    verona.received.clear()
    await verona.send(probe("escalus@verona.lit/throne", asked))
    verona.expect(f"<presence type='unsubscribed' from='{asked}' to='escalus@verona.lit'/>")
    verona.expect_nothing()


async def test_who_waits_for_an_answer_can_ask_without_harm(server: Harness) -> None:
    """``unsubscribed`` would deny the request in one roster while it still waits in the other."""
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    await romeo.send(f"<presence type='subscribe' to='{JULIET}'/>")
    await romeo.send(f"<presence type='probe' to='{JULIET}'/>")
    romeo.expect_nothing()
    await juliet.send(f"<presence type='subscribed' to='{ROMEO}'/>")
    romeo.expect(f"<presence type='subscribed' from='{JULIET}' to='{ROMEO}'/>")
    roster = await server.stores.rosters.load(await server.account(ROMEO))
    assert roster.items[Jid.parse(JULIET)].subscription is Subscription.TO


async def test_that_answer_does_not_take_an_approval_back(server: Harness) -> None:
    """RFC 6121#4.3.2: it MUST NOT cancel a pre-approval (RFC 6121#3.4)."""
    paris = await server.client("paris@montague.lit/palace")
    await server.client(f"{JULIET}/balcony", available=True)
    await paris.send(f"<presence type='subscribed' to='{JULIET}'/>")
    await paris.send(f"<presence type='probe' to='{JULIET}'/>")
    roster = await server.stores.rosters.load(await server.account("paris@montague.lit"))
    assert roster.items[Jid.parse(JULIET)].approved
    paris.expect_nothing()


async def test_a_client_may_ask_too(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    romeo = await server.client(f"{ROMEO}/orchard")
    await server.client(f"{JULIET}/balcony", available=True)
    await romeo.send(f"<presence type='probe' to='{JULIET}'/>")
    romeo.expect(presence(f"{JULIET}/balcony", f"{ROMEO}/orchard", DELAY))
    await romeo.send(f"<presence type='probe' to='{ROMEO}'/>")  # its own account, where nobody is available
    romeo.expect(gone(ROMEO, f"{ROMEO}/orchard"))
