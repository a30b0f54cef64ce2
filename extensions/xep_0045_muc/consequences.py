"""What those in a room see of new settings (XEP-0045#roomconfig-notify)."""

from __future__ import annotations

from typing import Final

import msgspec

from xmppd.extensions.xep_0045_muc.entering import Entering
from xmppd.extensions.xep_0045_muc.names import Role, Status
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.presence import NOTHING, Announcer, Change, x
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.extensions.xep_0045_muc.settings import RoomConfig
from xmppd.ids import Ids
from xmppd.stanza import Message
from xmppd.storage.rooms import Affiliation

_NO_MEMBER: Final = Change(codes=frozenset({Status.MEMBERS_ONLY}))
_REAL_JIDS: Final = Change(own=frozenset({Status.REAL_JIDS}))
_UNSEEN: Final = Change(role=Role.NONE)


class Consequences:
    def __init__(self, entering: Entering, announcer: Announcer, post: Post, ids: Ids) -> None:
        self._entering = entering
        self._announcer = announcer
        self._post = post
        self._ids = ids

    def draw(self, room: Room, now: RoomConfig) -> None:
        """``room`` has the settings ``now``, which are stored, from now on; in its turn."""
        before = room.config
        if now.members_only and not before.members_only:
            self._dismiss(room)  # as long as they are seen by those who saw them
        room.config = now
        codes = _codes(before, now)
        if codes:
            told = Message(
                type="groupchat", sender=room.jid, to=None, id=self._ids.token(), children=[x((), codes)]
            )
            self._post.to_all(room, told)
        for occupant in tuple(room.occupants.values()):
            self._look(room, occupant, before)

    def _dismiss(self, room: Room) -> None:
        """XEP-0045#roomconfig: who is no member leaves a room that is for members from now on."""
        for occupant in tuple(room.occupants.values()):
            if room.affiliation(occupant.user) < Affiliation.MEMBER:
                self._entering.remove(room, occupant, _NO_MEMBER)

    def _look(self, room: Room, occupant: Occupant, before: RoomConfig) -> None:
        """Show ``occupant`` to those for whom it looks different now."""
        was_shown, role = before.shows(occupant.role), _role(room, occupant, before)
        revealed = room.config.whois == "anyone" != before.whois
        changed = role is not occupant.role
        occupant.role = role
        shown = room.config.shows(role)
        if was_shown and not shown:
            for seer, client in room.clients():
                if seer is not occupant:
                    self._announcer.tell(room, occupant, client, _UNSEEN, unavailable=True)
        if changed or revealed or (shown and not was_shown):
            self._announcer.announce(room, occupant, _REAL_JIDS if revealed else NOTHING)


def _codes(before: RoomConfig, now: RoomConfig) -> set[Status]:
    codes = set[Status]()
    if now.archived != before.archived:
        codes.add(Status.LOGGED if now.archived else Status.LOGGED_NOT)
    if now.whois != before.whois:
        codes.add(Status.NON_ANONYMOUS if now.whois == "anyone" else Status.SEMI_ANONYMOUS)
    if now != msgspec.structs.replace(before, archived=now.archived, whois=now.whois, locked=now.locked):
        codes.add(Status.CONFIGURED)
    return codes


def _role(room: Room, occupant: Occupant, before: RoomConfig) -> Role:
    """Whether the room is moderated decides who has a voice (XEP-0045#roles-default)."""
    if room.config.moderated == before.moderated:
        return occupant.role
    if not room.config.moderated:
        return max(occupant.role, Role.PARTICIPANT)
    if room.affiliation(occupant.user) is Affiliation.NONE:
        return occupant.role if occupant.role is Role.MODERATOR else Role.VISITOR
    return occupant.role
