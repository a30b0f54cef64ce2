"""XEP-0333: Displayed Markers, as far as they matter to the server: a client that tells somebody that it displayed a
message tells its own server that this one and all before it are read (XEP-0333#sending).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xmppd.xml.element import Element

NS: Final = "urn:xmpp:chat-markers:0"

# XEP-0430 (Unread Messages) names the second, too, which XEP-0333 had in earlier versions.
_READ: Final = frozenset({"displayed", "acknowledged"})


def displayed(children: Iterable[Element | str]) -> list[str]:
    """The ids of the messages that a message with ``children`` says to have been displayed; its recipient gave them."""
    return [
        id
        for child in children
        if type(child) is Element and child.ns == NS and child.name in _READ and (id := child.attrs.get("id"))
    ]
