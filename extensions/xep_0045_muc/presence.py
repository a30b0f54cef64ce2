"""How occupants look to each other: presence with ``<x xmlns='…muc#user'/>`` (XEP-0045#enter-pres)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from xmppd.extensions.xep_0045_muc.names import MUC, OCCUPANT_ID, USER, Role, Status
from xmppd.extensions.xep_0045_muc.post import Post
from xmppd.extensions.xep_0045_muc.room import Attendance, Occupant, Room
from xmppd.jid import Jid
from xmppd.stanza import Presence
from xmppd.storage.rooms import Affiliation
from xmppd.xml.element import Element, text_element


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be told beside how an occupant looks now. ``codes`` are for all, ``own`` for its clients. ``nick``:
    the new one. ``actor``: the nick of who did it. ``role`` and ``affiliation``: where they differ from what holds, as
    for somebody who leaves.
    """

    codes: frozenset[Status] = frozenset()
    own: frozenset[Status] = frozenset()
    nick: str = ""
    actor: str = ""
    reason: str = ""
    role: Role | None = None
    affiliation: Affiliation | None = None
    destroyed: Element | None = None


NOTHING: Final = Change()
_STRANGER: Final = frozenset({Status.SELF, Status.KICKED, Status.ERROR})


def item(room: Room, occupant: Occupant, change: Change, jid: Jid | None) -> Element:
    """``<item/>``: affiliation, role, and the real ``jid`` for who may see it."""
    affiliation = room.affiliation(occupant.user) if change.affiliation is None else change.affiliation
    role = occupant.role if change.role is None else change.role
    attrs = {"affiliation": affiliation.name.lower(), "role": role.name.lower()}
    if jid is not None:
        attrs["jid"] = str(jid)
    if change.nick:
        attrs["nick"] = change.nick
    children: list[Element | str] = []
    if change.actor:
        children.append(Element("actor", USER, {"nick": change.actor}))
    if change.reason:
        children.append(text_element("reason", USER, change.reason))
    return Element("item", USER, attrs, children)


def x(items: Iterable[Element], codes: Collection[Status]) -> Element:
    """``<x xmlns='…muc#user'/>``."""
    statuses = [Element("status", USER, {"code": str(int(code))}) for code in sorted(codes)]
    return Element("x", USER, children=[*items, *statuses])


def shown(presence: Presence) -> list[Element | str]:
    """What of a client's presence others in the room see: all but what it says to the room, or in the room's name."""
    return [
        child
        for child in presence.children
        if not (
            isinstance(child, Element)
            and (child.ns == MUC or child.ns.startswith(f"{MUC}#") or child.ns == OCCUPANT_ID)
        )
    ]


def kick(stranger: Presence) -> Presence:
    """The answer to presence of a client that believes to be in a room in which it is not: it lost its place, or knows
    the old protocol only (XEP-0045#enter-gc).
    """
    attrs = {"affiliation": "none", "role": "none"}
    reason = text_element("reason", USER, "You are not in the room.")
    about = x([Element("item", USER, attrs, [reason])], _STRANGER)
    return Presence(
        type="unavailable", sender=stranger.to or stranger.sender, to=stranger.sender, children=[about]
    )


class Announcer:
    """Tells clients in a room how occupants look. Each variant is written once: with and without the real address, and
    for the occupant itself.
    """

    def __init__(self, post: Post) -> None:
        self._post = post

    def tell(
        self,
        room: Room,
        occupant: Occupant,
        client: Attendance,
        change: Change = NOTHING,
        *,
        unavailable: bool = False,
        id: str | None = None,
    ) -> None:
        """Tell ``client``, which is in the room, alone about ``occupant``, by a presence with ``id``."""
        seer = room.attending[client.jid]
        stanza = self._presence(
            room, occupant, change, room.sees_jids(seer), own=seer is occupant, unavailable=unavailable, id=id
        )
        self._post.to_client(client, stanza)

    def part(self, room: Room, client: Attendance, change: Change) -> None:
        """Tell ``client`` alone that it leaves the room, in which other clients stay under the same nick."""
        occupant = room.attending[client.jid]
        stanza = self._presence(
            room, occupant, change, room.sees_jids(occupant), own=True, unavailable=True, only=client
        )
        self._post.to_client(client, stanza)

    def announce(
        self,
        room: Room,
        occupant: Occupant,
        change: Change = NOTHING,
        *,
        but: Collection[Jid] = (),
        unavailable: bool = False,
    ) -> None:
        """Tell every client in the room about ``occupant``, itself last (XEP-0045#enter-pres), except those ``but``.
        Who is not broadcast (XEP-0045#roomconfig-presencebroadcast) is seen by itself alone.
        """
        variant = self._variants(room, occupant, change, unavailable=unavailable)
        if room.config.shows(occupant.role):
            for seer, client in room.clients():
                if seer is not occupant and client.jid not in but:
                    self._post.to_client(client, variant(room.sees_jids(seer), False))
        for client in occupant.clients.values():
            if client.jid not in but:
                self._post.to_client(client, variant(room.sees_jids(occupant), True))

    def _variants(
        self, room: Room, occupant: Occupant, change: Change, *, unavailable: bool
    ) -> Callable[[bool, bool], Presence]:
        made: dict[tuple[bool, bool], Presence] = {}

        def variant(with_jid: bool, own: bool) -> Presence:
            stanza = made.get((with_jid, own))
            if stanza is None:
                stanza = self._presence(room, occupant, change, with_jid, own=own, unavailable=unavailable)
                stanza.wire()
                made[with_jid, own] = stanza
            return stanza

        return variant

    def _presence(
        self,
        room: Room,
        occupant: Occupant,
        change: Change,
        with_jid: bool,
        *,
        own: bool = False,
        unavailable: bool = False,
        only: Attendance | None = None,
        id: str | None = None,
    ) -> Presence:
        """``only``: of the occupant's clients the one that it is about; None: all."""
        presence = occupant.presence if only is None else only.presence
        codes = {*change.codes, *change.own, Status.SELF} if own else set(change.codes)
        jids: list[Jid | None] = [None]
        if with_jid:
            # An item for each client of one who entered with several: its address is a full one
            # (XEP-0045#bizrules-presence).
            jids = [only.jid] if only is not None else list(occupant.clients)
        about = x([item(room, occupant, change, jid) for jid in jids], codes)
        if change.destroyed is not None:
            about.children.append(change.destroyed)
        # XEP-0045#exit: what it says as it leaves is passed on
        children = shown(presence) if not unavailable or presence.type == "unavailable" else []
        return Presence(
            type="unavailable" if unavailable else "",
            sender=occupant.jid,
            to=None,
            id=id,
            lang=presence.lang,
            children=[*children, room.id_element(occupant), about],
        )
