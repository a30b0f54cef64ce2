"""XEP-0030: what the server and accounts tell about themselves, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.xml import show
from xmppd.extension import Extension, NoOptions, Setup
from xmppd.extensions import xep_0030_disco, xep_0199_ping
from xmppd.jid import Jid
from xmppd.routing.disco import Info, Item
from xmppd.storage.interfaces import RosterChange, RosterItem, Subscription

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
EMPTY = f"<query xmlns='{ITEMS}'/>"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
UNAVAILABLE = f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/></error>"
NO_NODE = (
    f"<error type='cancel'><item-not-found xmlns='{ERRORS}'/>"
    f"<text xmlns='{ERRORS}' xml:lang='en'>*</text></error>"
)
ACCOUNT = f"<identity xmlns='{INFO}' category='account' type='registered'/>"


def set_up_shelf(s: Setup, config: NoOptions) -> None:
    s.items(lambda domain: [Item(Jid(None, f"books.{domain}"), name="Books"), Item(domain, node="shelf")])
    s.node(lambda name: Info(features=("x:shelf",)) if name == "shelf" else None)


SHELF = Extension(
    name="shelf", xep="", version="", summary="For the test.", config=NoOptions, setup=set_up_shelf
)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness(
        "capulet.lit", extensions=[xep_0030_disco.EXTENSION, xep_0199_ping.EXTENSION, SHELF]
    ) as server:
        yield server


@pytest_asyncio.fixture
async def romeo(server: Harness) -> Client:
    """Asks."""
    return await server.client("romeo@capulet.lit/orchard")


async def describe(client: Client, to: str, identity: str) -> None:
    """``to`` says that it is ``identity``, and among other things that it can be discovered and pinged."""
    address = f"to='{to}'" if to else ""
    await client.send(f"<iq type='get' id='q' {address}><query xmlns='{INFO}'/></iq>")
    query = client.received.pop().child("query", INFO)
    assert query is not None
    assert [show(each) for each in query.each("identity")] == [identity]
    features = [feature.attrs["var"] for feature in query.each("feature")]
    assert features == sorted(set(features))
    assert set(features) >= {INFO, ITEMS, "urn:xmpp:ping"}


async def ask(client: Client, to: str, query: str, answer: str) -> None:
    """Send ``query`` to ``to`` and expect ``answer``, an error or a result."""
    address = f" to='{to}'" if to else ""
    await client.send(f"<iq type='get'{address} id='q'>{query}</iq>")
    kind = "error" if answer.startswith("<error") else "result"
    client.expect(f"<iq type='{kind}' from='{to or client.jid.bare}' to='{client.jid}' id='q'>{answer}</iq>")
    client.expect_nothing()


async def let_see(server: Harness, owner: str, viewer: str, subscription: Subscription) -> None:
    """``owner``'s roster says of ``viewer`` what ``subscription`` is."""
    item = RosterItem(Jid.parse(viewer), subscription=subscription)
    await server.stores.rosters.update(
        [RosterChange(await server.account(owner), item.jid, lambda before: item)]
    )


async def test_the_server_says_what_it_is_and_can_do(romeo: Client) -> None:
    await describe(
        romeo, "capulet.lit", f"<identity xmlns='{INFO}' category='server' type='im' name='xmppd'/>"
    )


async def test_the_server_lists_its_items(romeo: Client) -> None:
    await ask(
        romeo,
        "capulet.lit",
        f"<query xmlns='{ITEMS}'/>",
        f"<query xmlns='{ITEMS}'><item jid='books.capulet.lit' name='Books'/>"
        "<item jid='capulet.lit' node='shelf'/></query>",
    )


async def test_a_node_is_told_apart_from_its_entity(romeo: Client) -> None:
    await ask(
        romeo,
        "capulet.lit",
        f"<query xmlns='{INFO}' node='shelf'/>",
        f"<query xmlns='{INFO}' node='shelf'><feature var='x:shelf'/></query>",
    )
    await ask(
        romeo,
        "capulet.lit",
        f"<query xmlns='{ITEMS}' node='shelf'/>",
        f"<query xmlns='{ITEMS}' node='shelf'/>",
    )


@pytest.mark.parametrize("space", [INFO, ITEMS])
@pytest.mark.parametrize("to", ["capulet.lit", "romeo@capulet.lit"])
async def test_an_unknown_node_is_not_found(romeo: Client, to: str, space: str) -> None:
    await ask(romeo, to, f"<query xmlns='{space}' node='cellar'/>", NO_NODE)


@pytest.mark.parametrize("to", ["", "romeo@capulet.lit"])
async def test_one_sees_ones_own_account(server: Harness, romeo: Client, to: str) -> None:
    await describe(romeo, to, ACCOUNT)
    await ask(romeo, to, f"<query xmlns='{ITEMS}'/>", EMPTY)
    await romeo.send("<presence/>")
    romeo.received.clear()
    await ask(
        romeo,
        to,
        f"<query xmlns='{ITEMS}'/>",
        f"<query xmlns='{ITEMS}'><item jid='romeo@capulet.lit/orchard'/></query>",
    )


@pytest.mark.parametrize("subscription", [Subscription.FROM, Subscription.BOTH])
async def test_who_sees_the_presence_sees_the_account(
    server: Harness, romeo: Client, subscription: Subscription
) -> None:
    await let_see(server, "juliet@capulet.lit", "romeo@capulet.lit", subscription)
    await server.client("juliet@capulet.lit/balcony", available=True)
    await server.client("juliet@capulet.lit/asleep")
    await describe(romeo, "juliet@capulet.lit", ACCOUNT)
    await ask(
        romeo,
        "juliet@capulet.lit",
        f"<query xmlns='{ITEMS}'/>",
        f"<query xmlns='{ITEMS}'><item jid='juliet@capulet.lit/balcony'/></query>",
    )


@pytest.mark.parametrize("node", ["", " node='cellar'"])
@pytest.mark.parametrize("subscription", [Subscription.NONE, Subscription.TO, None])
async def test_others_do_not_even_learn_that_it_exists(
    server: Harness, romeo: Client, subscription: Subscription | None, node: str
) -> None:
    if subscription is not None:
        await let_see(server, "juliet@capulet.lit", "romeo@capulet.lit", subscription)
    await server.client("juliet@capulet.lit/balcony", available=True)
    for account in ("juliet@capulet.lit", "nobody@capulet.lit"):
        await ask(romeo, account, f"<query xmlns='{INFO}'{node}/>", UNAVAILABLE)
        await ask(romeo, account, f"<query xmlns='{ITEMS}'{node}/>", f"<query xmlns='{ITEMS}'{node}/>")


async def test_a_resource_answers_for_itself(server: Harness, romeo: Client) -> None:
    juliet = await server.client("juliet@capulet.lit/balcony")
    await romeo.send(f"<iq type='get' to='juliet@capulet.lit/balcony' id='q'><query xmlns='{INFO}'/></iq>")
    juliet.expect(
        "<iq type='get' from='romeo@capulet.lit/orchard' to='juliet@capulet.lit/balcony' id='q'>"
        f"<query xmlns='{INFO}'/></iq>"
    )
    await ask(romeo, "nobody@capulet.lit/balcony", f"<query xmlns='{ITEMS}'/>", UNAVAILABLE)


async def test_nobody_sets_what_is_discovered(romeo: Client) -> None:
    await romeo.send(f"<iq type='set' to='capulet.lit' id='q'><query xmlns='{INFO}'/></iq>")
    romeo.expect(
        f"<iq type='error' from='capulet.lit' to='romeo@capulet.lit/orchard' id='q'>{UNAVAILABLE}</iq>"
    )
