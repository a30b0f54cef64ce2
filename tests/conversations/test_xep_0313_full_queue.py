"""A page of history that is more than its client may leave unacknowledged (XEP-0198) ends the session, and counts as
taken only as far as it was sent.
"""

from __future__ import annotations

from tests.support.harness import Harness
from xmppd.im.results import MAM

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@capulet.lit/orchard"


async def test_what_was_not_sent_any_more_is_still_owed() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        await server.account(JULIET)
        romeo = await server.client(ROMEO)
        for number in range(200):
            romeo.send_nowait(
                f"<message to='{JULIET}' type='chat' id='{number}'><body>{number}</body></message>"
            )
        await server.settle()
        juliet = await server.client(f"{JULIET}/balcony")
        await juliet.enable("")
        after, count = "", 0
        while juliet.error is None:
            rsm = f"<set xmlns='http://jabber.org/protocol/rsm'><max>30</max>{after}</set>"
            await juliet.send(f"<iq type='set' id='q'><query xmlns='{MAM}'>{rsm}</query></iq>")
            results = [found for each in juliet.received if (found := each.child("result", MAM)) is not None]
            count = len(results)
            after = f"<after>{results[-1].attrs['id']}</after>"
        assert "resource-constraint" in str(juliet.error)
        assert await server.waiting(JULIET) >= 200 - count
