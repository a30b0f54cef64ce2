"""Administering rooms, whoever asks: the command line with or without a running server (XEP-0133 in spirit).

The extension that has rooms does the work, in each room's turn; it comes to the ``RoomDesk`` when it is set up.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

PAGE: Final = 1000
"""Most rooms that one call of ``list`` is about."""


@dataclass(frozen=True, slots=True)
class RoomLine:
    """A room in a list. ``members``: owners, admins and members; ``people``: how many are in it at the moment."""

    jid: Jid
    name: str
    members: int
    people: int
    created: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class RoomEntry:
    """One entry of a room's lists."""

    jid: Jid
    affiliation: Affiliation
    nick: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoomPerson:
    """Somebody who is in a room: under ``nick``, with ``clients`` (full addresses)."""

    nick: str
    role: str
    clients: Sequence[Jid]


@dataclass(frozen=True, slots=True)
class RoomDetails:
    """A room. ``settings``: by the names that the storage has for them; of the password only whether there is one."""

    jid: Jid
    created: float
    settings: Mapping[str, Any]
    subject: str
    entries: Sequence[RoomEntry]
    people: Sequence[RoomPerson]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """A room that stays when the last has left it. ``owners`` (at least one) and ``members`` are bare."""

    jid: Jid
    owners: Sequence[Jid]
    members: Sequence[Jid] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


class RoomAdministrator(Protocol):
    """What the command line does with rooms. Addresses are bare; each may raise ``StorageUnavailable``, and
    ``UserError`` with the remedy where it cannot be: no such room, no room left in it, nobody would own it.
    """

    @abstractmethod
    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = PAGE
    ) -> Sequence[RoomLine]:
        """At most ``limit`` rooms by domain and name, behind ``after``: on ``domain``, which has rooms itself or
        belongs to those; None: on all. ``contains``: in the localpart or the name of the room.
        """

    @abstractmethod
    async def show(self, jid: Jid) -> RoomDetails:
        """What there is to know about the room ``jid``."""

    @abstractmethod
    async def create(self, room: NewRoom) -> None:
        """Make ``room``, ready to be entered."""

    @abstractmethod
    async def destroy(self, jid: Jid, *, reason: str = "", alternate: Jid | None = None) -> None:
        """Delete the room with its lists and its history; who was in it has been told when this returns."""

    @abstractmethod
    async def affiliate(
        self, jid: Jid, users: Sequence[Jid], affiliation: Affiliation, *, reason: str = ""
    ) -> None:
        """Make all of ``users`` that to the room, or none; who is in it has been told when this returns."""


class RoomDesk:
    """Where to find who administers the rooms; filled in at start."""

    def __init__(self) -> None:
        self._administrator: RoomAdministrator | None = None

    def open(self, administrator: RoomAdministrator) -> None:
        self._administrator = administrator

    def get(self) -> RoomAdministrator:
        """``UserError`` where there is none."""
        if self._administrator is None:
            raise UserError(
                "there are no rooms: group chat is switched off; set enabled = true in [extensions.muc] "
                "and restart the server"
            )
        return self._administrator
