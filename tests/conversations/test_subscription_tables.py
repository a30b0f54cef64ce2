"""The tables of RFC 6121, appendix A, as they are seen on the wire: each of the nine states and the eight stanzas.

The contact is on another server, so that one side is seen at a time: what goes there, what the client gets, and what
the roster says then. Conversations of two of our own accounts are in test_subscriptions.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.support.elsewhere import Elsewhere
from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, Subscription

JULIET, ROMEO = "juliet@capulet.lit", "romeo@montague.lit"
REQUEST = f"<presence to='{JULIET}' from='{ROMEO}' type='subscribe'><status>first</status></presence>"


@dataclass(frozen=True)
class State:
    """One of the nine: what the roster item shows, and whether the contact's request waits."""

    subscription: str
    ask: bool = False
    request: bool = False


STATES = {
    "none": State("none"),
    "none out": State("none", ask=True),
    "none in": State("none", request=True),
    "none out in": State("none", ask=True, request=True),
    "to": State("to"),
    "to in": State("to", request=True),
    "from": State("from"),
    "from out": State("from", ask=True),
    "both": State("both"),
}

# For each stanza: the states that it changes and what into, and the states in which it passes, that is, is routed to
# the contact or delivered to the user. In all other states it does neither.
OUTBOUND = {
    "subscribe": (  # RFC 6121#A.2.1
        {"none": "none out", "none in": "none out in", "from": "from out"},
        set(STATES),
    ),
    "unsubscribe": (  # RFC 6121#A.2.2
        {
            "none out": "none",
            "none out in": "none in",
            "to": "none",
            "to in": "none in",
            "from out": "from",
            "both": "from",
        },
        set(STATES),
    ),
    "subscribed": (  # RFC 6121#A.2.3
        {"none in": "from", "none out in": "from out", "to in": "both"},
        {"none in", "none out in", "to in"},
    ),
    "unsubscribed": (  # RFC 6121#A.2.4
        {
            "none in": "none",
            "none out in": "none out",
            "to in": "to",
            "from": "none",
            "from out": "none out",
            "both": "to",
        },
        {"none in", "none out in", "to in", "from", "from out", "both"},
    ),
}
INBOUND = {
    "subscribe": (  # RFC 6121#A.3.1
        {"none": "none in", "none out": "none out in", "to": "to in"},
        {"none", "none out", "to"},
    ),
    "unsubscribe": (  # RFC 6121#A.3.2
        {
            "none in": "none",
            "none out in": "none out",
            "to in": "to",
            "from": "none",
            "from out": "none out",
            "both": "to",
        },
        {"none in", "none out in", "to in", "from", "from out", "both"},
    ),
    "subscribed": (  # RFC 6121#A.3.3
        {"none out": "to", "none out in": "to in", "from out": "both"},
        {"none out", "none out in", "from out"},
    ),
    "unsubscribed": (  # RFC 6121#A.3.4
        {
            "none out": "none",
            "none out in": "none in",
            "to": "none",
            "to in": "none in",
            "from out": "from",
            "both": "from",
        },
        {"none out", "none out in", "to", "to in", "from out", "both"},
    ),
}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as server:
        yield server


@pytest.fixture
def montague(server: Harness) -> Elsewhere:
    return Elsewhere(server, "montague.lit")


async def in_state(server: Harness, montague: Elsewhere, state: str) -> Client:
    """Juliet, interested and available, whose roster has Romeo in ``state``."""
    given = STATES[state]
    owner, romeo = await server.account(JULIET), Jid.parse(ROMEO)
    item = RosterItem(
        romeo,
        subscription=Subscription(given.subscription),
        ask=given.ask,
        request=REQUEST.encode() if given.request else None,
    )
    await server.stores.rosters.update([RosterChange(owner, romeo, lambda _: item)])
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(
        "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq><presence><show>dnd</show></presence>"
    )
    juliet.received.clear()
    montague.received.clear()
    return juliet


async def state_of(server: Harness) -> str | None:
    """The state in which Juliet's roster has Romeo; None where it does not have him."""
    roster = await server.stores.rosters.load(await server.account(JULIET))
    item = roster.items.get(Jid.parse(ROMEO))
    if item is None:
        return None
    found = State(item.subscription.value, item.ask, item.request is not None)
    return next(name for name, state in STATES.items() if state == found)


def push(state: str, approved: bool = False) -> str:
    ask = " ask='subscribe'" if STATES[state].ask else ""
    consent = " approved='true'" if approved else ""
    return (
        f"<iq type='set' id='*' from='{JULIET}' to='{JULIET}/balcony'><query xmlns='jabber:iq:roster' ver='*'>"
        f"<item jid='{ROMEO}' subscription='{STATES[state].subscription}'{ask}{consent}/></query></iq>"
    )


def shows_more(before: str, after: str) -> bool:
    """Whether a client sees the difference: a request that waits is nothing that it sees."""
    one, other = STATES[before], STATES[after]
    return (one.subscription, one.ask) != (other.subscription, other.ask)


CURRENT = (
    f"<presence from='{JULIET}/balcony' to='{ROMEO}'><show>dnd</show>"
    "<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='2026-09-21T14:13:20.000Z'/></presence>"
)
GONE = f"<presence type='unavailable' from='{JULIET}/balcony' to='{ROMEO}'/>"
SEES_US = {"from", "from out", "both"}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", OUTBOUND)
async def test_what_the_user_sends(server: Harness, montague: Elsewhere, state: str, kind: str) -> None:
    juliet = await in_state(server, montague, state)
    await juliet.send(f"<presence to='{ROMEO}/orchard' type='{kind}' id='p'><status>hi</status></presence>")

    changes, routed_in = OUTBOUND[kind]
    after, routed = changes.get(state, state), state in routed_in
    approves_beforehand = kind == "subscribed" and not routed and state not in SEES_US  # RFC 6121#3.4.2
    assert await state_of(server) == after
    if shows_more(state, after) or approves_beforehand:
        juliet.expect(push(after, approved=approves_beforehand))
    juliet.expect_nothing()

    if kind == "unsubscribed" and state in SEES_US:
        montague.expect(GONE)  # RFC 6121#3.2.2
    if routed:  # RFC 6121#3.1.2: between bare addresses, as it is
        montague.expect(
            f"<presence from='{JULIET}' to='{ROMEO}' type='{kind}' id='p'><status>hi</status></presence>"
        )
    if kind == "subscribed" and routed:
        montague.expect(CURRENT)  # RFC 6121#3.1.5
    montague.expect_nothing()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", INBOUND)
async def test_what_the_contact_sends(server: Harness, montague: Elsewhere, state: str, kind: str) -> None:
    juliet = await in_state(server, montague, state)
    stanza = f"<presence from='{ROMEO}' to='{JULIET}' type='{kind}' id='p'><status>hi</status></presence>"
    await montague.send(stanza.replace(ROMEO, f"{ROMEO}/orchard"))

    changes, delivered_in = INBOUND[kind]
    after = changes.get(state, state)
    assert await state_of(server) == after
    if state in delivered_in:
        juliet.expect(stanza)
    if shows_more(state, after):
        juliet.expect(push(after))
    juliet.expect_nothing()

    if kind == "subscribe" and state in SEES_US:  # RFC 6121#3.1.3: she has said yes already
        montague.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='subscribed'/>", CURRENT)
    if kind == "unsubscribe" and state in SEES_US:
        montague.expect(GONE)  # RFC 6121#3.3.3
    montague.expect_nothing()


@pytest.mark.parametrize("state", STATES)
async def test_removing_the_contact_ends_what_there_is(
    server: Harness, montague: Elsewhere, state: str
) -> None:
    """RFC 6121#2.5.2."""
    juliet = await in_state(server, montague, state)
    await juliet.send(
        "<iq type='set' id='2'><query xmlns='jabber:iq:roster'>"
        f"<item jid='{ROMEO}' subscription='remove'/></query></iq>"
    )
    assert await state_of(server) is None
    juliet.expect(
        f"<iq type='result' id='2' from='{JULIET}' to='{JULIET}/balcony'/>",
        f"<iq type='set' id='*' from='{JULIET}' to='{JULIET}/balcony'><query xmlns='jabber:iq:roster' ver='*'>"
        f"<item jid='{ROMEO}' subscription='remove'/></query></iq>",
    )
    given = STATES[state]
    if state in SEES_US:
        montague.expect(GONE)
    if given.ask or given.subscription in ("to", "both"):
        montague.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='unsubscribe'/>")
    if given.request or state in SEES_US:
        montague.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='unsubscribed'/>")
    montague.expect_nothing()


# What a stranger's request is: an item that the user does not see (RFC 6121#3.1.3)


async def test_a_strangers_request_is_delivered_and_not_pushed(server: Harness, montague: Elsewhere) -> None:
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    await montague.send(REQUEST)
    juliet.expect(REQUEST)
    juliet.expect_nothing()
    assert await state_of(server) == "none in"


@pytest.mark.parametrize(
    ("answer", "after"), [("subscribed", "from"), ("unsubscribed", None), ("subscribe", "none out in")]
)
async def test_the_answer_to_a_stranger(
    server: Harness, montague: Elsewhere, answer: str, after: str | None
) -> None:
    juliet = await in_state_none(server, montague)
    await montague.send(REQUEST)
    juliet.received.clear()
    await juliet.send(f"<presence to='{ROMEO}' type='{answer}'/>")
    if after is not None:
        juliet.expect(push(after))
    juliet.expect_nothing()
    montague.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='{answer}'/>")
    assert await state_of(server) == after


async def in_state_none(server: Harness, montague: Elsewhere) -> Client:
    """Juliet, interested and available, who does not know Romeo."""
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq><presence/>")
    juliet.received.clear()
    return juliet


async def test_a_stranger_may_take_the_request_back(server: Harness, montague: Elsewhere) -> None:
    juliet = await in_state_none(server, montague)
    await montague.send(REQUEST)
    juliet.received.clear()
    await montague.send(f"<presence from='{ROMEO}' to='{JULIET}' type='unsubscribe'/>")
    juliet.expect(f"<presence from='{ROMEO}' to='{JULIET}' type='unsubscribe'/>")
    juliet.expect_nothing()
    assert await state_of(server) is None


async def test_a_contact_approved_beforehand_is_let_in_at_once(server: Harness, montague: Elsewhere) -> None:
    """RFC 6121#3.4: a pre-approval is used up by the request that it answers."""
    juliet = await in_state_none(server, montague)
    await juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    juliet.expect(push("none", approved=True))
    montague.expect_nothing()
    await montague.send(REQUEST)
    montague.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='subscribed'/>")
    juliet.expect(push("from"))
    juliet.expect_nothing()


async def test_a_pre_approval_can_be_taken_back(server: Harness, montague: Elsewhere) -> None:
    juliet = await in_state_none(server, montague)
    await juliet.send(
        f"<presence to='{ROMEO}' type='subscribed'/><presence to='{ROMEO}' type='unsubscribed'/>"
    )
    juliet.expect(push("none", approved=True), push("none"))
    montague.expect_nothing()
    await montague.send(REQUEST)
    juliet.expect(REQUEST)
    montague.expect_nothing()


async def test_a_server_that_cannot_be_reached_harms_nothing(server: Harness) -> None:
    """The client learns it; the request is noted all the same, as RFC 6121#3.1.2 has it."""
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(f"<presence to='{ROMEO}' type='subscribe' id='p'/>")
    juliet.expect(
        f"<presence type='error' id='p' from='{ROMEO}' to='{JULIET}/balcony'><error type='cancel'>"
        "<remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></presence>"
    )
    assert await state_of(server) == "none out"
    juliet.received.clear()
    await juliet.send(f"<presence to='{ROMEO}' type='unsubscribe'/>")
    assert await state_of(server) == "none"
