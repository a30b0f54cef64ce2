"""Who may have which nick, and how many people a room holds (XEP-0045#enter-conflict, #enter-maxusers)."""

from __future__ import annotations

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation


class Places:
    """A person is a bare JID: the clients of one person share a place, under whatever nicks they are there.

    Members (owners and admins too) never are more than the cap. In a room that others may enter too, these get at most
    the places that absent admins and owners leave, so that those can always enter.
    """

    def __init__(self, most: int) -> None:
        """``most`` people in a room, for the whole server."""
        self._most = most

    def of(self, room: Room) -> int:
        """How many people ``room`` holds."""
        return min(room.config.people, self._most) if room.config.people else self._most

    def check_nick(self, room: Room, user: Jid, nick: str, occupant: Occupant | None) -> None:
        """``conflict`` where ``nick`` is somebody else's, who is there or for whom it is reserved."""
        if occupant is not None and occupant.user != user:
            raise StanzaError("conflict", f"somebody else is called {nick}")
        for other, entry in room.affiliations.items():
            if entry.nick == nick and other != user:
                # XEP-0045#reservednick
                raise StanzaError("conflict", f"the nick {nick} is reserved")

    def check_room(self, room: Room, user: Jid) -> None:
        """``service-unavailable`` where there is no place for ``user`` (XEP-0045#enter-maxusers)."""
        there = {each.user for each in room.occupants.values()}
        if user in there:
            return
        most = self.of(room)
        if room.affiliation(user) < Affiliation.ADMIN:
            most -= sum(
                entry.affiliation >= Affiliation.ADMIN and other not in there
                for other, entry in room.affiliations.items()
            )
        if len(there) >= most:
            raise StanzaError("service-unavailable", f"the room is full: it holds {self.of(room)} people")
