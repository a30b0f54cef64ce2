"""Another server: what it gets collects until it is expected, and it says what the test lets it say."""

from __future__ import annotations

from tests.support.harness import Harness
from tests.support.xml import matches, parse, show
from xmppd import stanza as stanzas
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.sessions.session import Session
from xmppd.stanza import Stanza
from xmppd.xml.element import Element


class Elsewhere:
    """The server of ``domain``, to which ``server`` has a connection."""

    def __init__(self, server: Harness, domain: str) -> None:
        self._server = server
        self.received: list[Element] = []
        server.node.core.router.add_host(domain, self)

    def accept(self, stanza: Stanza, session: Session | None) -> Waiting:
        self.received.append(stanza.element())
        return None

    async def send(self, xml: str) -> None:
        """Stanzas arrive at the server; their ``from`` is believed."""
        for element in parse(xml):
            sender = Jid.parse(element.attrs.pop("from"))
            await self._server.node.core.router.send(stanzas.parse(element, sender))
        await self._server.settle()

    def expect(self, *xml: str) -> None:
        """The next stanzas that came are these, in this order."""
        for text in xml:
            for wanted in parse(text):
                assert self.received, f"nothing came, but should have: {show(wanted)}"
                got = self.received.pop(0)
                assert matches(wanted, got), f"there came\n  {show(got)}\ninstead of\n  {show(wanted)}"

    def expect_nothing(self) -> None:
        assert not self.received, "\n".join(map(show, self.received))
