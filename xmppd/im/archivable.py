"""Which messages are kept, and for what: decided once per message, from its type and the names of its children."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from xmppd import ns
from xmppd.stanza import Message
from xmppd.xml.element import Element


class Storing(Enum):
    """What becomes of a message."""

    HISTORY = "history"  # it is part of both sides' history, and is delivered when somebody comes
    QUEUE = "queue"  # it is only kept until somebody comes
    NOTHING = "nothing"  # who is not there misses it


_HISTORY: Final = Storing.HISTORY
_QUEUE: Final = Storing.QUEUE
_NOTHING: Final = Storing.NOTHING

_TYPES: Final = frozenset({"normal", "chat"})  # XEP-0160#types, XEP-0313#business-storeret-user-archives

# OMEMO as most clients speak it, its later versions, what says that a message is encrypted (XEP-0380), and OpenPGP.
_ENCRYPTED: Final = frozenset(
    {
        "eu.siacs.conversations.axolotl",
        "urn:xmpp:omemo:1",
        "urn:xmpp:omemo:2",
        "urn:xmpp:eme:0",
        "urn:xmpp:openpgp:0",
        "jabber:x:encrypted",
    }
)
# What says something about an earlier message: a client that does not see it shows that one wrongly.
_ABOUT_EARLIER: Final[Mapping[str, frozenset[str]]] = {
    "urn:xmpp:reactions:0": frozenset({"reactions"}),  # XEP-0444
    "urn:xmpp:message-correct:0": frozenset({"replace"}),  # XEP-0308
    ns.RETRACTION: frozenset({"retract"}),  # XEP-0424
    "urn:xmpp:receipts": frozenset({"received"}),  # XEP-0184
    "urn:xmpp:chat-markers:0": frozenset({"received", "displayed", "acknowledged"}),  # XEP-0333
    "urn:xmpp:fasten:0": frozenset({"apply-to"}),  # XEP-0422: earlier retractions and reactions
}
# Of these, what may also come with a text that is a message by itself.
_NOTICES: Final = frozenset({"urn:xmpp:receipts", "urn:xmpp:chat-markers:0"})
_INVITATION: Final = "jabber:x:conference"  # XEP-0249: accepted on one device, and known to all
# Worth nothing later, and nothing by themselves; or an answer of the server to a client, which is no message.
_FLEETING: Final = frozenset({ns.CHAT_STATES, ns.STANZA_ID, ns.CARBONS, "urn:xmpp:mam:2", "urn:xmpp:inbox:1"})


def storing(message: Message) -> Storing:
    """What becomes of ``message`` (XEP-0160#types, XEP-0313#business-storeret-user-archives, XEP-0334#hints)."""
    return _NOTHING if message.type not in _TYPES else by_content(message)


def by_content(message: Message) -> Storing:
    """As ``storing``, whatever the type is: for rooms, whose messages are all of one."""
    found = _NOTHING
    most = _HISTORY
    for child in message.children:
        if type(child) is not Element:
            continue
        space = child.ns
        if space == ns.CLIENT:
            name = child.name
            if name == "body":
                found = _HISTORY
            elif name != "thread" and found is _NOTHING:
                found = _QUEUE
        elif space == ns.HINTS:
            name = child.name
            if name == "no-store":
                return _NOTHING  # XEP-0334#no-store
            if name == "no-permanent-store":
                most = _QUEUE  # XEP-0334#no-permanent-store
            elif name == "store":
                found = _HISTORY
        elif found is not _HISTORY and space not in _FLEETING:
            about = _ABOUT_EARLIER.get(space)
            if about is None:
                found = _HISTORY if space in _ENCRYPTED or space == _INVITATION else _QUEUE
            else:
                found = _HISTORY if child.name in about else _QUEUE
    return most if found is _HISTORY else found


def counts_as_unread(message: Message) -> bool:
    """Whether ``message``, which is part of a history, is something new to read for who gets it: it has a text, or an
    encrypted one, that says nothing else about an earlier message.
    """
    text = False
    for child in message.children:
        if type(child) is not Element:
            continue
        space = child.ns
        if space == ns.CLIENT:
            if child.name == "body":
                text = True
        elif space in _ABOUT_EARLIER:
            if child.name in _ABOUT_EARLIER[space] and space not in _NOTICES:
                return False
        elif not text and space in _ENCRYPTED and _has_content(child):
            text = True
    return text


def _has_content(encrypted: Element) -> bool:
    """Whether there is more in ``encrypted`` than keys (XEP-0384: without ``<payload/>`` it only makes a session)."""
    if encrypted.name != "encrypted":
        return encrypted.name == "openpgp"
    children = encrypted.children
    return any(type(child) is Element and child.name == "payload" for child in children)
