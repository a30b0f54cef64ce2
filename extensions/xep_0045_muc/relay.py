"""IQs from one occupant's client to another's, and the answers back (XEP-0045#bizrules-iq); XEP-0410.

Neither side learns the other's real address. A request goes to one client of the occupant under an id of our own, by
which the answer finds the client that asked, since several may share a nick and an id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from xmppd import ns
from xmppd.clock import Clock
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.jid import Jid
from xmppd.routing.router import Router
from xmppd.stanza import Iq, error_reply
from xmppd.tasks import Tasks

SELF_PING: Final = "http://jabber.org/protocol/muc#self-ping-optimization"
_PING: Final = ("ping", "urn:xmpp:ping")
_VCARD: Final = ("vCard", "vcard-temp")
_MOST: Final = 10_000  # requests without an answer, of all rooms
_SECONDS: Final = 300.0  # after which nobody waits any more


class _Asked(NamedTuple):
    """``iq`` was sent on to ``target``, in whose name only that may answer; until ``until``, in monotonic seconds."""

    iq: Iq
    target: Jid
    until: float


class Relay:
    def __init__(
        self, router: Router, post: Post, clock: Clock, tasks: Tasks, new_id: Callable[[], str]
    ) -> None:
        self._router = router
        self._post = post
        self._clock = clock
        self._tasks = tasks
        self._new_id = new_id
        self._asked = OrderedDict[str, _Asked]()  # by the id under which it went on, the oldest first

    def on_iq(self, room: Room, iq: Iq) -> None:
        """An IQ to an occupant's address, in the room's turn."""
        if iq.type in ("result", "error"):
            self._answered(room, iq)
        else:
            self._request(room, iq)

    def _request(self, room: Room, iq: Iq) -> None:
        sender = room.attending.get(iq.sender)
        payload = iq.payload
        assert iq.to is not None
        assert payload is not None
        if sender is None:
            if payload.ns in (ns.DISCO_INFO, ns.DISCO_ITEMS):
                # XEP-0045#disco-occupant
                raise StanzaError("bad-request", "enter the room before you ask who is in it")
            raise StanzaError("not-acceptable", "you are not in this room")  # XEP-0410#serveroptimization
        to = room.occupants.get(iq.to.resource or "")
        if to is sender and (payload.name, payload.ns) == _PING:
            self._post.send(iq.result())  # XEP-0410#serveroptimization
            return
        if to is None:
            raise StanzaError("item-not-found", "nobody of that nick is in the room")
        client = next(reversed(to.clients.values()))
        # The server answers this one for the person, who may be in the room with clients that do not know it.
        target = client.jid.bare if (payload.name, payload.ns) == _VCARD else client.jid
        id = self._new_id()
        relayed = Iq(type=iq.type, sender=sender.jid, to=target, id=id, lang=iq.lang, children=iq.children)
        self._remember(id, _Asked(iq, target, self._clock.monotonic() + _SECONDS))
        waiting = self._router.route(relayed)
        if waiting is not None:
            self._tasks.start(f"a request to {to.jid}", self._follow(waiting, iq))

    async def _follow(self, waiting: Awaitable[None], iq: Iq) -> None:
        try:
            await waiting
        except StanzaError as err:
            reply = error_reply(iq, err)
            if reply is not None:
                self._post.send(reply)

    def _remember(self, id: str, asked: _Asked) -> None:
        requests, now = self._asked, self._clock.monotonic()
        while requests:
            oldest = next(iter(requests))
            if len(requests) < _MOST and requests[oldest].until > now:
                break
            del requests[oldest]
        requests[id] = asked

    def _answered(self, room: Room, iq: Iq) -> None:
        """To the client that asked, from the address that it asked."""
        asked = self._asked.get(iq.id or "")
        if asked is None or asked.target != iq.sender:
            return
        del self._asked[iq.id or ""]
        request = asked.iq
        assert request.to is not None
        if request.sender in room.attending:
            self._post.send(
                Iq(
                    type=iq.type,
                    sender=request.to,
                    to=request.sender,
                    id=request.id,
                    lang=iq.lang,
                    children=iq.children,
                )
            )
