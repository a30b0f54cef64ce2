"""Occupants get other roles (XEP-0045#roles-change), and all see it."""

from __future__ import annotations

from dataclasses import replace

from xmppd.extensions.xep_0045_muc.names import Role
from xmppd.extensions.xep_0045_muc.presence import Announcer, Change
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.storage.rooms import Affiliation


def following(room: Room, role: Role, before: Affiliation, after: Affiliation) -> Role:
    """Which role an occupant has whose affiliation changes (XEP-0045#roles-change)."""
    if after >= Affiliation.ADMIN:
        return Role.MODERATOR
    if before >= Affiliation.ADMIN:
        return room.role_of(after)
    if after is Affiliation.MEMBER and before is not Affiliation.MEMBER:
        return max(role, Role.PARTICIPANT)
    return role


class Roles:
    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    def set(self, room: Room, occupant: Occupant, role: Role, change: Change) -> None:
        """``occupant`` has ``role`` from now on; all are told how it looks, with ``change``."""
        before, saw = occupant.role, room.sees_jids(occupant)
        if room.config.shows(before) and not room.config.shows(role):
            # Who saw it sees it go, for it hears of it no more (XEP-0045#roomconfig-presencebroadcast).
            self._announcer.announce(
                room, occupant, replace(change, role=role), but=occupant.clients, unavailable=True
            )
        occupant.role = role
        self._announcer.announce(room, occupant, change)
        if room.sees_jids(occupant) and not saw:
            # XEP-0045#moderator: it learns who is behind the nicks, of those who have come before
            for client in occupant.clients.values():
                for other in room.occupants.values():
                    if other is not occupant and room.config.shows(other.role):
                        self._announcer.tell(room, other, client)
