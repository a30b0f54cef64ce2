"""Which resource gets which message: RFC 6121#8.5, table 1, line by line, and the address rules of RFC 6120#10.

The letters of the table: D deliver to the resource, A to all resources that are available with a priority that is not
negative, O keep for later, S ignore in silence, E answer with service-unavailable. Where the RFC leaves a choice, ours
is: a message that nobody got is never ignored in silence if it may have been written by a person (normal, chat), and
where it allows M, the most available resources, all of them get it.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.support.elsewhere import Elsewhere
from tests.support.harness import Client, Harness
from xmppd.xml.element import XML_LANG

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
ROMEO, JULIET = "romeo@montague.lit", "juliet@capulet.lit/balcony"
TYPES = ("normal", "chat", "groupchat", "headline", "error")

NOBODY = "the account does not exist"
NONE = "the account exists, but has no active resource"
NEGATIVE = "one or more resources with a negative priority, none with another one"
ONE = "one resource whose priority is not negative"
MANY = "several resources whose priority is not negative"

BARE, MATCHING, OTHER = "bare", "full, and a resource matches", "full, and none matches"

# Which resources there are in each case, with their priorities; the first is the one that "matching" means.
RESOURCES: dict[str, dict[str, int]] = {
    NONE: {},
    NEGATIVE: {"garden": -1, "cellar": -128},
    ONE: {"garden": 0},
    MANY: {"garden": 0, "orchard": 5, "home": 127, "silent": -1},
}

#                          normal  chat   groupchat  headline  error
TABLE: dict[tuple[str, str], str] = {
    (NOBODY, BARE):        "E       E      E          S         S",
    (NOBODY, OTHER):       "E       E      E          S         S",
    (NONE, BARE):          "O       O      E          S         S",
    (NONE, OTHER):         "E       O      E          S         S",
    (NEGATIVE, BARE):      "O       O      E          S         S",
    (NEGATIVE, MATCHING):  "D       D      D          D         D",
    (NEGATIVE, OTHER):     "E       O      E          S         S",
    (ONE, BARE):           "A       A      E          A         S",
    (ONE, MATCHING):       "D       D      D          D         D",
    (ONE, OTHER):          "E       A      E          S         S",
    (MANY, BARE):          "A       A      E          A         S",
    (MANY, MATCHING):      "D       D      D          D         D",
    (MANY, OTHER):         "E       A      E          S         S",
}  # fmt: skip


@pytest_asyncio.fixture
async def juliet(server: Harness) -> Client:
    return await server.client(JULIET)


def typed(type: str) -> str:
    """The attribute as the server writes it."""
    return "" if type == "normal" else f" type='{type}'"


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize(("case", "address"), TABLE, ids=lambda value: str(value).replace(" ", "_"))
async def test_table_1(server: Harness, juliet: Client, case: str, address: str, type: str) -> None:
    letter = TABLE[case, address].split()[TYPES.index(type)]
    clients: dict[str, Client] = {}
    if case != NOBODY:
        await server.account(ROMEO)
        for name, priority in RESOURCES[case].items():
            clients[name] = await server.client(f"{ROMEO}/{name}")
            await clients[name].send(f"<presence><priority>{priority}</priority></presence>")
    connected = await server.client(f"{ROMEO}/connected") if case not in (NOBODY, NONE) else None
    for client in clients.values():
        client.received.clear()
    to = {BARE: ROMEO, MATCHING: f"{ROMEO}/garden", OTHER: f"{ROMEO}/nowhere"}[address]
    error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    payload = "<body>Wherefore?</body>" + (error if type == "error" else "")
    await juliet.send(f"<message to='{to}' type='{type}' id='1'>{payload}</message>")

    getting = {
        "D": {"garden"},
        "A": {name for name, priority in RESOURCES.get(case, {}).items() if priority >= 0},
    }.get(letter, set())
    message = f"<message from='{JULIET}' to='{to}'{typed(type)} id='1'>{payload}</message>"
    for name, client in clients.items():
        if name in getting:
            client.expect(message)
        client.expect_nothing()
    if connected is not None:
        connected.expect_nothing()
    if letter == "E":
        juliet.expect(unavailable(to))
    juliet.expect_nothing()
    if case != NOBODY:
        assert await server.waiting(ROMEO) == (letter == "O")


def unavailable(to: str, more: str = "") -> str:
    return (
        f"<message type='error' from='{to}' to='{JULIET}' id='1'>"
        f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/>{more}</error></message>"
    )


@pytest.mark.parametrize("type", TYPES)
async def test_a_connected_resource_that_is_not_available_is_a_match(
    server: Harness, juliet: Client, type: str
) -> None:
    """RFC 6121#8.5.3.1: "available or connected"."""
    romeo = await server.client(f"{ROMEO}/garden")
    await juliet.send(f"<message to='{romeo.jid}' type='{type}'><body>Psst</body></message>")
    romeo.expect(f"<message from='{JULIET}' to='{romeo.jid}'{typed(type)}><body>Psst</body></message>")
    juliet.expect_nothing()


# ---- what the server changes in a message, and what it leaves


async def test_the_address_stays_as_it_was_written_and_the_sender_is_stamped(
    server: Harness, juliet: Client
) -> None:
    garden = await server.client(f"{ROMEO}/garden", available=True)
    home = await server.client(f"{ROMEO}/home", available=True)
    garden.received.clear()
    for to in (ROMEO, f"{ROMEO}/gone"):
        await juliet.send(f"<message to='{to}' type='chat' from='{JULIET}'><body>O</body></message>")
        for client in (garden, home):
            client.expect(f"<message from='{JULIET}' to='{to}' type='chat'><body>O</body></message>")
            client.expect_nothing()


async def test_an_address_is_brought_into_its_normal_form(server: Harness, juliet: Client) -> None:
    romeo = await server.client(f"{ROMEO}/garden")
    await juliet.send("<message to='ROMEO@Montague.LIT/garden'><body>O</body></message>")
    romeo.expect(f"<message from='{JULIET}' to='{romeo.jid}'><body>O</body></message>")


@pytest.mark.parametrize("type", ["", "normal", "NORMAL", "banter", "x y"])
async def test_an_unknown_type_is_normal(server: Harness, juliet: Client, type: str) -> None:
    """RFC 6121#5.2.2."""
    romeo = await server.client(f"{ROMEO}/garden", available=True)
    await juliet.send(f"<message to='{ROMEO}' type='{type}'><body>O</body></message>")
    romeo.expect(f"<message from='{JULIET}' to='{ROMEO}'><body>O</body></message>")


async def test_a_message_without_address_is_for_ones_own_account(server: Harness, juliet: Client) -> None:
    """RFC 6120#10.3.1."""
    await juliet.send("<presence/>")
    juliet.received.clear()
    other = await server.client("juliet@capulet.lit/chamber", available=True)
    juliet.received.clear()
    romeo = await server.client(f"{ROMEO}/garden", available=True)
    await juliet.send("<message type='chat'><body>To myself</body></message>")
    note = f"<message from='{JULIET}' to='juliet@capulet.lit' type='chat'><body>To myself</body></message>"
    for client in (juliet, other):
        client.expect(note)
        client.expect_nothing()
    romeo.expect_nothing()


@pytest.mark.parametrize("to", ["capulet.lit", "montague.lit", "capulet.lit/any"])
@pytest.mark.parametrize("type", TYPES)
async def test_a_message_to_a_server(juliet: Client, to: str, type: str) -> None:
    await juliet.send(f"<message to='{to}' type='{type}' id='1'><body>Who is there?</body></message>")
    if type not in ("headline", "error"):
        juliet.expect(unavailable(to, f"<text xmlns='{ERRORS}' xml:lang='en'>*</text>"))
    juliet.expect_nothing()


async def test_a_message_to_an_unknown_domain(juliet: Client) -> None:
    """RFC 6120#8.3.3.16."""
    await juliet.send("<message to='tybalt@verona.lit' id='1'/>")
    juliet.expect(
        f"<message type='error' from='tybalt@verona.lit' to='{JULIET}' id='1'><error type='cancel'>"
        f"<remote-server-not-found xmlns='{ERRORS}'/><text xmlns='{ERRORS}' xml:lang='en'>*</text></error></message>"
    )
    await juliet.send("<message to='tybalt@verona.lit' id='1' type='error'/>")
    juliet.expect_nothing()


@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
@pytest.mark.parametrize("to", ["", "@", "a@@b", "a@b/", " ", "romeo@montague.lit/\u0007x"])
async def test_an_address_that_is_none(juliet: Client, kind: str, to: str) -> None:
    """RFC 6120#8.3.3.8. The error comes from the own account: the address cannot be written back."""
    if "\u0007" in to:
        to = to.replace("\u0007", "\u2028")
    await juliet.send(f"<{kind} to='{to}' id='1'/>")
    (answer,) = juliet.received
    assert answer.attrs["from"] == "juliet@capulet.lit"
    assert answer.attrs["id"] == "1"
    error = answer.child("error")
    assert error is not None
    assert error.child("jid-malformed", ERRORS) is not None
    juliet.received.clear()
    await juliet.send(f"<{kind} to='{to}' id='1' type='error'/>")
    juliet.expect_nothing()


# ---- the language (RFC 6120#8.1.5), on both ways a stanza is written


@pytest.mark.parametrize(
    ("stream", "own", "effective"),
    [(None, None, None), ("it", None, "it"), ("it", "en", "en"), (None, "en", "en"), ("it", "", "")],
)
@pytest.mark.parametrize("spliced", [True, False])
async def test_a_message_speaks_the_language_of_its_stream(
    server: Harness, juliet: Client, stream: str | None, own: str | None, effective: str | None, spliced: bool
) -> None:
    juliet.session.lang = stream
    romeo = await server.client(f"{ROMEO}/garden")
    lang = "" if own is None else f" xml:lang='{own}'"
    prefix = (
        "" if spliced else " xmlns:p='urn:p' p:a='1'"
    )  # a start tag that declares a prefix is not spliced
    inner = "<body>O &amp; &lt;Ω&gt; \n ' \"</body><x xmlns='urn:x'><y/></x>"
    await juliet.send(
        f"<message to='{romeo.jid}' type='chat' id='&apos;&quot;&lt;'{lang}{prefix}>{inner}</message>"
    )
    (got,) = romeo.received
    expected = {"from": JULIET, "to": str(romeo.jid), "type": "chat", "id": "'\"<"}
    if effective is not None:
        expected[XML_LANG] = effective
    assert got.attrs == expected
    body = got.child("body")
    assert body is not None
    assert body.text() == "O & <Ω> \n ' \""
    assert [(child.name, child.ns) for child in got.elements()] == [
        ("body", "jabber:client"),
        ("x", "urn:x"),
        ("stanza-id", "urn:xmpp:sid:0"),
    ]


# ---- errors are not answered


@pytest.mark.parametrize(
    "to", ["nobody@capulet.lit", "nobody@capulet.lit/x", ROMEO, f"{ROMEO}/x", "capulet.lit"]
)
async def test_an_error_is_never_answered(server: Harness, juliet: Client, to: str) -> None:
    """RFC 6120#8.3.1."""
    await server.account(ROMEO)
    await juliet.send(f"<message to='{to}' type='error' id='1'><error type='cancel'/></message>")
    juliet.expect_nothing()


async def test_another_server_gets_the_errors_for_its_users(server: Harness) -> None:
    verona = Elsewhere(server, "verona.lit")
    await verona.send("<message from='tybalt@verona.lit/street' to='nobody@capulet.lit' id='1' type='chat'/>")
    verona.expect(
        "<message type='error' from='nobody@capulet.lit' to='tybalt@verona.lit/street' id='1'>"
        f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/></error></message>"
    )
    await verona.send(
        "<message from='tybalt@verona.lit/street' to='nobody@capulet.lit' id='1' type='error'/>"
    )
    verona.expect_nothing()
