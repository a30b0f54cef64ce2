"""Rosters with their subscription states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.interfaces import (
    NoSuchAccount,
    Roster,
    RosterChange,
    RosterFull,
    RosterItem,
    RosterStore,
    RosterUpdate,
    Subscription,
)
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database
from xmppd.storage.rows import address, array, groups

_SUBSCRIPTIONS: Final = {subscription.value: subscription for subscription in Subscription}

# Two who change the same rosters lock them in the same order.
_LOCK: Final = "SELECT id FROM accounts WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE"
_PUT: Final = (
    "INSERT INTO roster_items (owner, contact, name, groups, subscription, ask, approved, request, listed)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    " ON CONFLICT (owner, contact) DO UPDATE SET name = excluded.name, groups = excluded.groups,"
    " subscription = excluded.subscription, ask = excluded.ask, approved = excluded.approved,"
    " request = excluded.request, listed = excluded.listed"
)
_SET_VERSION: Final = (
    "INSERT INTO roster_versions VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET version = excluded.version"
)

_Key = tuple[int, Jid]


class PostgresRosters(RosterStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> Roster:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(  # one statement, so that the version is that of these items
                "SELECT version, contact, name, groups, subscription, ask, approved, request, listed"
                " FROM roster_versions LEFT JOIN roster_items USING (owner)"
                " WHERE owner = $1 ORDER BY contact",
                owner,
            )

        rows = await self._database.read(work)
        if not rows:
            return Roster()
        return Roster(
            rows[0][0], {item.jid: item for item in (_item(row[1:]) for row in rows if row[1] is not None)}
        )

    async def update(
        self, changes: Sequence[RosterChange], *, limit: int = 0, request_limit: int | None = None
    ) -> list[RosterUpdate]:
        limits = {True: limit, False: limit if request_limit is None else request_limit}
        owners = sorted({change.owner for change in changes})

        async def work(connection: Connection) -> list[RosterUpdate]:
            versions = await _lock(connection, owners)
            before = await _items(connection, changes)
            changed, updates = _apply(changes, dict(before), versions)
            await _require_room(connection, updates, limits)
            await _store(connection, before, changed)
            touched = {owner for owner, _ in changed}
            await connection.executemany(
                _SET_VERSION, [(owner, versions[owner]) for owner in sorted(touched)]
            )
            return updates

        return await self._database.write(work, owners=owners)


async def _lock(connection: Connection, owners: Sequence[int]) -> dict[int, int]:
    """Keep everyone else from changing these rosters; their versions."""
    there = {row[0] for row in await connection.fetch(_LOCK, owners)}
    for owner in owners:
        if owner not in there:
            raise NoSuchAccount(f"account {owner} was deleted")
    # Apart from the lock: a statement sees what was there when it began, not when it had the lock.
    rows = await connection.fetch(
        "SELECT owner, version FROM roster_versions WHERE owner = ANY($1::bigint[])", owners
    )
    return dict.fromkeys(owners, 0) | {row[0]: row[1] for row in rows}


async def _items(connection: Connection, changes: Sequence[RosterChange]) -> dict[_Key, RosterItem]:
    """The items that ``changes`` speak of, as far as they are there."""
    keys = {(change.owner, str(change.contact)): change.contact for change in changes}
    rows = await connection.fetch(
        "SELECT owner, contact, name, groups, subscription, ask, approved, request, listed"
        " FROM unnest($1::bigint[], $2::text[]) AS asked (owner, contact)"
        " JOIN roster_items USING (owner, contact)",
        [owner for owner, _ in keys],
        [contact for _, contact in keys],
    )
    return {(row[0], keys[row[0], row[1]]): _item(row[1:]) for row in rows}


def _apply(
    changes: Sequence[RosterChange], items: dict[_Key, RosterItem], versions: dict[int, int]
) -> tuple[dict[_Key, RosterItem | None], list[RosterUpdate]]:
    """What has to be stored, and what is told. ``items`` and ``versions`` become those behind the changes."""
    changed: dict[_Key, RosterItem | None] = {}
    updates = []
    for change in changes:
        key = change.owner, change.contact
        before = items.get(key)
        after = change.change(before)
        if after is not None and after.jid != change.contact:
            raise ValueError(f"the change for {change.contact} returned an item for {after.jid}")
        if after != before:
            changed[key] = after
            if after is None:
                del items[key]
            else:
                items[key] = after
        update = RosterUpdate(change.owner, change.contact, before, after, versions[change.owner])
        if update.visible:
            versions[change.owner] += 1
            update = RosterUpdate(change.owner, change.contact, before, after, versions[change.owner])
        updates.append(update)
    return changed, updates


async def _require_room(
    connection: Connection, updates: Sequence[RosterUpdate], limits: Mapping[bool, int]
) -> None:
    """``RosterFull`` if one of ``updates``, in their order, adds to a roster that holds as many as its limit."""
    growing = {update.owner for update in updates if (added := _added(update)) is not None and limits[added]}
    if not growing:
        return
    rows = await connection.fetch(
        "SELECT owner, listed, count(*) FROM roster_items WHERE owner = ANY($1::bigint[]) GROUP BY owner, listed",
        sorted(growing),
    )
    held = {(owner, listed): count for owner, listed, count in rows}
    for update in updates:
        if (added := _added(update)) is not None:
            count = held.get((update.owner, added), 0)
            if 0 < limits[added] <= count:
                kind = "contacts" if added else "requests"
                raise RosterFull(
                    f"the roster of account {update.owner} holds {count} {kind}; {limits[added]} are allowed"
                )
            held[update.owner, added] = count + 1
        if update.before is not None and (
            update.after is None or update.after.listed != update.before.listed
        ):
            held[update.owner, update.before.listed] = held.get((update.owner, update.before.listed), 0) - 1


def _added(update: RosterUpdate) -> bool | None:
    """Whether ``update`` adds an item that is listed (True) or not (False); None: it adds none."""
    before, after = update.before, update.after
    return after.listed if after is not None and (before is None or before.listed != after.listed) else None


async def _store(
    connection: Connection, before: Mapping[_Key, RosterItem], changed: Mapping[_Key, RosterItem | None]
) -> None:
    gone = [
        (owner, str(jid)) for (owner, jid), item in changed.items() if item is None and (owner, jid) in before
    ]
    if gone:
        await connection.executemany("DELETE FROM roster_items WHERE owner = $1 AND contact = $2", gone)
    put = [_row(owner, item) for (owner, _), item in changed.items() if item is not None]
    if put:
        await connection.executemany(_PUT, put)


def _row(owner: int, item: RosterItem) -> tuple[object, ...]:
    return (
        owner,
        str(item.jid),
        item.name,
        array(item.groups),
        item.subscription.value,
        item.ask,
        item.approved,
        item.request,
        item.listed,
    )


def _item(row: Row) -> RosterItem:
    contact, name, texts, subscription, ask, approved, request, listed = row
    return RosterItem(
        address(contact), name, groups(texts), _SUBSCRIPTIONS[subscription], ask, approved, request, listed
    )
