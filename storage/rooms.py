"""Rooms (XEP-0045): what of them survives a restart. Who is in a room at the moment is nobody's to store here.

A room's ``id`` is an ``owner`` of the archive as an account's is. Both come from ranges of their own, so no room has
the id of an account.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from xmppd.jid import Jid

FIRST_ROOM: Final = 1 << 48  # the lowest id of a room; accounts have lower ones
GONE: Final = 1_000  # entries of a room's lists that went, of which ``changed_since`` still knows


class RoomExists(Exception):
    """A room with that address is there already."""


class NoSuchRoom(Exception):
    """There is no room with that id."""


class Affiliation(IntEnum):
    """XEP-0045#affil, the higher the more. ``NONE`` stands for no entry."""

    OUTCAST = -1
    NONE = 0
    MEMBER = 1
    ADMIN = 2
    OWNER = 3


@dataclass(frozen=True, slots=True)
class Affiliated:
    """One entry of a room's lists. ``nick``: the one that is reserved for it ("": none). ``reason``: why, as who made
    the entry said. ``version``: of the room's lists when it changed last (XEP-0463).
    """

    affiliation: Affiliation
    nick: str = ""
    reason: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """What the room is about: the ``<subject/>`` text, who set it (their nick) and when (seconds since the epoch)."""

    text: str
    nick: str
    at: float


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """``config``: the room's settings as the JSON of ``RoomConfig``. ``affiliations``: by bare JID, without those that
    are ``NONE``. ``version``: of these lists, 1 in a new room and counted up with each change; another room, which has
    the address later, begins anew. ``created``: seconds since the epoch. ``secret``: 16 random bytes, from which
    occupant ids are made (XEP-0421).
    """

    id: int
    jid: Jid
    config: bytes
    subject: Subject | None
    affiliations: Mapping[Jid, Affiliated]
    version: int
    created: float
    secret: bytes


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A line of a list of rooms."""

    id: int
    jid: Jid
    config: bytes
    members: int  # owners, admins and members
    created: float


@dataclass(frozen=True, slots=True)
class Membership:
    """What an account is to a room."""

    id: int
    jid: Jid
    affiliation: Affiliation
    nick: str


class RoomStore(Protocol):
    """Rooms by address, with their lists. Every change of a list is one transaction, however many entries it has."""

    @abstractmethod
    async def create(
        self, jid: Jid, config: bytes, affiliations: Mapping[Jid, Affiliated], *, secret: bytes, now: float
    ) -> RoomRecord:
        """Make the room ``jid`` (bare, with a localpart). ``RoomExists`` (text: the address) where there is one."""

    @abstractmethod
    async def load(self, jid: Jid) -> RoomRecord | None:
        """The room ``jid`` (bare) with all its lists; None where there is none."""

    @abstractmethod
    async def configure(self, id: int, config: bytes) -> None:
        """Replace the settings of the room ``id``; ``NoSuchRoom``."""

    @abstractmethod
    async def set_subject(self, id: int, subject: Subject | None) -> None:
        """Replace the subject of the room ``id``; ``NoSuchRoom``."""

    @abstractmethod
    async def affiliate(self, id: int, changes: Mapping[Jid, Affiliated]) -> int:
        """Replace the entries of these addresses (bare), all or none; one that is ``NONE`` goes, of which
        ``changed_since`` still tells, without its nick. The version of the lists behind it, which each of the entries
        has, whatever ``version`` it came with; the one before where nothing came, and nothing went that was there
        (XEP-0463#self: there is no empty diff). ``NoSuchRoom``.
        """

    @abstractmethod
    async def changed_since(self, id: int, version: int) -> Mapping[Jid, Affiliated] | None:
        """The entries that changed behind ``version``, with ``NONE`` for those that went (XEP-0463). None where that is
        not known any more (of those that went the newest ``GONE`` are), or the version is none of the room's.
        """

    @abstractmethod
    async def destroy(self, id: int) -> None:
        """Delete the room, its lists, picture and archive (the latter in portions, behind this, as with accounts). No
        error where there is none.
        """

    @abstractmethod
    async def list(self, domain: str, *, after: Jid | None, limit: int) -> Sequence[RoomSummary]:
        """At most ``limit`` rooms of ``domain`` in the order of their addresses, those behind ``after``, which is an
        address of that domain.
        """

    @abstractmethod
    async def memberships(self, jid: Jid) -> Sequence[Membership]:
        """The rooms in which ``jid`` (bare) is owner, admin or member, by address."""

    @abstractmethod
    async def forget(self, jid: Jid) -> None:
        """The account ``jid`` (bare) was deleted: take it from all lists, except where it is an outcast. A room is
        never left without an owner by that: who is admin for the longest time, else member, becomes one. A room in
        whose lists nobody is left stays.
        """

    @abstractmethod
    async def picture(self, id: int) -> bytes | None:
        """The room's vCard (XEP-0054) as it was saved; None where it has none."""

    @abstractmethod
    async def set_picture(self, id: int, vcard: bytes | None) -> None:
        """Save or delete the room's vCard; ``NoSuchRoom``."""
