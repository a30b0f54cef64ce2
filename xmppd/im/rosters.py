"""The rosters in a node's memory: loaded when somebody needs one, dropped when the cache is full or they change.

Presence is told by roster, so the hot path asks ``peek`` first and waits only when it must. Sessions hold no roster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.cache import Cache
from xmppd.sessions.facts import ChangedElsewhere, Facts, RosterChanged
from xmppd.storage.interfaces import (
    Roster,
    RosterChange,
    RosterItem,
    RosterStore,
    RosterUpdate,
)


class KnownRoster:
    """A roster as it was committed last, with what presence asks it for, worked out once.

    ``watchers`` see our presence, ``watched`` show us theirs (bare addresses); ``requests`` are the items whose contact
    waits for an answer.
    """

    __slots__ = ("items", "requests", "version", "watched", "watchers")

    def __init__(self, roster: Roster) -> None:
        items = roster.items
        self.version = roster.version
        self.items = items
        self.watchers = tuple(jid for jid, item in items.items() if item.sees_us)
        self.watched = tuple(jid for jid, item in items.items() if item.sees_them)
        self.requests = tuple(item for item in items.values() if item.request is not None)

    def shows_to(self, contact: Jid) -> bool:
        """Whether ``contact`` may see our presence."""
        item = self.items.get(contact.bare)
        return item is not None and item.sees_us

    def is_asked_by(self, contact: Jid) -> bool:
        """Whether a request of ``contact`` waits for an answer."""
        item = self.items.get(contact.bare)
        return item is not None and item.request is not None


@dataclass(frozen=True, slots=True)
class Change:
    """Replace ``account``'s item for ``contact``; ``change`` is as in ``RosterChange``."""

    account: Account
    contact: Jid
    change: Callable[[RosterItem | None], RosterItem | None]


class Rosters:
    """Reads and changes rosters. After a change nobody gets what was read before it."""

    def __init__(self, store: RosterStore, facts: Facts, capacity: int, *, items: int, requests: int) -> None:
        """At most ``capacity`` rosters in memory, ``items`` contacts and ``requests`` strangers' requests in each
        (0: any number).
        """
        self._store = store
        self._facts = facts
        self._cache: Cache[int, KnownRoster] = Cache(self._load, capacity)
        self._items = items
        self._requests = requests
        facts.on(ChangedElsewhere, lambda fact: self.forget(fact.account))

    def peek(self, account: Account) -> KnownRoster | None:
        """The roster of ``account`` if it is in memory; never waits."""
        return self._cache.peek(account.id)

    async def get(self, account: Account) -> KnownRoster:
        """The roster of ``account``; an empty one where it has none."""
        return await self._cache.get(account.id)

    async def _load(self, owner: int) -> KnownRoster:
        return KnownRoster(await self._store.load(owner))

    async def update(self, changes: Sequence[Change]) -> list[RosterUpdate]:
        """Make all ``changes`` in one transaction or none; returns when they are durable.

        ``RosterFull`` beyond the limits, ``NoSuchAccount`` if one was deleted meanwhile, or what a change raises.
        """
        updates = await self._store.update(
            [RosterChange(change.account.id, change.contact, change.change) for change in changes],
            limit=self._items,
            request_limit=self._requests,
        )
        for update in updates:
            self._cache.forget(update.owner)
        for change, update in zip(changes, updates, strict=True):
            if update.before != update.after:
                self._facts.tell(RosterChanged(change.account.jid, update))
        return updates

    def forget(self, account: Account) -> None:
        """What is in memory is out of date."""
        self._cache.forget(account.id)
