"""XEP-0430: Inbox. A client that starts shows its chat list at once: a line for each conversation, with its last
message and how much is unread, instead of synchronizing the whole history.

What counts as unread is said in ``im/chat_draft.py``. The conversation with the newest instant message comes first. For
paging (XEP-0059) a line is called as that message: the next page can be derived from it even when there is news in that
conversation, which then is on top of the list; the client sees that news arrive. Rooms of which one is a member are
conversations as well, with the ids that the room gave (``im/room_lines.py``).

The XEP speaks of a marker that sets a conversation unread by hand, but has no protocol for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

from msgspec import Meta, Struct

from xmppd.errors import StanzaError
from xmppd.extension import Extension, Setup
from xmppd.im.chat_draft import position
from xmppd.im.chat_list import ChatLists, Line
from xmppd.im.results import Paced, result
from xmppd.im.room_lines import line_of, room_of
from xmppd.im.stanza_ids import StanzaIds
from xmppd.jid import escape_attribute
from xmppd.routing.disco import Entity
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.routing.rsm import Paging, set_element
from xmppd.storage.archive import Conversation
from xmppd.storage.rooms import FIRST_ROOM
from xmppd.xml.element import Element

NS: Final = "urn:xmpp:inbox:1"

# Of last messages in one page; a line for which there is no room left goes without. Who wants to see the list need not
# wait for it just because some contacts write novels.
_MESSAGE_BYTES: Final = 1_048_576
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the list a client gets at once."""

    page: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="Conversations that a client gets that does not say how many it wants.",
        ),
    ] = 50
    max_page: Annotated[
        int, Meta(ge=1, le=1_000, description="Most conversations that a client gets at once.")
    ] = 200


@dataclass(frozen=True, slots=True)
class Inbox:
    """``messages``: with the last message of each conversation."""

    TAG: ClassVar[Name] = Name(NS, "inbox")
    unread_only: bool
    messages: bool
    paging: Paging

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(
            _boolean(element, "unread-only", default=False),
            _boolean(element, "messages", default=True),
            Paging.of(element),
        )


def _boolean(element: Element, name: str, *, default: bool) -> bool:
    text = element.get(name)
    if text is None:
        return default
    try:
        return _BOOLEANS[text.strip()]
    except KeyError:
        raise StanzaError("bad-request", f"{name} is true or false") from None


class Inboxes:
    def __init__(self, chat_lists: ChatLists, ids: StanzaIds, config: Config) -> None:
        self._chat_lists = chat_lists
        self._ids = ids
        self._config = config

    async def on_inbox(self, request: Request[Inbox], outbox: Outbox) -> Element:
        owner, asked, session = request.own.id, request.payload, request.session
        assert session is not None
        paced = Paced(session, session.account.jid)
        chats = await self._chat_lists.read(owner, session.account.jid)
        listed = chats.conversations
        if asked.unread_only:
            listed = tuple(line for line in listed if line.unread)
        start, end = self._page(listed, owner, asked.paging)
        page = listed[start:end]
        room = _MESSAGE_BYTES if asked.messages else 0
        async with aclosing(self._chat_lists.lines(owner, page, chats.rooms)) as lines:
            async for line in lines:
                content = self._entry(line)
                if (room := room - len(line.message.stanza)) >= 0:
                    content += result(
                        line.message, self._ids.text(line.owner, line.message.id), request.iq.id
                    )
                # XEP-0430 (Querying): before the reply, which goes out when this returns
                await paced.send(content)
        await paced.read()
        first, last = (self._name(owner, page[at]) for at in (0, -1)) if page else (None, None)
        counts = {
            "total": len(chats.conversations),
            "unread": chats.unread,
            "all-unread": chats.unread_messages,
        }
        return Element(
            "fin",
            NS,
            {name: str(count) for name, count in counts.items()},
            [set_element(first, last, count=len(listed), index=start)],
        )

    def _page(self, listed: Sequence[Conversation], owner: int, paging: Paging) -> tuple[int, int]:
        """From where to where ``listed``, which is in descending order of messages, is shown."""
        size = paging.limit(self._config.page, self._config.max_page)
        start, end = 0, len(listed)
        if paging.after is not None:
            after = self._position(owner, paging.after)
            start = sum(1 for line in listed if position(line) >= after)
        if paging.before:
            before = self._position(owner, paging.before)
            end = sum(1 for line in listed if position(line) > before)
        if paging.before is not None:
            return max(start, end - size), end
        if paging.index is not None:
            start = min(paging.index, end)
        return start, min(start + size, end)

    def _name(self, owner: int, line: Conversation) -> str:
        room = room_of(line)
        return self._ids.text(owner if room is None else room, line.message)

    def _position(self, owner: int, id: str) -> tuple[int, int]:
        """Where in the order the line is, or was, that is called ``id``: as the message in it, of the account's archive
        or a room's. Rows of all archives tell when.
        """
        place = self._ids.place(id)
        if place is None or place[0] not in (owner, max(place[0], FIRST_ROOM)):
            raise StanzaError("item-not-found", "that is no id of a conversation")  # XEP-0059#notfound
        whose, row = place
        return row, 0 if whose == owner else line_of(whose)

    def _entry(self, line: Line) -> bytes:
        jid = escape_attribute(str(line.peer))
        conversation = line.conversation
        id = self._ids.text(line.owner, conversation.last)
        return f"<entry xmlns='{NS}' unread='{conversation.unread}' jid='{jid}' id='{id}'/>".encode()


def setup(s: Setup, config: Config) -> None:
    inboxes = Inboxes(s.core.chat_lists, s.core.stanza_ids, config)
    s.feature(NS, at=(Entity.SERVER, Entity.ACCOUNT))
    s.iq("get", Inbox, inboxes.on_inbox, (At.OWN,))


EXTENSION: Final = Extension(
    name="inbox",
    xep="0430",
    version="0.2.0",
    summary="The chat list comes from the server: last message and number of unread ones for each conversation.",
    config=Config,
    setup=setup,
)
