"""XEP-0157: the addresses of those who run the service."""

from __future__ import annotations

import pytest

from tests.support.harness import Harness
from xmppd.config import BadConfig
from xmppd.xml.element import Element

INFO = "http://jabber.org/protocol/disco#info"


async def forms(toml: str) -> list[Element]:
    """The extended information that the server gives about itself."""
    async with Harness("capulet.lit", toml=toml) as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send(f"<iq type='get' to='capulet.lit' id='q'><query xmlns='{INFO}'/></iq>")
        query = juliet.received.pop().child("query", INFO)
        assert query is not None
        return list(query.each("x", "jabber:x:data"))


async def test_addresses_are_told_by_purpose() -> None:
    (form,) = await forms(
        "[extensions.contact]\n"
        "abuse_addresses = ['mailto:abuse@capulet.lit', 'xmpp:abuse@capulet.lit']\n"
        "status_addresses = ['https://status.capulet.lit']\n"
    )
    assert form.attrs == {"type": "result"}
    fields = [(field.attrs, [value.text() for value in field.each("value")]) for field in form.each("field")]
    assert fields == [
        ({"var": "FORM_TYPE", "type": "hidden"}, ["http://jabber.org/network/serverinfo"]),
        ({"var": "abuse-addresses"}, ["mailto:abuse@capulet.lit", "xmpp:abuse@capulet.lit"]),
        ({"var": "status-addresses"}, ["https://status.capulet.lit"]),
    ]


async def test_without_addresses_there_is_nothing_to_tell() -> None:
    assert await forms("") == []


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("abuse@capulet.lit", "mailto:abuse@capulet.lit or xmpp:abuse@capulet.lit"),
        ("mailto:", "is no URI"),
        ("xmpp:a b@capulet.lit", "holds a character"),
        ("http://[capulet.lit", "Invalid IPv6 URL"),
    ],
)
def test_what_is_no_uri_is_refused_with_a_remedy(address: str, why: str) -> None:
    with pytest.raises(BadConfig) as caught:
        Harness("capulet.lit", toml=f"[extensions.contact]\nabuse_addresses = ['{address}']")
    assert "extensions.contact.abuse_addresses" in str(caught.value)
    assert why in str(caught.value)
