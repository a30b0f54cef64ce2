"""Accounts, their SCRAM keys and when they were last seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.interfaces import (
    AccountExists,
    AccountRecord,
    AccountStore,
    Credentials,
    LastSeen,
    NoSuchAccount,
    ScramHash,
    ScramKeys,
)
from xmppd.storage.rows import array
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.owners import Owners

_LAST: Final = "\U0010ffff"  # behind every domain

_Row = tuple[int, str, str, float, float | None, str]


class SqliteAccounts(AccountStore):
    def __init__(self, database: Database, owners: Owners) -> None:
        self._database = database
        self._owners = owners

    async def create(self, accounts: Sequence[tuple[Jid, Credentials]], *, now: float) -> list[int]:
        def work(connection: sqlite3.Connection) -> list[int]:
            ids = []
            for jid, credentials in accounts:
                row = connection.execute(
                    "INSERT INTO accounts (domain, local, created) VALUES (?, ?, ?)"
                    " ON CONFLICT DO NOTHING RETURNING id",
                    (jid.domain, _local(jid), now),
                ).fetchone()
                if row is None:
                    raise AccountExists(str(jid.bare))
                ids.append(row[0])
                _insert_keys(connection, row[0], credentials)
            return ids

        return await self._database.write(work)

    async def get(self, jid: Jid) -> AccountRecord | None:
        def work(connection: sqlite3.Connection) -> _Row | None:
            row: _Row | None = connection.execute(
                "SELECT id, domain, local, created, seen_at, seen_status FROM accounts WHERE domain = ? AND local = ?",
                (jid.domain, jid.local),
            ).fetchone()
            return row

        row = await self._database.read(work)
        return None if row is None else _record(row, jid.bare)

    async def credentials(self, jid: Jid) -> Credentials | None:
        def work(connection: sqlite3.Connection) -> Credentials | None:
            owner = _find(connection, jid)
            if owner is None:
                return None
            rows = connection.execute(
                "SELECT hash, salt, iterations, stored_key, server_key FROM scram_keys WHERE owner = ?",
                (owner,),
            )
            return {ScramHash(name): ScramKeys(*keys) for name, *keys in rows}

        return await self._database.read(work)

    async def set_credentials(self, jid: Jid, credentials: Credentials) -> None:
        def work(connection: sqlite3.Connection) -> None:
            owner = _require(connection, jid)
            connection.execute("DELETE FROM scram_keys WHERE owner = ?", (owner,))
            _insert_keys(connection, owner, credentials)

        await self._database.write(work)

    async def delete(self, jid: Jid) -> None:
        def work(connection: sqlite3.Connection) -> int:
            owner = _require(connection, jid)
            self._owners.delete(connection, owner)
            connection.execute("DELETE FROM accounts WHERE id = ?", (owner,))
            # Whoever gets the address next was approved by nobody (RFC 6121#3.4).
            connection.execute(
                "UPDATE roster_items SET approved = 0 WHERE contact = ? AND approved = 1", (str(jid),)
            )
            return owner

        await self._owners.erase(await self._database.write(work))

    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = 100
    ) -> list[AccountRecord]:
        start, end = (domain or "", ""), domain or _LAST
        if after is not None:
            start = max(start, (after.domain, after.local or ""))

        def work(connection: sqlite3.Connection) -> list[_Row]:
            return connection.execute(
                "SELECT id, domain, local, created, seen_at, seen_status FROM accounts"
                " WHERE (domain, local) > (?, ?) AND domain <= ? AND instr(local, ?) > 0"
                " ORDER BY domain, local LIMIT ?",
                (*start, end, contains, limit),
            ).fetchall()

        return [_record(row, Jid(row[2], row[1])) for row in await self._database.read(work)]

    async def set_last_seen(self, owner: int, seen: LastSeen) -> None:
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE accounts SET seen_at = ?, seen_status = ? WHERE id = ?", (seen.at, seen.status, owner)
            ).close()
        )

    async def last_seen(
        self, jids: Iterable[Jid], *, unless_blocking: Iterable[Jid] = ()
    ) -> dict[Jid, LastSeen]:
        asked = {(jid.domain, jid.local): jid for jid in jids}
        blocked = array(map(str, unless_blocking))

        def work(connection: sqlite3.Connection) -> list[tuple[str, str, float, str]]:
            return connection.execute(
                "SELECT domain, local, seen_at, seen_status FROM json_each(?) AS asked CROSS JOIN accounts"
                " ON domain = json_extract(asked.value, '$[0]') AND local = json_extract(asked.value, '$[1]')"
                " WHERE seen_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM blocked"
                " WHERE owner = accounts.id AND jid IN (SELECT value FROM json_each(?)))",
                (array(asked), blocked),
            ).fetchall()

        rows = await self._database.read(work)
        return {asked[domain, local]: LastSeen(at, status) for domain, local, at, status in rows}


def _record(row: _Row, jid: Jid) -> AccountRecord:
    owner, _, _, created, seen_at, status = row
    return AccountRecord(owner, jid, created, None if seen_at is None else LastSeen(seen_at, status))


def _local(jid: Jid) -> str:
    if jid.local is None:
        raise ValueError(f"{jid} cannot be an account: it has no localpart")
    return jid.local


def _find(connection: sqlite3.Connection, jid: Jid) -> int | None:
    row = connection.execute(
        "SELECT id FROM accounts WHERE domain = ? AND local = ?", (jid.domain, jid.local)
    ).fetchone()
    return None if row is None else int(row[0])


def _require(connection: sqlite3.Connection, jid: Jid) -> int:
    owner = _find(connection, jid)
    if owner is None:
        raise NoSuchAccount(str(jid.bare))
    return owner


def _insert_keys(connection: sqlite3.Connection, owner: int, credentials: Credentials) -> None:
    connection.executemany(
        "INSERT INTO scram_keys VALUES (?, ?, ?, ?, ?, ?)",
        [
            (owner, hash_.value, keys.salt, keys.iterations, keys.stored_key, keys.server_key)
            for hash_, keys in credentials.items()
        ],
    )
