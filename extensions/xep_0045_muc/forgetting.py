"""Accounts are deleted: rooms forget who they were to them."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from xmppd.clock import Clock
from xmppd.extensions.xep_0045_muc.presence import NOTHING
from xmppd.extensions.xep_0045_muc.roles import Roles, following
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.extensions.xep_0045_muc.rooms import Rooms
from xmppd.jid import Jid
from xmppd.sessions.facts import AccountDeleted
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.storage.rooms import Affiliation, RoomStore
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.rooms")

_RETRY: Final = 30.0  # seconds after which a storage that failed is asked again


class Forgetting:
    """The storage forgets by itself, with the account; this is for the rooms in memory. Their clients leave as their
    sessions end.
    """

    def __init__(self, rooms: Rooms, store: RoomStore, roles: Roles, clock: Clock, tasks: Tasks) -> None:
        self._rooms = rooms
        self._store = store
        self._roles = roles
        self._clock = clock
        self._tasks = tasks

    def on_deleted(self, fact: AccountDeleted) -> None:
        for room in self._rooms.loaded():
            if room.affiliation(fact.jid) > Affiliation.NONE:
                self._again(room, fact.jid)

    def _again(self, room: Room, user: Jid) -> None:
        self._tasks.start(f"{room.jid} forgets {user}", self._forget(room, user))

    async def _forget(self, room: Room, user: Jid) -> None:
        try:
            waiting = room.turns.take(partial(self._reload, room))
            if waiting is not None:
                await waiting
        except StorageUnavailable as err:
            log.error("that %s is no more is not known in %s yet: %s", user, room.jid, err)
            self._clock.call_later(_RETRY, partial(self._again, room, user))

    async def _reload(self, room: Room) -> None:
        """The lists of ``room`` as they are stored: somebody may have become its owner instead of who is gone."""
        record = None if room.gone else await self._store.load(room.jid)
        if record is None or record.id != room.id:
            return
        before, room.affiliations = room.affiliations, dict(record.affiliations)
        room.version = record.version
        for occupant in tuple(room.occupants.values()):
            entry = before.get(occupant.user)
            was = Affiliation.NONE if entry is None else entry.affiliation
            now = room.affiliation(occupant.user)
            if now is not was:
                self._roles.set(room, occupant, following(room, occupant.role, was, now), NOTHING)
