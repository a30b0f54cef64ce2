"""XEP-0425: moderators take back what others said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import OCCUPANT_ID, Role
from xmppd.extensions.xep_0045_muc.reflecting import Reflecting
from xmppd.extensions.xep_0045_muc.requests import RoomRequest
from xmppd.extensions.xep_0045_muc.retracting import MODERATION, Retracting
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.stored import author_of
from xmppd.ids import Ids
from xmppd.im.archiver import Archiver
from xmppd.im.stanza_ids import StanzaIds
from xmppd.routing.iq import Name
from xmppd.stanza import Message
from xmppd.storage.archive import ArchiveStore, Kind, NewMessage, NewRow, Placed, Query, peer_key
from xmppd.xml.element import Element, text_element

_MOST_REASON: Final = 1_000  # characters


@dataclass(frozen=True, slots=True)
class Moderate:
    """Take back the message that the room calls ``id``; ``reason``: why ("": not said)."""

    TAG: ClassVar[Name] = Name(MODERATION, "moderate")
    id: str
    reason: str

    @classmethod
    def parse(cls, element: Element) -> Self:
        id = element.get("id")
        if not id:
            raise StanzaError("bad-request", "which message? name its stanza-id")
        if element.child("retract", ns.RETRACTION) is None:
            # XEP-0425#intro: other things that moderators might do are yet to be defined
            raise StanzaError("feature-not-implemented", "messages can only be retracted")
        reason = element.child("reason")
        text = "" if reason is None else reason.text()
        if len(text) > _MOST_REASON:
            raise StanzaError("policy-violation", f"a reason has {_MOST_REASON} characters at most")
        return cls(id, text)


class Moderation:
    def __init__(
        self,
        archive: ArchiveStore,
        archiver: Archiver,
        stanza_ids: StanzaIds,
        reflecting: Reflecting,
        retracting: Retracting,
        ids: Ids,
    ) -> None:
        self._archive = archive
        self._archiver = archiver
        self._stanza_ids = stanza_ids
        self._reflecting = reflecting
        self._retracting = retracting
        self._ids = ids

    async def on_set(self, request: RoomRequest[Moderate]) -> None:
        room, occupant, wanted = request.room, request.occupant, request.payload
        if occupant is None or occupant.role < Role.MODERATOR:
            raise StanzaError(
                "forbidden", "only moderators retract what others said"
            )  # XEP-0425#usecase-error
        id = self._stanza_ids.row(room.id, wanted.id)
        rows = [] if id is None else await self._archive.read(room.id, Query(ids=(id,)), limit=1)
        if not rows or not rows[0].stanza:
            raise StanzaError("item-not-found", "the room has no message with that stanza-id")
        if rows[0].kind & Kind.TOMBSTONE:
            return  # somebody was faster
        if author_of(rows[0].stanza) is None:
            raise StanzaError("not-allowed", "the room itself said that")
        moderated = Element("moderated", MODERATION, {"by": str(occupant.jid)})
        moderated.children.append(Element("occupant-id", OCCUPANT_ID, {"id": occupant.id}))
        retract = Element("retract", ns.RETRACTION, {"id": wanted.id}, [moderated])
        if wanted.reason:
            retract.children.append(text_element("reason", ns.RETRACTION, wanted.reason))
        said = Message(type="groupchat", sender=room.jid, to=None, id=self._ids.token(), children=[retract])
        row = NewRow(room.id, peer_key(room.jid), Kind.PENDING)
        await self._archiver.add(NewMessage(said.wire(), (row,)), partial(self._stored, room, said))

    def _stored(self, room: Room, said: Message, placed: Placed | None) -> None:
        if placed is None:
            self._reflecting.doubt(room)
            return
        place = placed.places[0]
        self._reflecting.stored(room, said, place)
        self._retracting.taken(room.id, place.id)
