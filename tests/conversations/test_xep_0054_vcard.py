"""XEP-0054 and XEP-0153: vCards, and the photo's hash in presence."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from tests.support.harness import Client, Harness

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
EMPTY = "<vCard xmlns='vcard-temp'/>"
PHOTO = b"\x89PNG" + bytes(range(100))
HASH = hashlib.sha1(PHOTO).hexdigest()
JULIET = "juliet@capulet.lit"


def vcard(photo: bytes | str = "") -> str:
    """Juliet's vCard, with the photo as base64 in lines."""
    text = photo if isinstance(photo, str) else b64encode(photo).decode()
    lines = "\n ".join(text[at : at + 76] for at in range(0, len(text), 76))
    binval = f"<PHOTO><TYPE>image/png</TYPE><BINVAL>\n {lines}\n</BINVAL></PHOTO>" if text else ""
    return f"<vCard xmlns='vcard-temp'><FN>Juliet &lt;3</FN>{binval}</vCard>"


def update(content: str = "") -> str:
    return f"<x xmlns='vcard-temp:x:update'>{content}</x>"


def photo(hash: str) -> str:
    return update(f"<photo>{hash}</photo>" if hash else "<photo/>")


async def publish(client: Client, xml: str, to: str = "") -> None:
    address = f"to='{to}'" if to else ""
    client.received.clear()
    await client.send(f"<iq type='set' id='p' {address}>{xml}</iq>")
    client.expect(f"<iq type='result' from='{client.jid.bare}' to='{client.jid}' id='p'/>")


async def ask(client: Client, to: str, answer: str) -> None:
    """The answer to a question for the vCard of ``to`` is ``answer``, which is an error's condition or a vCard."""
    address = f"to='{to}'" if to else ""
    await client.send(f"<iq type='get' id='a' {address}>{EMPTY}</iq>")
    error = not answer.startswith("<")
    content = f"<error type='cancel'><{answer} xmlns='{ERRORS}'/></error>" if error else answer
    client.expect(
        f"<iq type='{'error' if error else 'result'}' from='{to or client.jid.bare}' to='{client.jid}' id='a'>"
        f"{content}</iq>"
    )


async def shown(server: Harness, juliet: Client, sent: str) -> str:
    """What Romeo sees of ``sent``, a presence's content, that Juliet directs at him."""
    romeo = await server.client("romeo@capulet.lit/orchard")
    await juliet.send(f"<presence to='{romeo.jid}'>{sent}</presence>")
    got = romeo.received.pop()
    await romeo.close()
    (x,) = got.each("x", "vcard-temp:x:update")
    assert len(list(got.elements())) == 1
    return "".join(content.text() for content in x.elements())


@pytest.mark.parametrize("to", ["", JULIET])
async def test_everybody_reads_what_its_owner_published(to: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await publish(juliet, vcard(), to)
        await publish(juliet, vcard(PHOTO), to)
        await ask(juliet, to, vcard(PHOTO))
        await ask(romeo, JULIET, vcard(PHOTO))
        await juliet.close()
        await ask(romeo, JULIET, vcard(PHOTO))


async def test_without_vcard_an_account_is_like_none() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await ask(juliet, "", EMPTY)
        await ask(romeo, JULIET, "service-unavailable")
        await ask(romeo, "nobody@capulet.lit", "service-unavailable")


@pytest.mark.parametrize("owner", [JULIET, "nobody@capulet.lit"])
async def test_nobody_else_changes_a_vcard(owner: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await publish(juliet, vcard(PHOTO))
        await romeo.send(f"<iq type='set' to='{owner}' id='p'>{EMPTY}</iq>")
        romeo.expect(
            f"<iq type='error' from='{owner}' to='romeo@capulet.lit/orchard' id='p'><error type='auth'>"
            f"<forbidden xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></iq>"
        )
        await ask(juliet, "", vcard(PHOTO))


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        (vcard("x" * 4_096), "policy-violation"),
        (vcard("not base64!"), "bad-request"),
        (vcard("bÄd="), "bad-request"),
    ],
)
async def test_a_vcard_that_is_too_large_or_holds_no_photo_is_refused(xml: str, condition: str) -> None:
    async with Harness("capulet.lit", toml="[extensions.vcard]\nmax_bytes = 4096") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        await juliet.send(f"<iq type='set' id='p'>{xml}</iq>")
        juliet.expect(
            f"<iq type='error' from='{JULIET}' to='{JULIET}/balcony' id='p'><error type='modify'>"
            f"<{condition} xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></iq>"
        )
        await ask(juliet, "", EMPTY)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("", HASH),  # it does not know what a photo is
        (update(), HASH),  # it does not know yet (XEP-0398#presence)
        (photo(""), ""),  # it shows none
        (photo("0" * 40), "0" * 40),  # it knows better
    ],
)
async def test_the_server_says_what_the_photo_is_where_the_client_does_not(sent: str, seen: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        await publish(juliet, vcard(PHOTO))
        assert await shown(server, juliet, sent) == seen
        await juliet.close()
        later = await server.client(f"{JULIET}/tomb")
        assert await shown(server, later, sent) == seen


async def test_a_vcard_without_photo_shows_none() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        await publish(juliet, vcard(PHOTO))
        await publish(juliet, vcard())
        assert await shown(server, juliet, "") == ""


@pytest.mark.parametrize("sent", ["", update(), photo("0" * 40)])
async def test_without_vcard_presence_goes_as_it_is(sent: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await juliet.send(f"<presence to='{romeo.jid}'>{sent}</presence>")
        romeo.expect(f"<presence from='{juliet.jid}' to='{romeo.jid}'>{sent}</presence>")


async def test_who_goes_away_or_subscribes_shows_no_photo() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await publish(juliet, vcard(PHOTO))
        await juliet.send(f"<presence to='{romeo.jid}' type='unavailable'/>")
        romeo.expect(f"<presence from='{juliet.jid}' to='{romeo.jid}' type='unavailable'/>")


async def test_a_new_photo_is_shown_at_once_by_all_clients_that_leave_it_to_the_server() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony")
        simple = await server.client(f"{JULIET}/phone")
        shy = await server.client(f"{JULIET}/tablet")
        await juliet.send("<presence/>")
        await simple.send("<presence id='1' xml:lang='it'><status>in verona</status></presence>")
        await shy.send(f"<presence>{photo('')}</presence>")
        assert broadcast(simple) == ["in verona"]
        await publish(juliet, vcard(PHOTO))
        assert broadcast(simple) == ["in verona", f"x {HASH}"]
        await publish(juliet, vcard(b"another"))
        assert broadcast(simple) == ["in verona", f"x {hashlib.sha1(b'another').hexdigest()}"]
        await publish(juliet, vcard())
        assert broadcast(simple) == ["in verona", "x "]
        assert broadcast(shy) == ["x "]
        juliet.received.clear()
        simple.received.clear()
        await publish(juliet, vcard().replace("Juliet", "Julia"))
        juliet.expect_nothing()
        simple.expect_nothing()


def broadcast(client: Client) -> list[str]:
    """What ``client`` last told everybody: its status, and the photo as ``x hash``."""
    presence = client.session.presence
    assert presence is not None
    shown = []
    for child in presence.elements():
        if child.name == "status":
            shown.append(child.text())
        if child.name == "x":
            shown += [f"x {content.text()}" for content in child.elements()]
    return shown
