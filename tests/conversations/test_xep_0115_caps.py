"""XEP-0115: the hash of what the server can do."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from tests.support.harness import Client, Harness
from xmppd.extensions.xep_0115_caps import verification_string
from xmppd.jid import Jid
from xmppd.routing.disco import Entity, Form, Identity, Info
from xmppd.sessions.offers import StreamInfo
from xmppd.xml.element import Element

INFO = "http://jabber.org/protocol/disco#info"
CAPS = "http://jabber.org/protocol/caps"
FEATURES = tuple(
    f"http://jabber.org/protocol/{name}" for name in ("caps", "disco#info", "disco#items", "muc")
)


def caps(server: Harness, user: str | None = "juliet@capulet.lit") -> Element | None:
    """``<c/>`` of the stream features that a client gets; ``user`` is None before login."""
    stream = StreamInfo(
        Jid.parse("capulet.lit"), "192.0.2.1", True, None if user is None else Jid.parse(user)
    )
    features = server.node.core.offers.features(stream)
    return next((feature for feature in features if feature.ns == CAPS), None)


async def ask(client: Client, node: str) -> Element:
    """The answer of the server to a question about ``node``."""
    await client.send(f"<iq type='get' to='capulet.lit' id='q'><query xmlns='{INFO}' node='{node}'/></iq>")
    return client.received.pop()


def test_the_simple_example() -> None:
    info = Info((Identity("client", "pc", name="Exodus 0.9.1"),), FEATURES)
    assert verification_string(info) == "QgayPKawpkPSDYmwT/WM94uAlu0="  # XEP-0115#ver-gen-simple


def test_the_complex_example_in_any_order() -> None:
    form = Form(
        "urn:xmpp:dataforms:softwareinfo",
        [
            ("software", ["Psi"]),
            ("os_version", ["10.5.1"]),
            ("ip_version", ["ipv6", "ipv4"]),
            ("software_version", ["0.11"]),
            ("os", ["Mac"]),
        ],
    )
    identities = (
        Identity("client", "pc", "en", "Psi 0.11"),
        Identity("client", "pc", "el", "Ψ 0.11"),
    )
    info = Info(identities, FEATURES[::-1], (form,))
    assert verification_string(info) == "q07IKJEyjvHSyhy//CH0CxmKi8w="  # XEP-0115#ver-gen-complex


async def test_a_client_that_checks_the_hash_believes_the_server() -> None:
    toml = "[extensions.contact]\nadmin_addresses = ['xmpp:b@capulet.lit', 'xmpp:a@capulet.lit']"
    async with Harness("capulet.lit", toml=toml) as server:
        offered = caps(server)
        assert offered is not None
        assert offered.attrs["hash"] == "sha-1"
        juliet = await server.client("juliet@capulet.lit/balcony")
        node = f"{offered.attrs['node']}#{offered.attrs['ver']}"
        iq = await ask(juliet, node)
        query = iq.child("query", INFO)
        assert query is not None
        assert query.attrs == {"node": node}
        assert hash_of(query) == offered.attrs["ver"]


def hash_of(query: Element) -> str:
    """The hash as a client works it out of an answer."""
    identities = sorted(
        "/".join(identity.attrs.get(key, "") for key in ("category", "type", "xml:lang", "name"))
        for identity in query.each("identity")
    )
    text = "".join(f"{part}<" for part in identities)
    text += "".join(f"{feature}<" for feature in sorted(each.attrs["var"] for each in query.each("feature")))
    (form,) = query.each("x", "jabber:x:data")
    fields = {
        each.attrs["var"]: sorted(value.text() for value in each.each("value")) for each in form.each("field")
    }
    text += fields.pop("FORM_TYPE")[0] + "<"
    for name in sorted(fields):
        text += "".join(f"{part}<" for part in [name, *fields[name]])
    return b64encode(hashlib.sha1(text.encode()).digest()).decode()


@pytest.mark.parametrize("node", ["urn:x-xmppd", "urn:x-xmppd#", "urn:x-xmppd#q07IKJEyjvHSyhy//CH0CxmKi8w="])
async def test_another_hash_is_unknown(node: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        error = (await ask(juliet, node)).child("error")
        assert error is not None
        assert error.child("item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas") is not None


async def test_the_hash_changes_with_what_the_server_can_do() -> None:
    async with Harness("capulet.lit") as server:
        before = caps(server)
        server.node.core.disco.feature("urn:example:new", Entity.SERVER)
        assert before is not None
        assert caps(server) not in (before, None)


async def test_strangers_are_not_told() -> None:
    async with Harness("capulet.lit") as server:
        assert caps(server, user=None) is None


async def test_what_a_client_says_of_itself_is_passed_on() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard", available=True)
        c = f"<c xmlns='{CAPS}' hash='sha-1' node='http://psi-im.org' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/>"
        await juliet.send(f"<presence to='romeo@capulet.lit/orchard'>{c}</presence>")
        romeo.expect(
            f"<presence from='juliet@capulet.lit/balcony' to='romeo@capulet.lit/orchard'>{c}</presence>"
        )
