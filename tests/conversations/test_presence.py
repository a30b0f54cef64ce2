"""Presence: broadcast, probes, directed presence, priorities, and who gets what comes in (RFC 6121#4, #8.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.elsewhere import Elsewhere
from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, StorageUnavailable, Subscription

JULIET, ROMEO, NURSE = "juliet@capulet.lit", "romeo@montague.lit", "nurse@capulet.lit"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STAMP = "<delay xmlns='urn:xmpp:delay' from='{}' stamp='2026-09-21T14:13:20.000Z'/>"
DELAY = STAMP.format("capulet.lit")
MONTAGUE = STAMP.format("montague.lit")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit") as server:
        yield server


async def sees(server: Harness, watcher: str, watched: str) -> None:
    """``watcher`` is subscribed to the presence of ``watched``; each may be an account of ours or elsewhere."""
    await _grant(server, watcher, watched, "to")
    await _grant(server, watched, watcher, "from")


async def _grant(server: Harness, owner: str, contact: str, half: str) -> None:
    jid = Jid.parse(contact)
    if not server.node.core.router.is_local(Jid.parse(owner)):
        return

    def change(item: RosterItem | None) -> RosterItem:
        both = item is not None and item.subscription.value != half
        return RosterItem(jid, subscription=Subscription.BOTH if both else Subscription(half))

    await server.stores.rosters.update([RosterChange(await server.account(owner), jid, change)])


async def friends(server: Harness, one: str, other: str) -> None:
    """Each sees the other. To be called before they are connected: the server reads rosters once."""
    await sees(server, one, other)
    await sees(server, other, one)


def presence(sender: str, to: str, content: str = "") -> str:
    return f"<presence from='{sender}' to='{to}'>{content}</presence>"


def gone(sender: str, to: str, content: str = "") -> str:
    return f"<presence type='unavailable' from='{sender}' to='{to}'>{content}</presence>"


def probe(sender: str, to: str) -> str:
    return f"<presence type='probe' from='{sender}' to='{to}'/>"


# RFC 6121#4.2: initial presence


async def test_initial_presence_reaches_those_who_may_see_it(server: Harness) -> None:
    await sees(server, ROMEO, JULIET)
    await sees(server, JULIET, NURSE)  # she sees the nurse, who does not see her
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    idle = await server.client(f"{ROMEO}/idle")  # connected, but not available
    nurse = await server.client(f"{NURSE}/kitchen", available=True)
    paris = await server.client("paris@montague.lit/palace", available=True)
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence id='p' xml:lang='it'><show>away</show><status>Ay me</status></presence>")
    romeo.expect(
        f"<presence from='{JULIET}/balcony' to='{ROMEO}' id='p' xml:lang='it'>"
        "<show>away</show><status>Ay me</status></presence>"
    )
    for client in (romeo, idle, nurse, paris):
        client.expect_nothing()


async def test_a_newly_available_resource_is_told_who_is_there(server: Harness) -> None:
    await sees(server, JULIET, ROMEO)
    await sees(server, NURSE, JULIET)  # the nurse sees her, but she not the nurse
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<presence><show>dnd</show></presence>")
    study = await server.client(f"{ROMEO}/study")
    await study.send("<presence><priority>-1</priority></presence>")
    await server.client(f"{ROMEO}/idle")
    await server.client(f"{NURSE}/kitchen", available=True)
    await server.advance(60)
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence/>")
    juliet.expect(
        presence(f"{JULIET}/balcony", JULIET),
        presence(f"{ROMEO}/orchard", f"{JULIET}/balcony", f"<show>dnd</show>{MONTAGUE}"),
        presence(f"{ROMEO}/study", f"{JULIET}/balcony", f"<priority>-1</priority>{MONTAGUE}"),
    )
    juliet.expect_nothing()


async def test_ones_own_resources_see_one_another(server: Harness) -> None:
    """RFC 6121#4.2.2: everybody is subscribed to their own presence; the sender is told too."""
    balcony = await server.client(f"{JULIET}/balcony")
    await balcony.send("<presence><show>away</show></presence>")
    balcony.expect(presence(f"{JULIET}/balcony", JULIET, "<show>away</show>"))
    chamber = await server.client(f"{JULIET}/chamber")
    await chamber.send("<presence/>")
    chamber.expect(
        presence(f"{JULIET}/chamber", JULIET),
        presence(f"{JULIET}/balcony", f"{JULIET}/chamber", f"<show>away</show>{DELAY}"),
    )
    balcony.expect(presence(f"{JULIET}/chamber", JULIET))
    await balcony.send("<presence type='unavailable'/>")
    balcony.expect(gone(f"{JULIET}/balcony", JULIET))
    chamber.expect(gone(f"{JULIET}/balcony", JULIET))
    await chamber.send("<presence/>")
    chamber.expect(presence(f"{JULIET}/chamber", JULIET))
    for client in (balcony, chamber):
        client.expect_nothing()


async def test_contacts_elsewhere_are_told_and_probed(server: Harness) -> None:
    verona = Elsewhere(server, "verona.lit")
    await friends(server, JULIET, "escalus@verona.lit")
    await sees(server, JULIET, "peter@verona.lit")
    await sees(server, "benvolio@verona.lit", JULIET)
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence/>")
    verona.expect(
        presence(f"{JULIET}/balcony", "benvolio@verona.lit"),
        presence(f"{JULIET}/balcony", "escalus@verona.lit"),
        probe(JULIET, "escalus@verona.lit"),  # RFC 6121#4.3.1: between bare addresses
        probe(JULIET, "peter@verona.lit"),
    )
    verona.expect_nothing()
    juliet.received.clear()
    await verona.send(presence("escalus@verona.lit/throne", JULIET))
    juliet.expect(presence("escalus@verona.lit/throne", JULIET))
    await juliet.send("<presence><show>away</show></presence>")
    verona.expect(
        presence(f"{JULIET}/balcony", "benvolio@verona.lit", "<show>away</show>"),
        presence(f"{JULIET}/balcony", "escalus@verona.lit", "<show>away</show>"),
    )
    verona.expect_nothing()  # RFC 6121#4.4.2: no probe for later presence


# RFC 6121#4.4: later presence


async def test_later_presence_is_broadcast_without_asking_again(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    await romeo.send("<presence><show>xa</show></presence>")
    romeo.expect(presence(f"{ROMEO}/orchard", ROMEO, "<show>xa</show>"))
    romeo.expect_nothing()
    juliet.expect(presence(f"{ROMEO}/orchard", JULIET, "<show>xa</show>"))


async def test_what_extensions_put_into_presence_goes_through(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    content = (
        "<show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>"
        "<idle xmlns='urn:xmpp:idle:1' since='1969-07-21T02:56:15Z'/>"  # XEP-0319#last-interact
        "<query xmlns='jabber:iq:last' seconds='600'/>"  # XEP-0256#away
    )
    await romeo.send(f"<presence>{content}</presence>")
    juliet.expect(presence(f"{ROMEO}/orchard", JULIET, content))


# RFC 6121#4.5: unavailable presence


async def test_who_saw_a_resource_sees_it_go(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    await romeo.send("<presence type='unavailable'><status>Good night</status></presence>")
    juliet.expect(gone(f"{ROMEO}/orchard", JULIET, "<status>Good night</status>"))
    romeo.received.clear()
    await juliet.send("<presence><show>away</show></presence>")
    romeo.expect_nothing()  # RFC 6121#4.4.3: it is not available any more
    await romeo.send("<presence type='unavailable'/>")
    juliet.received.clear()
    await romeo.close()
    juliet.expect_nothing()  # it was said already


async def test_who_was_never_available_does_not_become_unavailable(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<presence type='unavailable'/>")
    await romeo.close()
    juliet.expect_nothing()


async def test_a_lost_connection_says_goodbye(server: Harness) -> None:
    """RFC 6121#4.5.2: where the client says nothing, the server does."""
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    study = await server.client(f"{ROMEO}/study", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    study.received.clear()
    romeo.received.clear()
    await romeo.close()
    juliet.expect(gone(f"{ROMEO}/orchard", JULIET))
    study.expect(gone(f"{ROMEO}/orchard", ROMEO))
    for client in (juliet, study, romeo):
        client.expect_nothing()


@pytest.mark.parametrize("back", [False, True])
async def test_a_goodbye_waits_for_a_storage_that_fails(
    server: Harness, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    """Else a contact would see for ever who is not there; but not if she came back meanwhile."""
    await sees(server, ROMEO, JULIET)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo.received.clear()

    async def broken(owner: int) -> None:
        raise StorageUnavailable("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(server.stores.rosters, "load", broken)
        server.node.core.rosters.forget(juliet.session.account)
        await juliet.close()
    romeo.expect_nothing()
    if back:
        await server.client(f"{JULIET}/balcony", available=True)
        romeo.expect(presence(f"{JULIET}/balcony", ROMEO))
    await server.advance(30)
    if not back:
        romeo.expect(gone(f"{JULIET}/balcony", ROMEO))
    romeo.expect_nothing()


async def test_a_resource_that_is_taken_over_goes_before_the_new_one_comes(server: Harness) -> None:
    """RFC 6120#7.7.2.2: the newest wins; contacts see one after the other."""
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    old = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    new = await server.client(f"{ROMEO}/orchard")
    await new.send("<presence><show>chat</show></presence>")
    assert old.error is not None
    assert old.error.condition == "conflict"
    juliet.expect(gone(f"{ROMEO}/orchard", JULIET), presence(f"{ROMEO}/orchard", JULIET, "<show>chat</show>"))
    juliet.expect_nothing()


async def test_what_was_sent_before_the_connection_was_lost_comes_before_the_goodbye(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/><presence><show>away</show></presence>")  # the roster is still being read
    await romeo.close()
    juliet.expect(
        presence(f"{ROMEO}/orchard", JULIET),
        presence(f"{ROMEO}/orchard", JULIET, "<show>away</show>"),
        gone(f"{ROMEO}/orchard", JULIET),
    )


# RFC 6121#4.3: probes


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


# RFC 6121#4.6: directed presence


async def test_directed_presence_goes_to_one_and_its_end_too(server: Harness) -> None:
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    await juliet.send(f"<presence to='{ROMEO}/orchard'><status>only you</status></presence>")
    romeo.expect(presence(f"{JULIET}/balcony", f"{ROMEO}/orchard", "<status>only you</status>"))
    await juliet.send("<presence><show>away</show></presence>")
    romeo.expect_nothing()  # RFC 6121#4.6.3: no broadcasts
    await juliet.send("<presence type='unavailable'><status>bye</status></presence>")
    romeo.expect(gone(f"{JULIET}/balcony", f"{ROMEO}/orchard", "<status>bye</status>"))
    await juliet.send("<presence/><presence type='unavailable'/>")
    romeo.expect_nothing()  # once


async def test_directed_presence_ends_with_the_connection(server: Harness) -> None:
    """Also that of a resource that never became available, to a contact that would else get a broadcast."""
    verona = Elsewhere(server, "verona.lit")
    await sees(server, ROMEO, JULIET)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(f"<presence to='{ROMEO}'/><presence to='room@verona.lit/Juliet'/>")
    romeo.expect(presence(f"{JULIET}/balcony", ROMEO))
    verona.expect(presence(f"{JULIET}/balcony", "room@verona.lit/Juliet"))
    await juliet.close()
    romeo.expect(gone(f"{JULIET}/balcony", ROMEO))
    verona.expect(gone(f"{JULIET}/balcony", "room@verona.lit/Juliet"))
    romeo.expect_nothing()
    verona.expect_nothing()


async def test_who_was_told_that_directed_presence_ends_is_not_told_again(server: Harness) -> None:
    verona = Elsewhere(server, "verona.lit")
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    await juliet.send(
        "<presence to='room@verona.lit/Juliet'/><presence type='unavailable' to='room@verona.lit/Juliet'/>"
    )
    verona.received.clear()
    await juliet.close()
    verona.expect_nothing()


async def test_whom_directed_presence_did_not_reach_needs_no_end(server: Harness) -> None:
    verona = Elsewhere(server, "verona.lit")
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    await juliet.send("<presence to='room@verona.lit/Juliet'/>")
    failed = (
        f"<presence type='error' from='room@verona.lit/Juliet' to='{JULIET}/balcony'>"
        f"<error type='cancel'><conflict xmlns='{ERRORS}'/></error></presence>"
    )
    await verona.send(failed)
    juliet.expect(failed)
    verona.received.clear()
    await juliet.close()
    verona.expect_nothing()


async def test_a_contact_that_gets_the_broadcast_hears_of_the_end_once(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo.received.clear()
    await juliet.send(f"<presence to='{ROMEO}'><show>chat</show></presence>")
    romeo.expect(presence(f"{JULIET}/balcony", ROMEO, "<show>chat</show>"))
    await juliet.close()
    romeo.expect(gone(f"{JULIET}/balcony", ROMEO))
    romeo.expect_nothing()


async def test_a_contact_that_was_told_before_the_broadcast_hears_of_the_end_once(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(f"<presence to='{ROMEO}'/><presence/>")
    romeo.expect(presence(f"{JULIET}/balcony", ROMEO), presence(f"{JULIET}/balcony", ROMEO))
    await juliet.close()
    romeo.expect(gone(f"{JULIET}/balcony", ROMEO))
    romeo.expect_nothing()


async def test_hiding_from_a_contact_lasts_until_the_next_broadcast(server: Harness) -> None:
    """RFC 6121#4.6.3: directed unavailable presence does not change who gets broadcasts."""
    await friends(server, JULIET, ROMEO)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo.received.clear()
    await juliet.send(f"<presence type='unavailable' to='{ROMEO}'/>")
    romeo.expect(gone(f"{JULIET}/balcony", ROMEO))
    await juliet.send("<presence/>")
    romeo.expect(presence(f"{JULIET}/balcony", ROMEO))


async def test_directed_presence_is_bounded() -> None:
    async with Harness("capulet.lit", toml="[limits]\ndirected_presences = 2") as server:
        await sees(server, NURSE, JULIET)
        Elsewhere(server, "verona.lit")
        juliet = await server.client(f"{JULIET}/balcony", available=True)
        for room in ("a", "b", "a"):
            await juliet.send(f"<presence to='{room}@verona.lit'/>")
        await juliet.send(f"<presence to='{NURSE}'/>")  # contacts that get the broadcast do not count
        juliet.expect_nothing()
        await juliet.send("<presence to='c@verona.lit' id='c'/>")
        juliet.expect(
            f"<presence type='error' id='c' from='c@verona.lit' to='{JULIET}/balcony'><error type='wait'>"
            f"<resource-constraint xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></presence>"
        )
        await juliet.send("<presence type='unavailable' to='a@verona.lit'/><presence to='c@verona.lit'/>")
        juliet.expect_nothing()


# RFC 6121#8.5: presence that comes in


@pytest_asyncio.fixture
async def romeos(server: Harness) -> tuple[Client, Client, Client]:
    """Romeo's resources: available, available with negative priority, only connected."""
    clients = (
        await server.client(f"{ROMEO}/orchard", available=True),
        await server.client(f"{ROMEO}/study"),
        await server.client(f"{ROMEO}/idle"),
    )
    await clients[1].send("<presence><priority>-5</priority></presence>")
    for client in clients:
        client.received.clear()
    return clients


@pytest.mark.parametrize("type", ["", " type='unavailable'"])
async def test_presence_to_the_account_reaches_all_available_resources(
    server: Harness, romeos: tuple[Client, Client, Client], type: str
) -> None:
    """RFC 6121#8.5.2.1.2, whatever their priority."""
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(f"<presence to='{ROMEO}'{type}/>")
    expected = f"<presence from='{JULIET}/balcony' to='{ROMEO}'{type}/>"
    romeos[0].expect(expected)
    romeos[1].expect(expected)
    romeos[2].expect_nothing()


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_presence_to_a_resource_reaches_that_one(
    server: Harness, romeos: tuple[Client, Client, Client], number: int
) -> None:
    """RFC 6121#8.5.3.1, even one that is not available."""
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(f"<presence to='{romeos[number].jid}'/>")
    romeos[number].expect(presence(f"{JULIET}/balcony", str(romeos[number].jid)))
    for client in romeos:
        client.expect_nothing()


@pytest.mark.parametrize("type", ["", " type='unavailable'"])
@pytest.mark.parametrize("to", [f"{ROMEO}/gone", "nobody@capulet.lit", "nobody@capulet.lit/x", "capulet.lit"])
async def test_presence_for_nobody_is_ignored(
    server: Harness, romeos: tuple[Client, Client, Client], to: str, type: str
) -> None:
    """RFC 6121#8.5.1, #8.5.3.2.2."""
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send(f"<presence to='{to}'{type}/>")
    for client in (juliet, *romeos):
        client.expect_nothing()


async def test_an_unknown_type_is_refused(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence type='asleep' id='p'/>")
    juliet.expect(
        f"<presence type='error' id='p' from='{JULIET}' to='{JULIET}/balcony'><error type='modify'>"
        f"<bad-request xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></presence>"
    )


async def test_contacts_elsewhere_hear_errors_only_once(server: Harness) -> None:
    """RFC 6120#8.3.1: an error is not answered, wherever it is addressed to."""
    verona = Elsewhere(server, "verona.lit")
    await server.client(f"{JULIET}/balcony", available=True)
    for to in (JULIET, f"{JULIET}/balcony", f"{JULIET}/gone", "nobody@capulet.lit", "capulet.lit"):
        await verona.send(
            f"<presence type='error' from='escalus@verona.lit' to='{to}'>"
            f"<error type='cancel'><gone xmlns='{ERRORS}'/></error></presence>"
        )
    verona.expect_nothing()


# RFC 6121#4.7.2.3: priority


KEPT = f"<message from='{JULIET}/balcony' to='{ROMEO}' type='chat'><body>Hark</body>{MONTAGUE}</message>"


async def test_raising_the_priority_brings_what_was_kept(server: Harness) -> None:
    """XEP-0160#flow: a resource of negative priority gets no messages, so they wait until it is not."""
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<presence><priority>-1</priority></presence>")
    await juliet.send(f"<message to='{ROMEO}' type='chat'><body>Hark</body></message>")
    romeo.received.clear()
    await romeo.send("<presence><priority>-1</priority><show>away</show></presence>")
    assert [stanza.name for stanza in romeo.received] == ["presence"]
    romeo.received.clear()
    await romeo.send("<presence><priority>0</priority></presence>")
    romeo.expect(presence(f"{ROMEO}/orchard", ROMEO, "<priority>0</priority>"), KEPT)
    romeo.expect_nothing()


@pytest.mark.parametrize(
    ("priority", "reachable"), [("-128", False), ("-1", False), ("127", True), ("nonsense", True), ("", True)]
)
async def test_nonsense_counts_as_no_priority(server: Harness, priority: str, reachable: bool) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send(f"<presence><priority>{priority}</priority></presence>")
    romeo.received.clear()
    await juliet.send(f"<message to='{ROMEO}' type='chat'><body>Hark</body></message>")
    assert bool(romeo.received) is reachable


# Whom one blocks (XEP-0191)


async def block(client: Client, jid: str) -> None:
    await client.send(
        f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'/></block></iq>"
    )


async def test_who_comes_back_is_not_told_of_whom_it_blocks_or_who_blocks_it(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    await block(juliet, ROMEO)
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<presence/>")
    romeo.expect(presence(f"{ROMEO}/orchard", ROMEO))
    romeo.expect_nothing()
    chamber = await server.client(f"{JULIET}/chamber")
    await chamber.send("<presence/>")
    chamber.expect(
        presence(f"{JULIET}/chamber", JULIET), presence(f"{JULIET}/balcony", f"{JULIET}/chamber", DELAY)
    )
    chamber.expect_nothing()
    romeo.expect_nothing()


async def test_a_blocked_contact_that_goes_away_is_not_heard_of(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await block(juliet, ROMEO)
    juliet.received.clear()
    await romeo.close()
    juliet.expect_nothing()


# What it costs


async def test_a_broadcast_waits_for_nothing_once_the_roster_is_in_memory(server: Harness) -> None:
    """DESIGN 11: no task, no storage: it is done when the stanza is."""
    await friends(server, JULIET, ROMEO)
    await sees(server, NURSE, ROMEO)  # she is not there
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    juliet.received.clear()
    romeo.send_nowait("<presence><show>away</show></presence>")
    juliet.expect(presence(f"{ROMEO}/orchard", JULIET, "<show>away</show>"))


async def test_a_broadcast_loads_no_account_that_is_not_there(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await friends(server, JULIET, f"c{number}@montague.lit")
    juliet = await server.client(f"{JULIET}/balcony")
    loaded: list[Jid] = []
    looked: list[int] = []
    get, last_seen = server.stores.accounts.get, server.stores.accounts.last_seen

    async def watched_get(jid: Jid) -> object:
        loaded.append(jid)
        return await get(jid)

    async def watched_last_seen(jids: list[Jid], **more: object) -> object:
        looked.append(len(jids))
        return await last_seen(jids, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(server.stores.accounts, "get", watched_get)
    monkeypatch.setattr(server.stores.accounts, "last_seen", watched_last_seen)
    await juliet.send("<presence/><presence><show>away</show></presence><presence type='unavailable'/>")
    assert loaded == []
    assert looked == [5], "one query for all who are not there"


async def test_a_presence_that_is_too_large_is_shown_to_nobody() -> None:
    async with Harness("capulet.lit", toml="[limits]\npresence_bytes = 1024") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send(f"<presence id='1'><status>{'x' * 1024}</status></presence>")
        juliet.expect(
            "<presence type='error' from='juliet@capulet.lit' to='juliet@capulet.lit/balcony' id='1'>"
            "<error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></presence>"
        )
        juliet.expect_nothing()
        assert juliet.session.presence is None


async def test_of_presence_that_still_waits_when_its_sender_is_gone_the_newest_is_shown() -> None:
    async with Harness("capulet.lit") as server:
        other = await server.client("juliet@capulet.lit/chamber", available=True)
        juliet = await server.client("juliet@capulet.lit/balcony")
        ask = "<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>"  # takes a while
        juliet.send_nowait(ask + "<presence><show>away</show></presence>" * 500)
        await juliet.close()
        shown = [stanza for stanza in other.received if stanza.get("from") == "juliet@capulet.lit/balcony"]
        assert [stanza.get("type") for stanza in shown] == [None, "unavailable"]
