"""XEP-0313 on rooms: the history for those who may enter, page by page (XEP-0313#business-storeret-muc-archives)."""

from __future__ import annotations

from typing import TypeVar

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import Role
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.reflecting import Reflecting
from xmppd.extensions.xep_0045_muc.requests import RoomRequest
from xmppd.extensions.xep_0045_muc.stored import author_of, without_author
from xmppd.im.archive_queries import AskForm, AskMetadata, Query
from xmppd.im.envelope import Envelope
from xmppd.im.pages import Pages, Selection, metadata
from xmppd.im.results import MAM, Paced, result
from xmppd.jid import Jid
from xmppd.routing.iq import Payload
from xmppd.stanza import Message
from xmppd.storage.archive import Row, peer_key
from xmppd.storage.rooms import Affiliation
from xmppd.xml.element import Element

P = TypeVar("P", bound=Payload)


class RoomArchive:
    """Answers what clients ask of the archives of rooms. It takes no turn of the room: pages go out as fast as who asks
    reads them, and nobody else waits for that.
    """

    def __init__(self, pages: Pages, reflecting: Reflecting, post: Post) -> None:
        self._pages = pages
        self._reflecting = reflecting
        self._post = post

    async def on_form(self, request: RoomRequest[AskForm]) -> Element:
        _check_access(request)
        return AskForm.answer(groupchat=False)

    async def on_metadata(self, request: RoomRequest[AskMetadata]) -> Element:
        _check_access(request)
        room = request.room
        return metadata(await self._pages.ends(room.id), lambda row: self._reflecting.name(room, row))

    async def on_query(self, request: RoomRequest[Query]) -> Element:
        _check_access(request)
        room, query = request.room, request.payload
        sees_jids = _sees_jids(request)
        selected = None if query.filter.peer is None else _said_by(query.filter.peer, request, sees_jids)
        paced = None if request.session is None else Paced(request.session, room.jid)
        page = await self._pages.find(room.id, query, selected)
        for row in page.rows[::-1] if query.flipped else page.rows:
            name = self._reflecting.name(room, row)
            if not sees_jids:
                row = row._replace(stanza=without_author(row.stanza))
            content, parsed = result(row, name, query.id), Element("result", MAM, {"id": name})
            if paced is not None:
                await paced.send(content, parsed)
            else:
                to = request.iq.sender
                self._post.send(
                    Message(type="normal", sender=room.jid, to=to, children=[parsed], source=content)
                )
        if paced is not None:
            await paced.read()
        return page.fin(lambda row: self._reflecting.name(room, row))


def _check_access(request: RoomRequest[P]) -> None:
    """Who may not enter may not read either, and hears the same as there (XEP-0045#entering)."""
    room, config = request.room, request.room.config
    affiliation = request.affiliation
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden", "you are banned from this room")
    if config.locked and affiliation is not Affiliation.OWNER:
        raise StanzaError("item-not-found", "the room is not configured yet")
    if not config.archived:
        raise StanzaError("service-unavailable", "this room keeps no history")
    if affiliation >= Affiliation.MEMBER:
        return
    if config.members_only:
        raise StanzaError("forbidden", "the history of this room is for its members")
    if config.password and not room.of(request.user):
        raise StanzaError("forbidden", "enter this room, with its password, to read its history")


def _sees_jids(request: RoomRequest[P]) -> bool:
    """Whether who asks may know who is behind the nicks: all may in some rooms, else moderators, be they there or
    not.
    """
    if request.room.config.whois == "anyone" or request.affiliation >= Affiliation.ADMIN:
        return True
    return any(each.role is Role.MODERATOR for each in request.room.of(request.user))


def _said_by(peer: Jid, request: RoomRequest[P], sees_jids: bool) -> Selection | None:
    """What ``peer`` said (XEP-0313#filter-jid): an occupant's address means all that was said under that nick, another
    one all that this person said, whom who asks has to know.
    """
    room = request.room
    if peer.bare == room.jid:
        if peer.resource is None:
            return None  # all is from the room
        address = str(peer)
        return Selection(None, lambda row: Envelope.of(row.stanza).sender == address, countable=False)
    if not sees_jids and peer.bare != request.user:
        # XEP-0313#filter-jid: not for those who may not know who it was
        raise StanzaError("forbidden", "you may not know who is behind the nicks of this room")

    def matches(row: Row) -> bool:
        author = author_of(row.stanza)
        return author is not None and (author if peer.resource is not None else author.bare) == peer

    return Selection(peer_key(peer), matches, countable=peer.resource is None)
