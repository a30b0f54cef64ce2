"""What rooms send, and to whom."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.room import Attendance, Room
from xmppd.routing.pipeline import Pipeline
from xmppd.routing.router import Router
from xmppd.stanza import Stanza
from xmppd.tasks import Tasks


class Post:
    """Gives stanzas to clients in a room: to sessions of this node at once, to others by the router."""

    def __init__(self, router: Router, pipeline: Pipeline, tasks: Tasks) -> None:
        self._router = router
        self._pipeline = pipeline
        self._tasks = tasks

    def to_all(self, room: Room, stanza: Stanza) -> None:
        """To every client in the room; it is written once, whatever their number."""
        self.to_each((client for _, client in room.clients()), stanza)

    def to_each(self, clients: Iterable[Attendance], stanza: Stanza) -> None:
        for client in clients:
            self.to_client(client, stanza)

    def to_client(self, client: Attendance, stanza: Stanza) -> None:
        """To one client in a room, wherever it is. ``stanza`` is to nobody yet, so that all who get it share what is
        written; what the account's stages do not let pass, such as what comes from whom it blocks, is dropped.
        """
        session = client.session
        if session is None:
            self.send(stanza.with_to(client.jid))
            return
        if session.over:
            return
        try:
            judged = self._pipeline.inbound(stanza, session.account)
        except StanzaError:
            return
        if judged is None:
            return
        if session.gate is None:
            session.write(judged.wire_to(client.jid))
        else:
            session.deliver(judged.with_to(client.jid))

    def send(self, stanza: Stanza) -> None:
        """To whoever is its ``to``. What becomes of it, nobody hears."""
        try:
            waiting = self._router.route(stanza)
        except StanzaError:
            return
        if waiting is not None:
            self._tasks.start(f"from {stanza.sender}", _sent(waiting))


async def _sent(waiting: Awaitable[None]) -> None:
    try:
        await waiting
    except StanzaError:
        pass
