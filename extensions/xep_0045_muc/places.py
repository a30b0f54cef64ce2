"""Who may have which nick, and how many people a room holds (XEP-0045#enter-conflict, #enter-maxusers)."""

from __future__ import annotations

from collections.abc import Mapping

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.nicks import likeness
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliated, Affiliation


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
        return self.most(room.config)

    def most(self, config: RoomConfig) -> int:
        """How many people a room with these settings holds."""
        return min(config.people, self._most) if config.people else self._most

    # Nicks

    def check_nick(self, room: Room, user: Jid, nick: str, occupant: Occupant | None) -> None:
        """``conflict`` where ``nick``, which ``occupant`` has at the moment, is somebody else's, who is there or for
        whom it is reserved; or looks so much like such a nick that one would be taken for the other.
        """
        wanted = likeness(nick)
        if occupant is None or occupant.user != user:
            self._check_seen(room, user, nick, wanted)
        for other, entry in room.affiliations.items():
            if entry.nick and other != user and likeness(entry.nick) == wanted:
                # XEP-0045#reservednick
                raise StanzaError("conflict", f"the nick {entry.nick} is reserved")

    def _check_seen(self, room: Room, user: Jid, nick: str, wanted: str) -> None:
        for other in room.occupants.values():
            if other.user != user and likeness(other.nick) == wanted:
                raise StanzaError("conflict", f"somebody else is called {other.nick}")

    def check_reservations(
        self, room: Room, changes: Mapping[Jid, Affiliated], after: Mapping[Jid, Affiliated]
    ) -> None:
        """``conflict`` where one of ``changes`` reserves what is somebody else's nick in ``room``, or reserved for one
        in the lists ``after`` it.
        """
        new = {user: entry.nick for user, entry in changes.items() if entry.nick != room.entry(user).nick}
        if not any(new.values()):
            return
        owners = {
            likeness(entry.nick): user for user, entry in after.items() if entry.nick and user not in new
        }
        for user, nick in new.items():
            if nick:
                wanted = likeness(nick)
                if owners.setdefault(wanted, user) != user:
                    raise StanzaError("conflict", f"the nick {nick} is reserved for somebody else")
                self._check_seen(room, user, nick, wanted)

    # People

    def check_room(self, room: Room, user: Jid) -> None:
        """``service-unavailable`` where there is no place for ``user`` (XEP-0045#enter-maxusers)."""
        there = _present(room)
        if user in there:
            return
        if room.affiliation(user) >= Affiliation.ADMIN:
            # These come in beyond what the room's own settings say, but not beyond what the server says.
            full = len(there) >= self._most
        else:
            full = len(there | _admins(room.affiliations)) >= self.of(room)
        if full:
            raise StanzaError(
                "service-unavailable", f"the room is full: it holds {self.of(room)} people", type="wait"
            )

    def check_lists(self, room: Room, after: Mapping[Jid, Affiliated]) -> None:
        """``not-allowed`` where the lists ``after`` a change make more people members than ``room`` holds, or admins of
        people who would not find a place.
        """
        most = self.of(room)
        members = _members(after)
        if members > most and members > _members(room.affiliations):
            raise StanzaError("not-allowed", f"{members} members are too many: the room holds {most} people")
        admins = _admins(after)
        there = {user for user in _present(room) if _stays(user, after, room.config.members_only)}
        if len(there | admins) > self._most and not admins - there <= _admins(room.affiliations):
            raise StanzaError(
                "not-allowed",
                "the room is full: who is not in it becomes admin or owner when somebody has left",
            )


def _present(room: Room) -> set[Jid]:
    return {each.user for each in room.occupants.values()}


def _members(lists: Mapping[Jid, Affiliated]) -> int:
    return sum(entry.affiliation >= Affiliation.MEMBER for entry in lists.values())


def _admins(lists: Mapping[Jid, Affiliated]) -> set[Jid]:
    return {user for user, entry in lists.items() if entry.affiliation >= Affiliation.ADMIN}


def _stays(user: Jid, after: Mapping[Jid, Affiliated], members_only: bool) -> bool:
    entry = after.get(user)
    affiliation = Affiliation.NONE if entry is None else entry.affiliation
    return affiliation >= (Affiliation.MEMBER if members_only else Affiliation.NONE)
