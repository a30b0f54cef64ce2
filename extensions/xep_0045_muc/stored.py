"""How messages stand in a room's archive: as all see them, without ``stanza-id``, and behind that who wrote them.

That is the last child, ``<x xmlns='…muc#user'><item affiliation='…' role='…' jid='…'/></x>``: what those who may know
it are shown (XEP-0313#business-storeret-muc-archives), and what is cut off for the others. What the room says itself
has none. Senders cannot forge it, since such an ``<x/>`` is taken out of all that they say.
"""

from __future__ import annotations

from typing import Final

from xmppd import ns
from xmppd.extensions.xep_0045_muc.names import USER
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.im.authors import author_of, without_author
from xmppd.jid import Jid
from xmppd.stanza import Message
from xmppd.storage.archive import Row
from xmppd.xml.element import XML_LANG, Element
from xmppd.xml.fragment import from_bytes
from xmppd.xml.writer import children_to_bytes

_END: Final = b"</message>"


def to_store(room: Room, said: Message, occupant: Occupant, client: Jid) -> bytes:
    """What is stored of ``said``, which all are shown, when ``client`` said it as ``occupant``."""
    attrs = {
        "affiliation": room.affiliation(occupant.user).name.lower(),
        "role": occupant.role.name.lower(),
        "jid": str(client),
    }
    x = Element("x", USER, children=[Element("item", USER, attrs)])
    return said.wire().removesuffix(_END) + children_to_bytes([x], ns.CLIENT) + _END


def shown(room: Room, row: Row, name: str, *more: Element) -> Message:
    """The message in ``row`` of the archive of ``room``, which is called ``name``, as all see it, with ``more``."""
    element = from_bytes(without_author(row.stanza))
    stanza_id = Element("stanza-id", ns.STANZA_ID, {"by": str(room.jid), "id": name})
    return Message(
        type="groupchat",
        sender=Jid.parse(element.attrs["from"]),
        to=None,
        id=element.get("id"),
        lang=element.get(XML_LANG),
        children=[*element.children, stanza_id, *more],
    )


__all__ = ["author_of", "shown", "to_store", "without_author"]
