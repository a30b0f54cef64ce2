"""RFC 3921#3: the session request of older clients."""

from __future__ import annotations

import pytest

from tests.support.harness import Harness

SESSION = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"


@pytest.mark.parametrize("to", ["capulet.lit", ""])
async def test_a_session_request_is_granted(to: str) -> None:
    async with Harness("capulet.lit") as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        address = f"to='{to}'" if to else ""
        await juliet.send(f"<iq type='set' id='s' {address}>{SESSION}</iq>")
        juliet.expect(
            f"<iq type='result' from='{to or 'juliet@capulet.lit'}' to='juliet@capulet.lit/balcony' id='s'/>"
        )
