"""The service that rooms live on, as the router sees it: each stanza goes to its room, and is handled in its turn."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Final

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.creating import Creating
from xmppd.extensions.xep_0045_muc.entering import Entering, check_request
from xmppd.extensions.xep_0045_muc.names import MUC
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.private import Private
from xmppd.extensions.xep_0045_muc.requests import RoomRequests
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.extensions.xep_0045_muc.talking import Talking
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.sessions.facts import SessionGone
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Message, Presence, Stanza
from xmppd.tasks import Tasks

# Of presence, messages and IQs: what only somebody in a room can have a reason to send.
_TO_SOMEBODY: Final = frozenset({"error", "result", "unavailable"})


class Service:
    """The ``Host`` of ``muc.<domain>``."""

    def __init__(
        self,
        rooms: Rooms,
        creating: Creating,
        entering: Entering,
        talking: Talking,
        private: Private,
        requests: RoomRequests,
        post: Post,
        tasks: Tasks,
    ) -> None:
        self._rooms = rooms
        self._creating = creating
        self._entering = entering
        self._talking = talking
        self._private = private
        self._requests = requests
        self._post = post
        self._tasks = tasks

    def accept(self, stanza: Stanza, session: Session | None) -> Waiting:
        to = stanza.to
        assert to is not None
        if to.local is None:
            return self._requests.to_service(stanza, session)
        room = self._rooms.peek(to.bare)
        if room is None:
            return self._find(stanza, to.bare, session)
        return self._in_turn(room, stanza, session)

    async def _find(self, stanza: Stanza, jid: Jid, session: Session | None) -> None:
        if stanza.type in _TO_SOMEBODY:
            return  # nobody is in a room that is not in memory
        room = await self._rooms.get(jid)
        if room is None:
            room = await self._none(stanza, jid, session)
            if room is None:
                return
        waiting = self._in_turn(room, stanza, session)
        if waiting is not None:
            await waiting

    async def _none(self, stanza: Stanza, jid: Jid, session: Session | None) -> Room | None:
        """There is no room ``jid``: the one that ``stanza`` makes, if it does."""
        if not isinstance(stanza, Presence):
            if isinstance(stanza, Iq) and stanza.to is not None and stanza.to.resource is not None:
                raise StanzaError("not-acceptable", "you are not in this room")  # XEP-0410#serveroptimization
            raise StanzaError("item-not-found", "there is no such room")
        if stanza.type or (session is not None and session.over):
            return None
        if stanza.child("x", MUC) is None:
            self._entering.turn_away(stanza, session)
            return None
        check_request(stanza)
        return await self._creating.create(jid, stanza.sender.bare)

    def _in_turn(self, room: Room, stanza: Stanza, session: Session | None) -> Waiting:
        if isinstance(stanza, Iq) and self._requests.is_aside(stanza):
            return self._handle(room, stanza, session)
        return room.turns.take(partial(self._handle, room, stanza, session))

    def _handle(self, room: Room, stanza: Stanza, session: Session | None) -> Waiting:
        if room.gone:
            # It was destroyed while this waited for its turn; there may be another one by now.
            return self.accept(stanza, session)
        assert stanza.to is not None
        if isinstance(stanza, Presence):
            if session is not None and session.over:
                return None
            return self._entering.on_presence(room, stanza, session)
        if isinstance(stanza, Message):
            return self._on_message(room, stanza, session)
        assert isinstance(stanza, Iq)
        return self._requests.to_room(room, stanza, session)

    def _on_message(self, room: Room, message: Message, session: Session | None) -> Waiting:
        assert message.to is not None
        if message.type == "error":
            self._entering.on_error(room, message)
            return None
        if message.to.resource is not None:
            return self._private.on_message(room, message, session)
        if message.type == "groupchat":
            return self._talking.on_groupchat(room, message, session)
        return self._requests.on_message(room, message, session)

    def on_gone(self, fact: SessionGone) -> None:
        """The session is over: it leaves every room, each in its turn. Ghosts cannot happen."""
        session = fact.session
        for room in self._entering.visited(session):
            waiting = room.turns.take(partial(self._entering.lost, room, session))
            if waiting is not None:
                self._tasks.start(f"{session.jid} leaves {room.jid}", _whole(waiting))


async def _whole(waiting: Awaitable[None]) -> None:
    await waiting
