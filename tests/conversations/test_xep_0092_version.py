"""XEP-0092: what the server tells about its software."""

from __future__ import annotations

import platform

import pytest

from tests.support.harness import Harness
from xmppd import __version__


@pytest.mark.parametrize(
    ("toml", "os"),
    [
        ("", ""),
        ("[extensions.version]\nshow_os = true", f"<os>{platform.system()}</os>"),
    ],
    ids=["without the operating system", "with it, if the operator wants that"],
)
async def test_the_server_tells_its_version(toml: str, os: str) -> None:
    async with Harness("capulet.lit", toml=toml) as server:
        juliet = await server.client("juliet@capulet.lit/balcony")
        await juliet.send("<iq type='get' to='capulet.lit' id='v'><query xmlns='jabber:iq:version'/></iq>")
        juliet.expect(
            "<iq type='result' from='capulet.lit' to='juliet@capulet.lit/balcony' id='v'>"
            f"<query xmlns='jabber:iq:version'><name>xmppd</name><version>{__version__}</version>{os}</query></iq>"
        )
