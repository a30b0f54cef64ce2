"""Who wrote a stored message of a room, which not all who read it may know (XEP-0313#business-storeret-muc-archives).

Such a message ends with ``<x xmlns='…muc#user'><item affiliation='…' role='…' jid='…'/></x>``. What the room says
itself has none. Senders cannot forge it, since such an ``<x/>`` is taken out of all that they say.
"""

from __future__ import annotations

import re
from typing import Final

from xmppd.jid import Jid
from xmppd.xml.fragment import from_bytes

_END: Final = b"</message>"
_AUTHOR: Final = re.compile(
    rb"<x xmlns='http://jabber\.org/protocol/muc#user'><item affiliation='[a-z]+' role='[a-z]+' jid='[^'<]*'/></x>"
    rb"</message>\Z"
).search
_ITEM_BYTES: Final = (
    10_000  # above what it can have: an address has 3,071 bytes, each up to 6 as it is written
)


def without_author(stanza: bytes) -> bytes:
    """``stanza``, which is stored, for those who may not know who is behind the nicks."""
    found = _AUTHOR(stanza, max(0, len(stanza) - _ITEM_BYTES))
    return stanza if found is None else stanza[: found.start()] + _END


def author_of(stanza: bytes) -> Jid | None:
    """The full address of who wrote ``stanza``, which is stored; None: the room itself."""
    found = _AUTHOR(stanza, max(0, len(stanza) - _ITEM_BYTES))
    if found is None:
        return None
    item = next(from_bytes(found.group().removesuffix(_END)).elements())
    return Jid.parse(item.attrs["jid"])
