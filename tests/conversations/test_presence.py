"""Presence of people who see one another: broadcast when they come, change and go (RFC 6121#4.2, #4.4, #4.5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest

from tests.conversations.contacts import (
    DELAY,
    JULIET,
    MONTAGUE,
    NURSE,
    ROMEO,
    block,
    friends,
    gone,
    presence,
    probe,
    sees,
)
from tests.support.elsewhere import Elsewhere
from tests.support.harness import Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import StorageUnavailable

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


# Whom one blocks (XEP-0191)


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

    async def watched_last_seen(jids: Collection[Jid], **more: Iterable[Jid]) -> object:
        looked.append(len(jids))
        return await last_seen(jids, **more)

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
