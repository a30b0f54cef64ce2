"""Delivery of messages: RFC 6121#8.5, table 1, and what is kept for later (XEP-0160)."""

from __future__ import annotations

from tests.support.harness import Harness


async def test_message_to_a_full_jid_reaches_that_resource() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        romeo = await server.client("romeo@capulet.lit/orchard")
        await juliet.send("<message to='romeo@capulet.lit/orchard' id='1'><body>Wherefore?</body></message>")
        romeo.expect(
            "<message from='juliet@capulet.lit/balcony' to='romeo@capulet.lit/orchard' id='1'>"
            "<body>Wherefore?</body></message>"
        )
        romeo.expect_nothing()
        juliet.expect_nothing()


async def test_message_is_kept_while_nobody_is_there() -> None:
    async with Harness("capulet.lit") as server:
        await server.account("romeo@capulet.lit")
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send(
            "<message to='romeo@capulet.lit' type='chat'><body>Art thou there?</body></message>"
        )
        juliet.expect_nothing()
        romeo = await server.client("romeo@capulet.lit/orchard")
        await romeo.send("<presence/>")
        romeo.expect("<presence from='romeo@capulet.lit/orchard' to='romeo@capulet.lit'/>")
        romeo.expect(
            "<message from='juliet@capulet.lit/balcony' to='romeo@capulet.lit' type='chat'><body>Art thou there?</body>"
            "<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='2026-09-21T14:13:20.000Z'/></message>"
        )
