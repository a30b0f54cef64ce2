"""XEP-0202: the server's time."""

from __future__ import annotations

from tests.support.harness import Harness


async def test_the_server_tells_its_time_in_utc() -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await server.advance(1.5)
        await juliet.send("<iq type='get' to='capulet.lit' id='t'><time xmlns='urn:xmpp:time'/></iq>")
        juliet.expect(
            "<iq type='result' from='capulet.lit' to='juliet@capulet.lit/balcony' id='t'><time xmlns='urn:xmpp:time'>"
            "<tzo>+00:00</tzo><utc>2026-09-21T14:13:21.500Z</utc></time></iq>"
        )
