"""Who may do what to whom in a room (the tables of XEP-0045#roles-priv and #affil-priv): nobody to who is above them.

Everything here only looks, and raises the error that the XEP has for what is not allowed.
"""

from __future__ import annotations

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.names import Role
from xmppd.extensions.xep_0045_muc.room import Occupant, Room
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation


def role_of(room: Room, user: Jid) -> Role:
    """The highest role in which ``user`` (bare) is in the room."""
    return max((each.role for each in room.of(user)), default=Role.NONE)


def check_role(room: Room, actor: Jid, target: Occupant, role: Role) -> None:
    """Whether ``actor`` (bare) may give ``target`` the ``role``; ``Role.NONE``: kick it."""
    mine, theirs = room.affiliation(actor), room.affiliation(target.user)
    if role is Role.MODERATOR or (target.role is Role.MODERATOR and role is not Role.NONE):
        _check_moderation(mine, theirs, role)
        return
    if role_of(room, actor) is not Role.MODERATOR:
        raise StanzaError("forbidden", "only moderators who are in the room do this")  # XEP-0045#moderator
    if role is Role.NONE:
        if theirs > mine or (target.role is Role.MODERATOR and mine < Affiliation.ADMIN):
            # XEP-0045#kick, and the table of XEP-0045#roles-change
            raise StanzaError("not-allowed", f"you cannot kick {target.nick}, who is above you")
    elif role is Role.VISITOR and theirs >= mine and theirs is not Affiliation.NONE:
        # XEP-0045#revokevoice. Who has no affiliation is at nobody's level: else a moderator without one,
        # whom an admin has appointed, could not moderate.
        raise StanzaError("not-allowed", f"you cannot take the voice of {target.nick}, who is not below you")


def _check_moderation(mine: Affiliation, theirs: Affiliation, role: Role) -> None:
    if mine < Affiliation.ADMIN:
        raise StanzaError("forbidden", "only admins and owners say who is moderator")  # XEP-0045#admin
    if role is not Role.MODERATOR and theirs >= Affiliation.ADMIN:
        # XEP-0045#revokemod, XEP-0045#revokevoice: not by anyone
        raise StanzaError("not-allowed", "admins and owners are always moderators")


def check_affiliation(room: Room, actor: Jid, user: Jid, affiliation: Affiliation) -> None:
    """Whether ``actor`` (bare) may make ``user`` (bare, or a domain that is banned) that, by the table of
    XEP-0045#affil-change.
    """
    mine, theirs = room.affiliation(actor), room.entry(user).affiliation
    if mine < Affiliation.ADMIN:
        raise StanzaError("forbidden", "only admins and owners change the lists of the room")
    if user.local is None and affiliation > Affiliation.NONE:
        raise StanzaError("jid-malformed", f"{user} is a whole domain, which can be banned and nothing else")
    if affiliation is Affiliation.OUTCAST:
        if user == actor:
            raise StanzaError("conflict", "nobody bans oneself")  # XEP-0045#ban
        if theirs >= Affiliation.ADMIN and mine is not Affiliation.OWNER:
            raise StanzaError("not-allowed", f"only owners ban {user}")  # XEP-0045#ban
    elif max(theirs, affiliation) >= Affiliation.ADMIN and mine is not Affiliation.OWNER:
        # XEP-0045#modifyadmin, XEP-0045#modifyowner
        raise StanzaError("forbidden", "only owners say who is admin or owner")


def check_reads_list(room: Room, actor: Jid, affiliation: Affiliation) -> None:
    """Whether ``actor`` (bare) may ask for the list of those who are that to the room."""
    mine = room.affiliation(actor)
    if mine is Affiliation.OWNER:
        return
    if affiliation is Affiliation.OUTCAST:
        allowed = mine is Affiliation.ADMIN  # XEP-0045#modifyban
    elif affiliation is Affiliation.MEMBER:
        allowed = mine is Affiliation.ADMIN or _reads_members(room, actor, mine)
    else:
        # XEP-0045#modifyadmin, XEP-0045#modifyowner: owners only where not all see who is behind a nick
        allowed = room.config.whois == "anyone" and (
            mine is Affiliation.ADMIN or _reads_members(room, actor, mine)
        )
    if not allowed:
        raise StanzaError("forbidden", "this list is not for you")


def _reads_members(room: Room, actor: Jid, mine: Affiliation) -> bool:
    role = role_of(room, actor)
    if role is Role.NONE and mine >= Affiliation.MEMBER:
        role = room.role_of(mine)  # XEP-0045#modifymember: members may ask who are not in the room
    # XEP-0045#affil-priv: where the room hides addresses, the list does not tell them
    seen = room.config.whois == "anyone" or role is Role.MODERATOR
    return seen and role.name.lower() in room.config.member_list


def check_reads_roles(room: Room, actor: Jid) -> None:
    """Whether ``actor`` (bare) may ask who has which role (XEP-0045#modifyvoice, XEP-0045#modifymod)."""
    if role_of(room, actor) is not Role.MODERATOR and room.affiliation(actor) < Affiliation.ADMIN:
        raise StanzaError("forbidden", "only moderators ask for this list")
