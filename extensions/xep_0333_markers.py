"""XEP-0333: Displayed Markers. When a client tells somebody that it has displayed a message, the server notes it in the
account's chat list (XEP-0430), so that its other devices know what was read.

The markers themselves go their way as any message. Those in rooms come with group chat.
"""

from __future__ import annotations

from typing import Final

from xmppd.extension import Extension, NoOptions, Setup
from xmppd.im.chat_list import ChatLists
from xmppd.sessions.session import Session
from xmppd.stanza import Message

NS: Final = "urn:xmpp:chat-markers:0"

# XEP-0430 (Unread Messages) names the second, which XEP-0333 had in earlier versions, too.
_READ: Final = frozenset({"displayed", "acknowledged"})
_TYPES: Final = frozenset({"chat", "normal"})


class Markers:
    def __init__(self, chat_lists: ChatLists) -> None:
        self._chat_lists = chat_lists

    def after_sent(self, message: Message, session: Session) -> None:
        """Note what ``message`` says to have been displayed."""
        to = message.to
        if message.type not in _TYPES or to is None:
            return
        for child in message.elements():
            if child.ns == NS and child.name in _READ and (id := child.get("id")):
                self._chat_lists.displayed(session.account.id, to, id)


def setup(s: Setup, config: NoOptions) -> None:
    s.after_sent(Markers(s.core.chat_lists).after_sent)


EXTENSION: Final = Extension(
    name="markers",
    xep="0333",
    version="1.0.0",
    status="partial",
    summary="What one device has shown counts as read in the chat list of all.",
    config=NoOptions,
    setup=setup,
)
