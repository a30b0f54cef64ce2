"""Directed presence, and its end (RFC 6121#4.6)."""

from __future__ import annotations

from tests.conversations.contacts import (
    ERRORS,
    JULIET,
    NURSE,
    ROMEO,
    friends,
    gone,
    presence,
    sees,
)
from tests.support.elsewhere import Elsewhere
from tests.support.harness import Harness


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
