"""Rosters with their subscription states."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from xmppd.storage.rows import address, array
from xmppd.storage.rows import groups as parse_groups
from xmppd.storage.sqlite.database import Database

_Row = tuple[str, str, str, str, int, int, bytes | None, int]

_SUBSCRIPTIONS: Final = {subscription.value: subscription for subscription in Subscription}


class SqliteRosters(RosterStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> Roster:
        def work(connection: sqlite3.Connection) -> Roster:
            version = connection.execute(
                "SELECT version FROM roster_versions WHERE owner = ?", (owner,)
            ).fetchone()
            if version is None:
                return Roster()
            rows = connection.execute(
                "SELECT contact, name, groups, subscription, ask, approved, request, listed"
                " FROM roster_items WHERE owner = ? ORDER BY contact",
                (owner,),
            )
            return Roster(version[0], {item.jid: item for item in map(_item, rows)})

        return await self._database.read(work)

    async def update(
        self, changes: Sequence[RosterChange], *, limit: int = 0, request_limit: int | None = None
    ) -> list[RosterUpdate]:
        limits = {True: limit, False: limit if request_limit is None else request_limit}
        return await self._database.write(lambda connection: _update(connection, changes, limits))


def _update(
    connection: sqlite3.Connection, changes: Sequence[RosterChange], limits: Mapping[bool, int]
) -> list[RosterUpdate]:
    """``limits``: how many items that are listed, or not, a roster may hold."""
    updates = []
    versions: dict[int, int] = {}
    changed = set[int]()
    for change in changes:
        owner, contact = change.owner, change.contact
        if owner not in versions:
            versions[owner] = _version(connection, owner)
        before = _get(connection, owner, contact)
        after = change.change(before)
        if after != before:
            if after is not None and (before is None or before.listed != after.listed):
                _require_room(connection, owner, after, limits[after.listed])
            _put(connection, owner, contact, after)
            changed.add(owner)
        update = RosterUpdate(owner, contact, before, after, versions[owner])
        if update.visible:
            versions[owner] += 1
            update = replace(update, version=versions[owner])
        updates.append(update)
    connection.executemany(
        "INSERT INTO roster_versions VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET version = excluded.version",
        [(owner, versions[owner]) for owner in changed],
    )
    return updates


def _version(connection: sqlite3.Connection, owner: int) -> int:
    row = connection.execute(
        "SELECT coalesce(version, 0) FROM accounts LEFT JOIN roster_versions ON owner = id WHERE id = ?",
        (owner,),
    ).fetchone()
    if row is None:
        raise NoSuchAccount(f"account {owner} was deleted")
    return int(row[0])


def _get(connection: sqlite3.Connection, owner: int, contact: Jid) -> RosterItem | None:
    row = connection.execute(
        "SELECT contact, name, groups, subscription, ask, approved, request, listed"
        " FROM roster_items WHERE owner = ? AND contact = ?",
        (owner, str(contact)),
    ).fetchone()
    return None if row is None else _item(row)


def _item(row: _Row) -> RosterItem:
    contact, name, groups, subscription, ask, approved, request, listed = row
    return RosterItem(
        address(contact),
        name,
        parse_groups(groups),
        _SUBSCRIPTIONS[subscription],
        ask == 1,
        approved == 1,
        request,
        listed == 1,
    )


def _require_room(connection: sqlite3.Connection, owner: int, item: RosterItem, limit: int) -> None:
    if not limit:
        return
    (held,) = connection.execute(
        "SELECT count(*) FROM roster_items WHERE owner = ? AND listed = ?", (owner, item.listed)
    ).fetchone()
    if held >= limit:
        kind = "contacts" if item.listed else "requests"
        raise RosterFull(f"the roster of account {owner} holds {held} {kind}; {limit} are allowed")


def _put(connection: sqlite3.Connection, owner: int, contact: Jid, item: RosterItem | None) -> None:
    if item is None:
        connection.execute("DELETE FROM roster_items WHERE owner = ? AND contact = ?", (owner, str(contact)))
        return
    if item.jid != contact:
        raise ValueError(f"the change for {contact} returned an item for {item.jid}")
    connection.execute(
        "INSERT OR REPLACE INTO roster_items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owner,
            str(contact),
            item.name,
            array(item.groups),
            item.subscription.value,
            item.ask,
            item.approved,
            item.request,
            item.listed,
        ),
    )
