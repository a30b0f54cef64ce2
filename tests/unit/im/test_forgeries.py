"""Nobody outside speaks in the server's name."""

from __future__ import annotations

import pytest

from tests.support.xml import parse
from xmppd import stanza as stanzas
from xmppd.im.forgeries import without_forgeries
from xmppd.jid import Jid
from xmppd.stanza import Stanza

BODY = "<body>hi</body>"
ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>"


def is_ours(jid: Jid) -> bool:
    return jid.domain == "capulet.lit"


def message(children: str) -> Stanza:
    [element] = parse(f"<message to='juliet@capulet.lit'>{children}</message>")
    return stanzas.parse(element, Jid.parse("romeo@capulet.lit/orchard"))


@pytest.mark.parametrize(
    "forged",
    [
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='juliet@capulet.lit'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='romeo@capulet.lit'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='JULIET@CAPULET.LIT'/>",  # XEP-0359#rules: normalized
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='juliet@capulet.lit/balcony'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' by='capulet.lit'/>",
        "<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='2002-09-10T23:08:25Z'/>",
    ],
)
def test_what_claims_to_be_the_servers_word_is_taken_out(forged: str) -> None:
    honest = without_forgeries(message(f"{forged}{BODY}{forged}{ORIGIN}"), is_ours)
    assert honest.children == message(BODY + ORIGIN).children
    assert honest.wire() == message(BODY + ORIGIN).wire()


@pytest.mark.parametrize(
    "honest",
    [
        BODY + ORIGIN,
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='room@muc.example'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='@'/>",
        "<referenced-stanza xmlns='urn:xmpp:sid:0' id='1' by='juliet@capulet.lit'/>",
        "<delay xmlns='urn:xmpp:delay' from='montague.example' stamp='2002-09-10T23:08:25Z'/>",
        "<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/>",
        "<x xmlns='urn:example' by='capulet.lit' from='capulet.lit'/>",
        "<forwarded xmlns='urn:xmpp:forward:0'><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='capulet.lit'/></forwarded>",
    ],
)
def test_everything_else_stays_as_it_is(honest: str) -> None:
    stanza = message(honest)
    assert without_forgeries(stanza, is_ours) is stanza
