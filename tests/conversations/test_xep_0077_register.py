"""XEP-0077: strangers register accounts, where the operator wants that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Harness
from tests.support.xml import matches, parse, show
from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.sessions.offers import StreamInfo
from xmppd.xml.element import Element

ON = "[auth]\nscram_iterations = 4096\n[extensions.register]\nenabled = true\n"
FIELDS = "<username>{}</username><password>{}</password>"
FORM = (
    "<x xmlns='jabber:x:data' type='submit'><field type='hidden' var='FORM_TYPE'><value>jabber:iq:register</value>"
    "</field><field var='username'><value>{}</value></field><field var='password'><value>{}</value></field></x>"
)


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    toml = f"admins = ['will@shakespeare.lit']\n{ON}per_address_per_hour = 3\n"
    async with Harness("shakespeare.lit", toml=toml) as harness:
        yield harness


async def ask(
    server: Harness,
    payload: str,
    type: str = "set",
    *,
    address: str = "192.0.2.1",
    secure: bool = True,
    to: str = "",
) -> Element:
    """What a client hears before it has logged in."""
    target = f"to='{to}'" if to else ""
    (iq,) = parse(
        f"<iq type='{type}' id='reg1' {target}><query xmlns='jabber:iq:register'>{payload}</query></iq>"
    )
    handler = server.node.core.offers.early_handler(iq)
    assert handler is not None
    stream = StreamInfo(Jid.parse("shakespeare.lit"), address, secure=secure, user=None)
    return await handler(stream, iq)


async def exists(server: Harness, jid: str) -> bool:
    return await server.stores.accounts.get(Jid.parse(jid)) is not None


async def test_a_client_learns_what_to_fill_in(server: Harness) -> None:
    got = await ask(server, "", "get")
    (wanted,) = parse(
        "<iq type='result' id='reg1'><query xmlns='jabber:iq:register'>"
        "<instructions>*</instructions><username/><password/>"
        "<x xmlns='jabber:x:data' type='form'><instructions>*</instructions>"
        "<field var='FORM_TYPE' type='hidden'><value>jabber:iq:register</value></field>"
        "<field var='username' type='text-single' label='*'><required/></field>"
        "<field var='password' type='text-private' label='*'><required/></field></x></query></iq>"
    )
    assert matches(wanted, got), show(got)


@pytest.mark.parametrize("payload", [FIELDS, FORM, FIELDS.format("x", "y") + FORM])
async def test_who_fills_it_in_has_an_account(server: Harness, payload: str) -> None:
    got = await ask(server, payload.format("Bill", "Calliope"))
    assert got == Element("iq", ns.CLIENT, {"type": "result", "id": "reg1"})
    assert await exists(server, "bill@shakespeare.lit")  # prepared as RFC 7622 says
    assert not await exists(server, "x@shakespeare.lit")
    credentials = await server.stores.accounts.credentials(Jid.parse("bill@shakespeare.lit"))
    assert credentials is not None
    assert await server.node.passwords.verify("Calliope", credentials)


async def test_a_name_is_given_once(server: Harness) -> None:
    await server.account("bill@shakespeare.lit")
    with pytest.raises(StanzaError) as caught:
        await ask(server, FIELDS.format("BILL", "Calliope"))
    assert (caught.value.condition, caught.value.type) == ("conflict", "cancel")


async def test_one_of_two_gets_the_name(server: Harness) -> None:
    both = [ask(server, FIELDS.format("bill", password)) for password in ("Calliope", "Melpomene")]
    answers = await asyncio.gather(*both, return_exceptions=True)
    assert [answer.condition for answer in answers if isinstance(answer, StanzaError)] == ["conflict"]
    assert [answer.get("type") for answer in answers if isinstance(answer, Element)] == ["result"]


async def test_nobody_becomes_an_administrator_by_taking_the_name(server: Harness) -> None:
    with pytest.raises(StanzaError, match="conflict"):
        await ask(server, FIELDS.format("will", "Calliope"))
    assert not await exists(server, "will@shakespeare.lit")


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        ("", "not-acceptable"),
        ("<username>bill</username>", "not-acceptable"),
        ("<password>Calliope</password>", "not-acceptable"),
        (FIELDS.format("bill", ""), "not-acceptable"),
        (FORM.format("bill", ""), "not-acceptable"),
        (FIELDS.format("bill", "short"), "not-acceptable"),
        (FIELDS.format("bill@shakespeare.lit", "Calliope"), "not-acceptable"),
        (FIELDS.format("bill/globe", "Calliope"), "not-acceptable"),
        (FIELDS.format("b i l l", "Calliope"), "not-acceptable"),
        (FIELDS.format("b" * 1024, "Calliope"), "not-acceptable"),
        ("<remove/>", "unexpected-request"),
        (FORM.format("bill", "Calliope").replace("submit", "cancel"), "bad-request"),
    ],
)
async def test_what_is_incomplete_or_impossible_is_refused(
    server: Harness, payload: str, condition: str
) -> None:
    with pytest.raises(StanzaError) as caught:
        await ask(server, payload)
    assert caught.value.condition == condition
    assert not await exists(server, "bill@shakespeare.lit")


@pytest.mark.parametrize("type", ["result", "error"])
async def test_an_answer_is_no_request(server: Harness, type: str) -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        await ask(server, "", type)


async def test_one_registers_where_the_stream_goes(server: Harness) -> None:
    await ask(server, "", "get", to="shakespeare.lit")
    with pytest.raises(StanzaError, match="not-allowed"):
        await ask(server, "", "get", to="muc.shakespeare.lit")


async def test_an_address_registers_only_so_many_in_an_hour(server: Harness) -> None:
    await ask(server, FIELDS.format("bill1", "Calliope"))
    with pytest.raises(StanzaError, match="conflict"):  # names are not guessed for free either
        await ask(server, FIELDS.format("bill1", "Calliope"))
    await ask(server, FIELDS.format("bill2", "Calliope"))
    with pytest.raises(StanzaError) as caught:
        await ask(server, FIELDS.format("bill3", "Calliope"))
    assert (caught.value.condition, caught.value.type) == ("resource-constraint", "wait")
    assert "1200 seconds" in caught.value.text
    assert not await exists(server, "bill3@shakespeare.lit")
    await ask(server, FIELDS.format("bill3", "Calliope"), address="192.0.2.2")
    await server.advance(1_200)
    await ask(server, FIELDS.format("bill4", "Calliope"))


async def test_a_whole_ipv6_network_counts_as_one(server: Harness) -> None:
    for number in range(3):
        await ask(server, FIELDS.format(f"bill{number}", "Calliope"), address=f"2001:db8::{number}")
    with pytest.raises(StanzaError, match="resource-constraint"):
        await ask(server, FIELDS.format("bill3", "Calliope"), address="2001:db8::ffff")


async def test_any_number_where_the_bound_is_off() -> None:
    async with Harness("shakespeare.lit", toml=f"{ON}per_address_per_hour = 0\n") as server:
        for number in range(30):
            await ask(server, FIELDS.format(f"bill{number}", "Calliope"))


@pytest.mark.parametrize(("payload", "type"), [("", "get"), (FIELDS.format("bill", "Calliope"), "set")])
async def test_nothing_is_registered_in_the_clear(server: Harness, payload: str, type: str) -> None:
    with pytest.raises(StanzaError, match="not-authorized"):
        await ask(server, payload, type, secure=False)
    assert not await exists(server, "bill@shakespeare.lit")


async def test_where_encryption_is_optional_one_may_register_without() -> None:
    async with Harness("shakespeare.lit", toml=f"{ON}\n[tls]\nrequired = false\n") as server:
        await ask(server, FIELDS.format("bill", "Calliope"), secure=False)


def feature(server: Harness, user: str | None) -> bool:
    jid = None if user is None else Jid.parse(user)
    stream = StreamInfo(Jid.parse("shakespeare.lit"), "192.0.2.1", secure=True, user=jid)
    return any(offer.name == "register" for offer in server.node.core.offers.features(stream))


async def test_it_is_offered_to_strangers_only(server: Harness) -> None:
    assert feature(server, None)
    assert not feature(server, "bill@shakespeare.lit")


async def test_it_is_off_unless_it_is_enabled() -> None:
    async with Harness("shakespeare.lit") as server:
        assert not server.node.core.offers.early_iqs
        assert not feature(server, None)


async def test_names_that_are_none_count_too(server: Harness) -> None:
    """To prepare a long name takes milliseconds, so nobody may have that done any number of times."""
    for _ in range(3):
        with pytest.raises(StanzaError, match="not-acceptable"):
            await ask(server, FIELDS.format("b@ill", "Calliope"))
    with pytest.raises(StanzaError, match="resource-constraint"):
        await ask(server, FIELDS.format("bill", "Calliope"))
