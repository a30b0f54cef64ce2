"""Presence that comes in: which resources get it, and what their priority means (RFC 6121#8.5, #4.7.2.3)."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.conversations.contacts import (
    ERRORS,
    JULIET,
    MONTAGUE,
    ROMEO,
    presence,
)
from tests.support.elsewhere import Elsewhere
from tests.support.harness import Client, Harness

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
