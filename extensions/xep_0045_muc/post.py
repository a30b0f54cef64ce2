"""What rooms send, and to whom."""

from __future__ import annotations

from collections.abc import Iterable

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.room import Attendance, Room
from xmppd.routing.router import Router
from xmppd.stanza import Stanza
from xmppd.tasks import Tasks


class Post:
    """Gives stanzas to clients in a room: to sessions of this node at once, to others by the router."""

    def __init__(self, router: Router, tasks: Tasks) -> None:
        self._router = router
        self._tasks = tasks

    def to_all(self, room: Room, stanza: Stanza) -> None:
        """To every client in the room; it is written once, whatever their number."""
        self.to_each((client for _, client in room.clients()), stanza)

    def to_each(self, clients: Iterable[Attendance], stanza: Stanza) -> None:
        stanza.wire()  # the copies share what this renders
        for client in clients:
            self.to_client(client, stanza)

    def to_client(self, client: Attendance, stanza: Stanza) -> None:
        """To one client in a room, wherever it is."""
        session = client.session
        if session is None:
            self.send(stanza.with_to(client.jid))
        elif not session.over:
            session.deliver(stanza.with_to(client.jid))

    def send(self, stanza: Stanza) -> None:
        """To whoever is its ``to``. What becomes of it, nobody hears."""
        try:
            waiting = self._router.route(stanza)
        except StanzaError:
            return
        if waiting is not None:
            self._tasks.start(f"from {stanza.sender}", _sent(waiting))


async def _sent(waiting: object) -> None:
    try:
        await waiting  # type: ignore[misc]  # what the router gave
    except StanzaError:
        pass
