"""Namespaces that the core speaks. An extension keeps its own beside its code."""

from __future__ import annotations

from typing import Final

CLIENT: Final = "jabber:client"
SERVER: Final = "jabber:server"
STREAMS: Final = "http://etherx.jabber.org/streams"
STREAM_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
TLS: Final = "urn:ietf:params:xml:ns:xmpp-tls"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL_CB: Final = "urn:xmpp:sasl-cb:0"
BIND: Final = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION: Final = "urn:ietf:params:xml:ns:xmpp-session"
XML: Final = "http://www.w3.org/XML/1998/namespace"

ROSTER: Final = "jabber:iq:roster"
ROSTER_VERSIONING: Final = "urn:xmpp:features:rosterver"
PRE_APPROVAL: Final = "urn:xmpp:features:pre-approval"

DISCO_INFO: Final = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS: Final = "http://jabber.org/protocol/disco#items"
DATA_FORMS: Final = "jabber:x:data"
DELAY: Final = "urn:xmpp:delay"
HINTS: Final = "urn:xmpp:hints"
CHAT_STATES: Final = "http://jabber.org/protocol/chatstates"
CARBONS: Final = "urn:xmpp:carbons:2"
FORWARD: Final = "urn:xmpp:forward:0"
LAST: Final = "jabber:iq:last"
IDLE: Final = "urn:xmpp:idle:1"
MUC_USER: Final = "http://jabber.org/protocol/muc#user"
STANZA_ID: Final = "urn:xmpp:sid:0"
RETRACTION: Final = "urn:xmpp:message-retract:1"
