"""Requests and answers: RFC 6120#8.2.3, RFC 6120#10, RFC 6121#8.5."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Self

import pytest
import pytest_asyncio

from tests.support.elsewhere import Elsewhere
from tests.support.harness import Client, Harness
from xmppd.errors import StanzaError
from xmppd.extension import Extension, NoOptions, Setup
from xmppd.extensions.table import EXTENSIONS
from xmppd.logs import fields
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.stanza import Message
from xmppd.xml.element import Element

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
JULIET, ROMEO, NURSE = "juliet@capulet.lit/balcony", "romeo@montague.lit", "nurse@capulet.lit"
UNKNOWN = "<query xmlns='urn:unknown'/>"
PING = "<ping xmlns='urn:xmpp:ping'/>"


@dataclass(frozen=True, slots=True)
class Order:
    """What the handler of this test is to do."""

    TAG: ClassVar[Name] = Name("urn:order", "order")
    text: str

    @classmethod
    def parse(cls, element: Element) -> Self:
        if element.text() == "nonsense":
            raise StanzaError("not-acceptable")
        return cls(element.text())


async def obey(request: Request[Order], outbox: Outbox) -> Element | None:
    outbox.send(Message(type="headline", sender=request.own.jid, to=request.sender, id="told"))
    match request.payload.text:
        case "fail":
            raise ValueError("a bug")
        case "refuse":
            raise StanzaError("forbidden", "not you", extra=("because", "urn:order"))
        case "answer":
            return Element("done", "urn:order")
    return None


def set_up(s: Setup, options: NoOptions) -> None:
    s.iq("set", Order, obey, (At.OWN,))


ORDERS = Extension(name="orders", xep="", version="", summary="", config=NoOptions, setup=set_up)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit", extensions=(*EXTENSIONS, ORDERS)) as server:
        await server.account(ROMEO)
        yield server


@pytest_asyncio.fixture
async def juliet(server: Harness) -> Client:
    return await server.client(JULIET)


def error(
    condition: str, type: str, *, sender: str, id: str | None = "1", text: bool = False, to: str = JULIET
) -> str:
    words = f"<text xmlns='{ERRORS}' xml:lang='en'>*</text>" if text else ""
    identified = "" if id is None else f" id='{id}'"
    return (
        f"<iq type='error' from='{sender}' to='{to}'{identified}>"
        f"<error type='{type}'><{condition} xmlns='{ERRORS}'/>{words}</error></iq>"
    )


# ---- requests that nobody understands


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize(
    "to",
    [
        "",
        "juliet@capulet.lit",
        ROMEO,
        "nobody@capulet.lit",
        "nobody@capulet.lit/x",
        f"{ROMEO}/nowhere",
        "juliet@capulet.lit/nowhere",
        "capulet.lit",
        "montague.lit",
        "capulet.lit/any",
    ],
)
async def test_what_nobody_understands_is_unavailable(juliet: Client, type: str, to: str) -> None:
    """RFC 6120#8.4, RFC 6121#8.5.1: it does not tell whether there is such an account."""
    address = f" to='{to}'" if to else ""
    await juliet.send(f"<iq type='{type}' id='1'{address}>{UNKNOWN}</iq>")
    juliet.expect(error("service-unavailable", "cancel", sender=to or "juliet@capulet.lit"))
    juliet.expect_nothing()


async def test_the_server_has_no_resources(juliet: Client) -> None:
    """RFC 6120#10.4: not even for what it understands."""
    await juliet.send(f"<iq type='get' id='1' to='capulet.lit/any'>{PING}</iq>")
    juliet.expect(error("service-unavailable", "cancel", sender="capulet.lit/any"))


# ---- requests that are none (RFC 6120#8.2.3)


@pytest.mark.parametrize(
    "to", ["", "juliet@capulet.lit", ROMEO, f"{ROMEO}/garden", "capulet.lit", "verona.lit"]
)
@pytest.mark.parametrize(
    "iq",
    [
        "<iq type='get' id='1'{to}/>",
        "<iq type='set' id='1'{to}>words</iq>",
        "<iq type='get' id='1'{to}><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='set' id='1'{to}><a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
        "<iq id='1'{to}><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='' id='1'{to}><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='ask' id='1'{to}><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='GET' id='1'{to}><ping xmlns='urn:xmpp:ping'/></iq>",
    ],
)
async def test_a_request_has_a_type_and_exactly_one_payload(
    server: Harness, juliet: Client, iq: str, to: str
) -> None:
    garden = await server.client(f"{ROMEO}/garden")
    await juliet.send(iq.format(to=f" to='{to}'" if to else ""))
    juliet.expect(error("bad-request", "modify", sender=to or "juliet@capulet.lit", text=True))
    juliet.expect_nothing()
    garden.expect_nothing()


@pytest.mark.parametrize("id", ["", " id=''"])
async def test_a_request_has_an_id(juliet: Client, id: str) -> None:
    await juliet.send(f"<iq type='get'{id} to='capulet.lit'>{PING}</iq>")
    (answer,) = juliet.received
    assert answer.get("type") == "error"
    assert answer.get("id") in (None, "")
    payload = answer.child("error")
    assert payload is not None
    assert payload.child("bad-request", ERRORS) is not None


async def test_an_id_comes_back_as_it_was(juliet: Client) -> None:
    await juliet.send(f"<iq type='get' id='&lt;&quot;&apos; é &#10;&amp;' to='capulet.lit'>{PING}</iq>")
    assert [answer.get("id") for answer in juliet.received] == ["<\"' é \n&"]


# ---- answers are not answered


@pytest.mark.parametrize("type", ["result", "error"])
@pytest.mark.parametrize(
    "to",
    [
        "",
        ROMEO,
        f"{ROMEO}/x",
        "nobody@capulet.lit",
        "nobody@capulet.lit/x",
        "capulet.lit",
        "capulet.lit/x",
        "verona.lit",
        "@",
    ],
)
@pytest.mark.parametrize(
    "payload", ["", UNKNOWN, "<a xmlns='urn:a'/><b xmlns='urn:b'/>", "<error type='cancel'/>"]
)
@pytest.mark.parametrize("id", [" id='1'", ""])
async def test_an_answer_is_never_answered(juliet: Client, type: str, to: str, payload: str, id: str) -> None:
    """RFC 6120#8.2.3, RFC 6120#8.3.1, RFC 6121#8.5.3.2.3."""
    address = f" to='{to}'" if to else ""
    await juliet.send(f"<iq type='{type}'{id}{address}>{payload}</iq>")
    juliet.expect_nothing()


# ---- to resources (RFC 6121#8.5.3)


@pytest.mark.parametrize("type", ["get", "set", "result", "error"])
@pytest.mark.parametrize("presence", ["", "<presence/>", "<presence><priority>-1</priority></presence>"])
async def test_an_iq_to_a_connected_resource_is_delivered(
    server: Harness, juliet: Client, type: str, presence: str
) -> None:
    garden = await server.client(f"{ROMEO}/garden")
    home = await server.client(f"{ROMEO}/home", available=True)
    await garden.send(presence)
    garden.received.clear()
    home.received.clear()
    await juliet.send(f"<iq type='{type}' id='1' to='{ROMEO}/garden'>{UNKNOWN}</iq>")
    garden.expect(f"<iq type='{type}' id='1' from='{JULIET}' to='{ROMEO}/garden'>{UNKNOWN}</iq>")
    await garden.send(f"<iq type='result' id='1' to='{JULIET}'>{UNKNOWN}</iq>")
    juliet.expect(f"<iq type='result' id='1' from='{ROMEO}/garden' to='{JULIET}'>{UNKNOWN}</iq>")
    for client in (garden, home, juliet):
        client.expect_nothing()


async def test_an_iq_to_an_account_reaches_no_resource(server: Harness, juliet: Client) -> None:
    """RFC 6121#8.5.2.1.3: the server answers on behalf of the account."""
    garden = await server.client(f"{ROMEO}/garden", available=True)
    await juliet.send(f"<iq type='get' id='1' to='{ROMEO}'>{PING}</iq>")
    assert [answer.get("from") for answer in juliet.received] == [ROMEO]
    garden.expect_nothing()


async def test_ones_own_requests_without_address_are_answered_by_the_own_account(juliet: Client) -> None:
    """RFC 6120#10.3.3."""
    await juliet.send("<iq type='set' id='1'><order xmlns='urn:order'>answer</order></iq>")
    answer = (
        f"<iq type='result' id='1' from='juliet@capulet.lit' to='{JULIET}'><done xmlns='urn:order'/></iq>"
    )
    told = f"<message type='headline' id='told' from='juliet@capulet.lit' to='{JULIET}'/>"
    juliet.expect(answer, told)
    await juliet.send("<iq type='set' id='1' to='juliet@capulet.lit'><order xmlns='urn:order'/></iq>")
    juliet.expect(f"<iq type='result' id='1' from='juliet@capulet.lit' to='{JULIET}'/>", told)


async def test_what_is_for_ones_own_account_is_refused_for_others(server: Harness, juliet: Client) -> None:
    order = "<order xmlns='urn:order'>answer</order>"
    for to in (ROMEO, "capulet.lit", "nobody@capulet.lit"):
        await juliet.send(f"<iq type='set' id='1' to='{to}'>{order}</iq>")
        juliet.expect(error("service-unavailable", "cancel", sender=to))
    verona = Elsewhere(server, "verona.lit")
    await verona.send(
        f"<iq from='tybalt@verona.lit/x' to='juliet@capulet.lit' type='set' id='1'>{order}</iq>"
    )
    verona.expect(
        error("service-unavailable", "cancel", sender="juliet@capulet.lit", to="tybalt@verona.lit/x")
    )


# ---- handlers that fail


async def test_a_handler_that_refuses_says_why_and_tells_nobody_else(juliet: Client) -> None:
    await juliet.send("<iq type='set' id='1'><order xmlns='urn:order'>refuse</order></iq>")
    juliet.expect(
        f"<iq type='error' id='1' from='juliet@capulet.lit' to='{JULIET}'><error type='auth'>"
        f"<forbidden xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>not you</text>"
        "<because xmlns='urn:order'/></error></iq>"
    )
    juliet.expect_nothing()
    await juliet.send("<iq type='set' id='2'><order xmlns='urn:order'>nonsense</order></iq>")
    juliet.expect(error("not-acceptable", "modify", sender="juliet@capulet.lit", id="2"))
    juliet.expect_nothing()


async def test_a_handler_with_a_bug_is_an_internal_error_and_the_stream_lives_on(
    juliet: Client, server: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await juliet.send(
        "<iq type='set' id='1'><order xmlns='urn:order'>fail</order></iq>"
        "<iq type='set' id='2'><order xmlns='urn:order'>answer</order></iq>"
    )
    juliet.expect(error("internal-server-error", "cancel", sender="juliet@capulet.lit"))
    assert [answer.get("id") for answer in juliet.received] == ["2", "told"]
    assert juliet.error is None
    inbound = server.node.core.inbound
    assert inbound.failures == 1
    record = next(record for record in caplog.records if record.getMessage() == "a stanza failed")
    assert fields(session=juliet.jid, id="1").items() <= vars(record).items()
    assert "a bug" in caplog.text
    inbound.failures = 0  # or the harness takes it for one


# ---- from other servers


async def test_another_server_gets_its_answers(server: Harness) -> None:
    verona = Elsewhere(server, "verona.lit")
    garden = await server.client(f"{ROMEO}/garden")
    tybalt = "from='tybalt@verona.lit/street'"
    await verona.send(f"<iq type='get' id='1' to='capulet.lit' {tybalt}>{PING}</iq>")
    verona.expect("<iq type='result' id='1' from='capulet.lit' to='tybalt@verona.lit/street'/>")
    await verona.send(f"<iq type='get' id='1' to='nobody@capulet.lit' {tybalt}>{UNKNOWN}</iq>")
    verona.expect(
        error("service-unavailable", "cancel", sender="nobody@capulet.lit", to="tybalt@verona.lit/street")
    )
    await verona.send(f"<iq type='get' id='1' to='{ROMEO}/garden' {tybalt}>{UNKNOWN}</iq>")
    garden.expect(f"<iq type='get' id='1' from='tybalt@verona.lit/street' to='{ROMEO}/garden'>{UNKNOWN}</iq>")
    await verona.send(f"<iq type='get' id='1' to='{ROMEO}/x' {tybalt}>{UNKNOWN}</iq>")
    verona.expect(error("service-unavailable", "cancel", sender=f"{ROMEO}/x", to="tybalt@verona.lit/street"))
    for type in ("result", "error"):
        for to in (ROMEO, f"{ROMEO}/x", "capulet.lit", "nobody@capulet.lit"):
            await verona.send(f"<iq type='{type}' id='1' to='{to}' {tybalt}/>")
    verona.expect_nothing()
