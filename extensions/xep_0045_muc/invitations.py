"""A room invites people in the name of those in it, and tells them who declines (XEP-0045#invite-mediated).

XEP-0249's invitations go from person to person and need nothing of a room.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.admin import reason_of
from xmppd.extensions.xep_0045_muc.lists import Actor, Lists
from xmppd.extensions.xep_0045_muc.names import USER
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.stanza import Message
from xmppd.storage.rooms import Affiliated, Affiliation
from xmppd.xml.element import Element, text_element

Exists = Callable[[Jid], Awaitable[bool]]
MOST = 100  # people in one message


@dataclass(frozen=True, slots=True)
class Invite:
    """``more``: ``<continue/>``, which the room passes on (XEP-0045#continue)."""

    to: Jid
    reason: str
    more: Element | None

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(_to(element), reason_of(element), element.child("continue"))


def _to(element: Element) -> Jid:
    to = element.get("to")
    if to is None:
        raise StanzaError("bad-request", f"say whom you mean: <{element.name} to='…'/>")
    return Jid.of(to)


class Invitations:
    def __init__(self, lists: Lists, post: Post, exists: Exists) -> None:
        """``exists``: whether there is an account of that bare address, as far as this server knows."""
        self._lists = lists
        self._post = post
        self._exists = exists

    def on_message(self, room: Room, message: Message, x: Element) -> Waiting:
        """A message to the room with ``<x xmlns='…muc#user'/>``."""
        invites = [Invite.parse(each) for each in x.each("invite")]
        if invites:
            if len(invites) > MOST:
                raise StanzaError("not-acceptable", f"invite at most {MOST} people in one message")
            return self._invite(room, message, invites)
        decline = x.child("decline")
        if decline is None:
            raise StanzaError("bad-request", "a message to a room is of type groupchat, or invites somebody")
        self._decline(room, message, decline)
        return None

    async def _invite(self, room: Room, message: Message, invites: list[Invite]) -> None:
        inviter = message.sender.bare
        self._check_inviter(room, message.sender)
        members: dict[Jid, Affiliated] = {}
        for invite in invites:
            user = invite.to.bare
            affiliation = room.affiliation(user)
            if affiliation is Affiliation.OUTCAST:
                raise StanzaError("not-allowed", f"{user} is banned from this room; lift that first")
            if not await self._exists(user):
                raise StanzaError("item-not-found", f"there is no {user}")
            if room.config.members_only and affiliation is Affiliation.NONE:
                members[user] = Affiliated(Affiliation.MEMBER, reason=invite.reason)
        if members:  # XEP-0045#modifymember; an open room never does that
            occupant = room.attending.get(message.sender)
            actor = Actor(inviter, "" if occupant is None else occupant.nick)
            await self._lists.change(room, members, actor, invite=False)
        for invite in invites:
            self._lists.invite(room, invite.to, inviter, invite.reason, id=message.id, more=invite.more)

    def _check_inviter(self, room: Room, inviter: Jid) -> None:
        affiliation = room.affiliation(inviter.bare)
        if room.config.locked:
            raise StanzaError("item-not-found", "the room is not configured yet")
        if inviter not in room.attending and affiliation < Affiliation.MEMBER:
            raise StanzaError("forbidden", "who invites others is in the room")
        if affiliation < Affiliation.ADMIN and not room.config.members_invite:
            raise StanzaError("forbidden", "only admins invite people to this room")

    def _decline(self, room: Room, message: Message, element: Element) -> None:
        """To somebody of the room only: a room carries nothing to strangers."""
        sender, to = message.sender.bare, _to(element)
        if room.affiliation(sender) is Affiliation.OUTCAST:
            raise StanzaError("forbidden", "you are banned from this room")
        decline = Element("decline", USER, {"from": str(sender)})
        if reason := reason_of(element):
            decline.children.append(text_element("reason", USER, reason))
        about = Element("x", USER, children=[decline])
        told = Message(type="normal", sender=room.jid, to=None, id=message.id, children=[about])
        if to.bare == room.jid:
            occupant = room.occupants.get(to.resource or "")
            occupants = [] if occupant is None else [occupant]
        else:
            occupants = room.of(to.bare)
        for occupant in occupants:
            self._post.to_each(occupant.clients.values(), told)
        if not occupants:
            if room.affiliation(to.bare) < Affiliation.MEMBER:
                raise StanzaError("item-not-found", "who invited you is not in the room any more")
            self._post.send(told.with_to(to.bare))
