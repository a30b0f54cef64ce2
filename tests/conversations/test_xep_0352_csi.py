"""XEP-0352: what waits while a client is inactive, and what brings it out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness
from tests.support.xml import parse
from tests.support.xml import show as show_xml
from xmppd.extensions.xep_0352_csi import NS, Held
from xmppd.jid import Jid
from xmppd.sessions.offers import StreamInfo

JULIET = "juliet@capulet.lit"
PHONE = f"{JULIET}/phone"
ROMEO = "romeo@capulet.lit/orchard"
NURSE = "nurse@capulet.lit/hall"
MUC = "http://jabber.org/protocol/muc#user"
STATE = "<{} xmlns='http://jabber.org/protocol/chatstates'/>"


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as harness:
        yield harness


async def inactive(server: Harness, jid: str = PHONE) -> Client:
    client = await server.client(jid, available=True)
    await client.send(f"<inactive xmlns='{NS}'/>")
    client.expect_nothing()
    return client


def presence(sender: str, show: str) -> str:
    return f"<presence from='{sender}' to='{PHONE}'><show>{show}</show></presence>"


def state(sender: str, name: str) -> str:
    return f"<message from='{sender}' to='{PHONE}' type='chat'>{STATE.format(name)}</message>"


async def show(client: Client, show: str) -> None:
    await client.send(f"<presence to='{PHONE}'><show>{show}</show></presence>")


async def chat(client: Client, name: str) -> None:
    await client.send(f"<message to='{PHONE}' type='chat'>{STATE.format(name)}</message>")


async def test_the_newest_presence_and_chat_state_of_each_come_when_the_client_is_active(
    server: Harness,
) -> None:
    juliet = await inactive(server)
    romeo, nurse = await server.client(ROMEO), await server.client(NURSE)
    await show(romeo, "away")
    await chat(romeo, "composing")
    await show(nurse, "chat")
    await show(romeo, "dnd")
    await chat(romeo, "paused")
    juliet.expect_nothing()
    await juliet.send(f"<active xmlns='{NS}'/>")
    juliet.expect(presence(NURSE, "chat"), presence(ROMEO, "dnd"), state(ROMEO, "paused"))
    juliet.expect_nothing()
    await show(romeo, "away")
    juliet.expect(presence(ROMEO, "away"))


@pytest.mark.parametrize(
    "stanza",
    [
        "<message from='{}' to='{}' type='chat'><body>Ay me</body></message>",
        "<message from='{}' to='{}' type='chat'><body>Ay me</body>" + STATE.format("active") + "</message>",
        "<message from='{}' to='{}'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
        "<message from='{}' to='{}' type='chat'><thread>1</thread></message>",
        "<message from='{}' to='{}' type='error'>" + STATE.format("active") + "</message>",
        # in the archive, and so to be acknowledged
        "<message from='{}' to='{}' type='chat'>"
        + STATE.format("gone")
        + "<store xmlns='urn:xmpp:hints'/></message>",
        "<message from='{}' to='{}' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>",
        "<iq from='{}' to='{}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq from='{}' to='{}' type='result' id='1'/>",
        "<presence from='{}' to='{}' type='error'/>",
        "<presence from='{}' to='{}'><x xmlns='" + MUC + "'><status code='110'/></x></presence>",
    ],
)
async def test_anything_else_comes_at_once_behind_what_waits(server: Harness, stanza: str) -> None:
    juliet = await inactive(server)
    romeo, nurse = await server.client(ROMEO), await server.client(NURSE)
    await chat(romeo, "composing")
    await show(nurse, "chat")
    await romeo.send(stanza.format(ROMEO, PHONE))
    juliet.expect(state(ROMEO, "composing"), presence(NURSE, "chat"), stanza.format(ROMEO, PHONE))
    # and it is inactive still
    await show(nurse, "away")
    juliet.expect_nothing()


async def test_a_subscription_request_comes_at_once(server: Harness) -> None:
    juliet = await inactive(server)
    romeo = await server.client(ROMEO)
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    juliet.expect(f"<presence from='romeo@capulet.lit' to='{JULIET}' type='subscribe'/>")


async def test_who_left_meanwhile_is_only_shown_as_gone(server: Harness) -> None:
    juliet = await inactive(server)
    romeo = await server.client(ROMEO)
    await show(romeo, "away")
    await romeo.send(f"<presence to='{PHONE}' type='unavailable'/>")
    await juliet.send(f"<active xmlns='{NS}'/>")
    juliet.expect(f"<presence from='{ROMEO}' to='{PHONE}' type='unavailable'/>")
    juliet.expect_nothing()


async def test_chat_states_of_a_group_wait_too(server: Harness) -> None:
    juliet = await inactive(server)
    room = await server.client("room@capulet.lit/nick")
    thread = "<thread>1</thread><no-store xmlns='urn:xmpp:hints'/>"
    await room.send(f"<message to='{PHONE}' type='groupchat'>{STATE.format('composing')}{thread}</message>")
    juliet.expect_nothing()
    await room.send(f"<message to='{PHONE}' type='groupchat'><subject/></message>")
    assert [element.child("subject") is not None for element in juliet.received] == [False, True]


async def test_carbons_of_chat_states_wait_too(server: Harness) -> None:
    juliet = await inactive(server)
    await juliet.send("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    laptop = await server.client(f"{JULIET}/laptop")
    romeo, nurse = await server.client(ROMEO), await server.client(NURSE)
    juliet.received.clear()
    for name in ("composing", "active"):
        await laptop.send(f"<message to='{ROMEO}' type='chat'>{STATE.format(name)}</message>")
    await nurse.send(f"<message to='{JULIET}/laptop' type='chat'>{STATE.format('gone')}</message>")
    juliet.expect_nothing()
    await laptop.send(f"<message to='{ROMEO}' type='chat'><body>Ay me</body></message>")
    for text, element in zip(("<active", "<gone", "<body"), juliet.received, strict=True):
        assert text in show_xml(element)
    assert len(romeo.received) == 3


async def test_a_forged_carbon_is_an_ordinary_message(server: Harness) -> None:
    juliet = await inactive(server)
    romeo = await server.client(ROMEO)
    forged = (
        "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
        f"from='{NURSE}' to='{JULIET}' type='chat'>{STATE.format('active')}</message></forwarded></received>"
    )
    await romeo.send(f"<message to='{PHONE}' type='chat'>{forged}</message>")
    assert len(juliet.received) == 1


async def test_the_answer_to_a_request_follows_what_waited(server: Harness) -> None:
    """XEP-0352#in-order-processing."""
    juliet = await inactive(server)
    await show(await server.client(ROMEO), "away")
    await juliet.send(
        f"<active xmlns='{NS}'/><iq to='capulet.lit' id='ping1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    juliet.expect(presence(ROMEO, "away"), f"<iq from='capulet.lit' to='{PHONE}' id='ping1' type='result'/>")


async def test_saying_it_twice_changes_nothing(server: Harness) -> None:
    juliet = await inactive(server)
    await show(await server.client(ROMEO), "away")
    await juliet.send(f"<inactive xmlns='{NS}'/>")
    juliet.expect_nothing()
    await juliet.send(f"<active xmlns='{NS}'/><active xmlns='{NS}'/>")
    juliet.expect(presence(ROMEO, "away"))
    juliet.expect_nothing()


async def test_a_client_is_active_until_it_says_otherwise(server: Harness) -> None:
    juliet = await server.client(PHONE, available=True)
    await show(await server.client(ROMEO), "away")
    juliet.expect(presence(ROMEO, "away"))


async def test_no_more_waits_than_is_allowed() -> None:
    async with Harness("capulet.lit", toml="[extensions.csi]\nmax_held = 2\n") as server:
        juliet = await inactive(server)
        clients = [await server.client(f"a{number}@capulet.lit/x") for number in range(4)]
        for client in clients[:2]:
            await show(client, "away")
        juliet.expect_nothing()
        await show(clients[2], "away")
        juliet.expect(*(presence(str(client.jid), "away") for client in clients[:3]))
        await show(clients[3], "away")
        juliet.expect_nothing()


@pytest.mark.parametrize("asleep", [False, True])
async def test_no_more_waits_in_bytes_either(server: Harness, asleep: bool) -> None:
    """A chat state may have a thread of any length, and come from any number of addresses."""
    juliet = await inactive(server)
    if asleep:
        await juliet.enable()
        juliet.cut()
    large = (
        f"<message to='{PHONE}' type='chat'>{STATE.format('active')}<thread>{'x' * 30_000}</thread></message>"
    )
    for number in range(50):
        await (await server.client(f"{ROMEO}{number}")).send(large)
    gate = juliet.session.gate
    assert juliet.session.over or (isinstance(gate, Held) and gate.bytes < 300_000)


@pytest.mark.parametrize(("option", "waits"), [("presence", "message"), ("chat_states", "presence")])
async def test_operators_say_what_waits(option: str, waits: str) -> None:
    async with Harness("capulet.lit", toml=f"[extensions.csi]\n{option} = false\n") as server:
        juliet = await inactive(server)
        romeo = await server.client(ROMEO)
        if waits == "message":
            await chat(romeo, "active")
            juliet.expect_nothing()
            await show(romeo, "away")
        else:
            await show(romeo, "away")
            juliet.expect_nothing()
            await chat(romeo, "active")
        assert len(juliet.received) == 2


async def test_it_is_offered_once_the_client_has_logged_in(server: Harness) -> None:
    domain = Jid.parse("capulet.lit")
    offers = server.node.core.offers
    (feature,) = parse(f"<csi xmlns='{NS}'/>")
    assert feature not in offers.features(StreamInfo(domain, "192.0.2.1", secure=True, user=None))
    assert feature in offers.features(StreamInfo(domain, "192.0.2.1", secure=True, user=Jid.parse(JULIET)))
