"""The lists of a room change: who is owner, admin, member or outcast. Kept first, then all are told
(XEP-0045#affil-change).

Whoever lets somebody change a list comes here: admins, those who register, who invite, the form of an owner, operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.entering import Entering
from xmppd.extensions.xep_0045_muc.names import USER, Status
from xmppd.extensions.xep_0045_muc.places import Places
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.presence import Change, x
from xmppd.extensions.xep_0045_muc.roles import Roles, following
from xmppd.extensions.xep_0045_muc.room import NOBODY, Occupant, Room
from xmppd.jid import Jid
from xmppd.stanza import Message
from xmppd.storage.rooms import Affiliated, Affiliation, RoomStore
from xmppd.xml.element import Element, text_element


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: ``jid`` (bare) and, in the room, ``nick``. None and "": the server does."""

    jid: Jid | None = None
    nick: str = ""


SERVER = Actor()


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of the entry of ``user``: bare, or a domain."""

    user: Jid
    before: Affiliated
    after: Affiliated


class Lists:
    def __init__(
        self, store: RoomStore, places: Places, entering: Entering, roles: Roles, post: Post
    ) -> None:
        self._store = store
        self._places = places
        self._entering = entering
        self._roles = roles
        self._post = post

    async def change(
        self, room: Room, changes: Mapping[Jid, Affiliated], actor: Actor = SERVER, *, invite: bool = True
    ) -> None:
        """Put ``changes`` (by bare JID) into the lists of ``room``, all or none, in its turn, and tell those concerned;
        the reason is that of each entry. ``invite``: invite those who become members of a room for members.

        ``conflict``: nobody would own the room (XEP-0045#revokeowner), or a nick is somebody else's. ``not-allowed``:
        there is no place for so many.
        """
        (await self.keep(room, changes, actor, invite=invite))()

    async def keep(
        self, room: Room, changes: Mapping[Jid, Affiliated], actor: Actor = SERVER, *, invite: bool = True
    ) -> Callable[[], None]:
        """The first half of ``change``: what it returns tells, and is to be called in the same turn."""
        new = {user: entry for user, entry in changes.items() if not _same(room.entry(user), entry)}
        after = {**room.affiliations, **new}
        for user, entry in new.items():
            if entry.affiliation is Affiliation.NONE:
                after.pop(user, None)
        if not any(entry.affiliation is Affiliation.OWNER for entry in after.values()):
            raise StanzaError("conflict", "a room has an owner: make somebody else one first")
        self._places.check_reservations(room, new, after)
        self._places.check_lists(room, after)
        if new:
            room.version = await self._store.affiliate(room.id, new)
        done = []
        for user, entry in new.items():
            done.append(Changed(user, room.entry(user), entry))
            if entry.affiliation is Affiliation.NONE:
                room.affiliations.pop(user, None)
            else:
                room.affiliations[user] = replace(entry, version=room.version)

        def tell() -> None:
            for changed in done:
                self._tell(room, changed, actor, invite=invite)

        return tell

    def _tell(self, room: Room, changed: Changed, actor: Actor, *, invite: bool) -> None:
        before, after = changed.before.affiliation, changed.after.affiliation
        if before is after:
            return  # only the nick that is reserved, or the reason, is another one
        change = Change(actor=actor.nick, reason=changed.after.reason)
        occupants = _concerned(room, changed.user)
        for occupant in occupants:
            if after is Affiliation.OUTCAST:
                self._entering.remove(room, occupant, replace(change, codes=frozenset({Status.BANNED})))
            elif after is Affiliation.NONE and room.config.members_only:
                # XEP-0045#revokemember
                lost = replace(change, codes=frozenset({Status.AFFILIATION_LOST}))
                self._entering.remove(room, occupant, lost)
            else:
                self._roles.set(room, occupant, following(room, occupant.role, before, after), change)
        if not occupants and changed.user.local is not None:
            self._tell_of_absent(room, changed, actor, invite=invite)

    def _tell_of_absent(self, room: Room, changed: Changed, actor: Actor, *, invite: bool) -> None:
        user, before, after = changed.user, changed.before.affiliation, changed.after.affiliation
        # XEP-0045#grantowner, XEP-0045#grantadmin: those in the room are told by a message, who see addresses
        note = Message(type="normal", sender=room.jid, to=None, children=[_notice(changed, user)])
        self._post.to_each((client for occupant, client in room.clients() if room.sees_jids(occupant)), note)
        if room.config.members_only and before < Affiliation.MEMBER <= after:
            if invite:  # XEP-0045#modifymember
                self.invite(room, user, actor.jid, changed.after.reason)
        elif max(before, after) >= Affiliation.MEMBER:
            # XEP-0045#impl-service. Who has never had to do with the room hears nothing of it.
            notice = _notice(changed, None, Status.AFFILIATION_ABSENT)
            self._post.send(Message(type="normal", sender=room.jid, to=user, children=[notice]))

    def invite(
        self,
        room: Room,
        user: Jid,
        inviter: Jid | None,
        reason: str = "",
        *,
        id: str | None = None,
        more: Element | None = None,
    ) -> None:
        """Send ``user`` an invitation of the room in the name of ``inviter`` (XEP-0045#invite-mediated); where they are
        not there, it is kept for them. ``more``: what the inviter's client has to say to theirs.
        """
        invite = Element("invite", USER, {} if inviter is None else {"from": str(inviter)})
        if reason:
            invite.children.append(text_element("reason", USER, reason))
        if more is not None:
            invite.children.append(more)
        children: list[Element | str] = [invite]
        if room.config.password:
            children.append(text_element("password", USER, room.config.password))
        about = Element("x", USER, children=children)
        self._post.send(Message(type="normal", sender=room.jid, to=user, id=id, children=[about]))


def _same(one: Affiliated, other: Affiliated) -> bool:
    return replace(one, version=other.version) == other or (
        one.affiliation is other.affiliation is NOBODY.affiliation
    )


def _concerned(room: Room, user: Jid) -> list[Occupant]:
    """Whose affiliation it is that has changed: where ``user`` is a domain, all of it without own entries."""
    if user.local is not None:
        return room.of(user)
    return [
        each
        for each in room.occupants.values()
        if each.user.domain == user.domain and each.user not in room.affiliations
    ]


def _notice(changed: Changed, jid: Jid | None, *codes: Status) -> Element:
    """``<x/>`` about somebody who is not in the room."""
    attrs = {"affiliation": changed.after.affiliation.name.lower(), "role": "none"}
    if jid is not None:
        attrs["jid"] = str(jid)
    item = Element("item", USER, attrs)
    if changed.after.reason:
        item.children.append(text_element("reason", USER, changed.after.reason))
    return x([item], codes)
