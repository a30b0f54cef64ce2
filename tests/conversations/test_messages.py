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


async def test_nobody_speaks_of_delays_in_the_name_of_the_server() -> None:
    """XEP-0203#security: what is taken out is only what claims to be the server's."""
    delay = "<delay xmlns='urn:xmpp:delay' from='{by}' stamp='2002-09-10T23:08:25Z'/>"
    async with Harness("capulet.lit", "montague.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        romeo = await server.client("romeo@montague.lit/orchard", available=True)
        forged = delay.format(by="capulet.lit") + delay.format(by="MONTAGUE.lit")
        foreign = (
            delay.format(by="rooms.montague.lit") + delay.format(by="") + "<delay xmlns='urn:xmpp:delay'/>"
        )
        for stanza in ("message", "presence"):
            await juliet.send(f"<{stanza} to='{romeo.jid}'>{forged}{foreign}<x xmlns='urn:x'/></{stanza}>")
            romeo.expect(
                f"<{stanza} from='{juliet.jid}' to='{romeo.jid}'>{foreign}<x xmlns='urn:x'/></{stanza}>"
            )
