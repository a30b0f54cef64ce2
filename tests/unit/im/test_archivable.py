"""Which messages are history, which only wait for somebody, and which are new to read."""

from __future__ import annotations

import pytest

from tests.support.xml import parse
from xmppd import stanza as stanzas
from xmppd.im.archivable import Storing, counts_as_unread, storing
from xmppd.jid import Jid
from xmppd.stanza import Message

HISTORY, QUEUE, NOTHING = Storing.HISTORY, Storing.QUEUE, Storing.NOTHING
BODY = "<body>Call me but love</body>"
TYPING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
ACTIVE = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>"
REACTION = "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>👋</reaction></reactions>"
RETRACT = "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>"
CORRECTION = "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"
REQUEST = "<request xmlns='urn:xmpp:receipts'/>"
DISPLAYED = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
MARKABLE = "<markable xmlns='urn:xmpp:chat-markers:0'/>"
KEYS = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>"
SIACS = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted>"
OMEMO_2 = "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/><payload>x</payload></encrypted>"
EME = "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2'/>"
OPENPGP = "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>"
STORE = "<store xmlns='urn:xmpp:hints'/>"
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"
NO_PERMANENT = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"
PRIVATE = "<private xmlns='urn:xmpp:carbons:2'/>"
THREAD = "<thread>t</thread>"
SUBJECT = "<subject>s</subject>"
OTHER = "<event xmlns='urn:example'/>"
INVITE = "<x xmlns='jabber:x:conference' jid='room@muc.lit'/>"


def message(children: str, type: str = "chat") -> Message:
    [element] = parse(f"<message to='juliet@capulet.lit' type='{type}'>{children}</message>")
    stanza = stanzas.parse(element, Jid.parse("romeo@montague.lit/orchard"))
    assert isinstance(stanza, Message)
    return stanza


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        (BODY, HISTORY),
        ("<body/>", HISTORY),
        (SUBJECT + BODY + THREAD, HISTORY),
        (f"\n {BODY}\n {ACTIVE}\n", HISTORY),
        (BODY + TYPING + ORIGIN + REQUEST + MARKABLE, HISTORY),
        # What clients need to show the history as it is
        (REACTION, HISTORY),
        (RETRACT, HISTORY),
        (CORRECTION, HISTORY),
        (RECEIPT, HISTORY),
        (DISPLAYED, HISTORY),
        ("<received xmlns='urn:xmpp:chat-markers:0' id='1'/>", HISTORY),
        ("<acknowledged xmlns='urn:xmpp:chat-markers:0' id='1'/>", HISTORY),
        (SIACS, HISTORY),
        (KEYS, HISTORY),
        (OMEMO_2, HISTORY),
        ("<encrypted xmlns='urn:xmpp:omemo:1'/>", HISTORY),
        (EME, HISTORY),
        (OPENPGP, HISTORY),
        (INVITE, HISTORY),
        # XEP-0160#types: everything else waits for somebody
        (OTHER, QUEUE),
        (SUBJECT, QUEUE),
        (MARKABLE, QUEUE),
        (REQUEST, QUEUE),
        (OTHER + TYPING, QUEUE),
        # XEP-0160#types: but for chat states and what only accompanies others
        ("", NOTHING),
        (TYPING, NOTHING),
        (ACTIVE + THREAD, NOTHING),
        (TYPING + ORIGIN, NOTHING),
        (TYPING + NO_COPY + PRIVATE, NOTHING),
        ("<result xmlns='urn:xmpp:mam:2'><forwarded xmlns='urn:xmpp:forward:0'/></result>", NOTHING),
        ("<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></received>", NOTHING),
        # XEP-0334#hints
        (BODY + NO_STORE, NOTHING),
        (NO_STORE + BODY, NOTHING),
        (STORE + NO_STORE, NOTHING),
        (RECEIPT + NO_STORE, NOTHING),
        (BODY + NO_PERMANENT, QUEUE),
        (NO_PERMANENT + BODY, QUEUE),
        (OTHER + NO_PERMANENT, QUEUE),
        (NO_PERMANENT + STORE, QUEUE),
        (TYPING + NO_PERMANENT, NOTHING),
        (TYPING + STORE, HISTORY),
        (STORE, HISTORY),
        (OTHER + STORE, HISTORY),
        (BODY + NO_COPY, HISTORY),
    ],
)
def test_what_becomes_of_a_message(children: str, expected: Storing) -> None:
    assert storing(message(children)) is expected
    assert storing(message(children, "normal")) is expected


@pytest.mark.parametrize("type", ["error", "headline", "groupchat"])
def test_messages_of_other_types_are_not_kept(type: str) -> None:
    assert storing(message(BODY + STORE, type)) is NOTHING


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        (BODY, True),
        (BODY + ORIGIN + REQUEST + MARKABLE + ACTIVE, True),
        (SIACS, True),
        (OMEMO_2 + EME, True),
        (EME + BODY, True),
        (OPENPGP, True),
        (KEYS, False),
        (EME, False),
        (RECEIPT, False),
        (DISPLAYED, False),
        (REACTION, False),
        (BODY + REACTION, False),  # the text is for clients that know no reactions
        (BODY + RETRACT, False),
        (CORRECTION + BODY, False),
        (TYPING + STORE, False),
        (SUBJECT, False),
        (OTHER + STORE, False),
    ],
)
def test_what_is_new_to_read(children: str, expected: bool) -> None:
    assert counts_as_unread(message(children)) is expected
