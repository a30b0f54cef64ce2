"""XEP-0199: who answers a ping."""

from __future__ import annotations

import pytest

from tests.support.harness import Harness


@pytest.mark.parametrize("to", ["capulet.lit", "juliet@capulet.lit"])
async def test_the_server_answers_also_for_the_own_account(to: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send(f"<iq type='get' to='{to}' id='c2s1'><ping xmlns='urn:xmpp:ping'/></iq>")
        juliet.expect(f"<iq type='result' from='{to}' to='juliet@capulet.lit/balcony' id='c2s1'/>")


async def test_a_ping_without_address_is_for_the_own_account() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send("<iq type='get' id='c2s1'><ping xmlns='urn:xmpp:ping'/></iq>")
        juliet.expect(
            "<iq type='result' from='juliet@capulet.lit' to='juliet@capulet.lit/balcony' id='c2s1'/>"
        )


async def test_clients_answer_for_themselves() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await romeo.send(
            "<iq type='get' to='juliet@capulet.lit/balcony' id='e2e1'><ping xmlns='urn:xmpp:ping'/></iq>"
        )
        juliet.expect(
            "<iq type='get' from='romeo@capulet.lit/orchard' to='juliet@capulet.lit/balcony' id='e2e1'>"
            "<ping xmlns='urn:xmpp:ping'/></iq>"
        )
        await juliet.send("<iq type='result' to='romeo@capulet.lit/orchard' id='e2e1'/>")
        romeo.expect(
            "<iq type='result' from='juliet@capulet.lit/balcony' to='romeo@capulet.lit/orchard' id='e2e1'/>"
        )


@pytest.mark.parametrize("account", ["juliet@capulet.lit", "nobody@capulet.lit"])
async def test_a_ping_tells_nothing_about_other_accounts(account: str) -> None:
    async with Harness("capulet.lit") as server:
        await server.client("juliet@capulet.lit/balcony", available=True)
        romeo = await server.client("romeo@capulet.lit/orchard")
        await romeo.send(f"<iq type='get' to='{account}' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
        romeo.expect(
            f"<iq type='error' from='{account}' to='romeo@capulet.lit/orchard' id='1'><error type='cancel'>"
            "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
