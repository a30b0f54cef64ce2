"""What one occupant says to another alone (XEP-0045#privatemessage).

It is a message between two people, in the name of their nicks: in the archive of each, where the other one's address
in the room finds it (XEP-0313#filter-jid), and never in the archive of the room
(XEP-0313#business-storeret-muc-archives). It is stored once, also where several clients share the nick: each gets that
message. Clients that are not in the room get no copy (XEP-0280#recommended-rules).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import USER, Role
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.talking import as_said
from xmppd.im.messages import Messages
from xmppd.routing.pipeline import Pipeline
from xmppd.routing.router import Router, Waiting
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.xml.element import Element

_LEAST: Final = {
    "anyone": Role.VISITOR,
    "participants": Role.PARTICIPANT,
    "moderators": Role.MODERATOR,
}


class Private:
    def __init__(
        self,
        rooms: Rooms,
        router: Router,
        pipeline: Pipeline,
        messages: Messages,
        post: Post,
        hosts: Collection[str],
    ) -> None:
        """``hosts``: the domains that rooms are on."""
        self._rooms = rooms
        self._router = router
        self._pipeline = pipeline
        self._messages = messages
        self._post = post
        self._hosts = hosts

    def on_message(self, room: Room, message: Message, session: Session | None) -> Waiting:
        """A message to one occupant, in the room's turn."""
        sender = room.attending.get(message.sender)
        if sender is None:
            raise StanzaError("not-acceptable", "you are not in this room")
        if message.type == "groupchat":
            raise StanzaError("bad-request", "a message to one occupant is not of type groupchat")
        assert message.to is not None
        to = room.occupants.get(message.to.resource or "")
        if to is None:
            raise StanzaError("item-not-found", "nobody of that nick is in the room")
        least = _LEAST.get(room.config.private_messages)
        if least is None or sender.role < least:
            # XEP-0045#roomconfig: muc#roomconfig_allowpm
            raise StanzaError("forbidden", "this room does not let you send private messages")
        said = as_said(room, sender, message, Element("x", USER))
        client = next(
            reversed(to.clients.values())
        )  # it said something last: it is the likeliest to be there
        said = said.with_to(client.jid)
        if client.session is None or session is None:
            return self._router.route(said)
        account = client.session.account
        judged = self._pipeline.inbound(said, account)
        return None if judged is None else self._messages.pass_on(judged, account, message, session)

    def after_received(self, message: Message, account: Account, got: Sequence[Resource]) -> None:
        """A client has got ``message``, under the name that it has in the archive of ``account``: if it is a private
        one, the others of that occupant get the same.
        """
        if message.sender.domain not in self._hosts or message.to is None or message.type == "error":
            return
        room = self._rooms.peek(message.sender.bare)
        occupant = None if room is None else room.attending.get(message.to)
        if occupant is not None and message.sender.resource is not None and len(occupant.clients) > 1:
            shared = message.with_to(None)
            for client in occupant.clients.values():
                if client.jid != message.to:
                    self._post.to_client(client, shared)
