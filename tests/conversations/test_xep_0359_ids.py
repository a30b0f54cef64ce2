"""XEP-0359: what a message is called is the server's word alone."""

from __future__ import annotations

from tests.conversations.contacts import JULIET, ROMEO
from tests.support.harness import Harness


async def test_a_forged_name_reaches_nobody_and_an_honest_one_does(server: Harness) -> None:
    # XEP-0359#rules
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    ids = "".join(
        f"<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='{by}'/>"
        for by in (JULIET, "JULIET@capulet.lit", ROMEO, "capulet.lit", "room@muc.example")
    )
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='mine'/>"
    await romeo.send(f"<message to='{JULIET}' type='chat'><body>hi</body>{ids}{origin}</message>")
    juliet.expect(
        f"<message from='{romeo.jid}' to='{JULIET}' type='chat'><body>hi</body>"
        f"<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='room@muc.example'/>{origin}"
        f"<stanza-id xmlns='urn:xmpp:sid:0' id='*' by='{JULIET}'/></message>"
    )


async def test_that_the_server_keeps_to_the_rules_is_announced(server: Harness) -> None:
    # XEP-0359#disco
    juliet = await server.client(f"{JULIET}/balcony")
    for at in (JULIET, "capulet.lit"):
        await juliet.send(
            f"<iq type='get' id='1' to='{at}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        info = next(juliet.received.pop().elements())
        assert "urn:xmpp:sid:0" in {feature.attrs["var"] for feature in info.each("feature")}
