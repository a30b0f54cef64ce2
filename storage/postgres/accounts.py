"""Accounts, their SCRAM keys and when they were last seen."""

from __future__ import annotations

from collections import Counter
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
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.owners import Owners

_LAST: Final = "\U0010ffff"  # behind every domain

_CREATE: Final = (
    "INSERT INTO accounts (domain, local, created)"
    " SELECT domain, local, $3 FROM unnest($1::text[], $2::text[]) AS asked (domain, local)"
    " ORDER BY domain, local"  # two who create the same ones do not wait in a circle
    " ON CONFLICT DO NOTHING RETURNING domain, local, id"
)
_RECORD: Final = "SELECT id, domain, local, created, seen_at, seen_status FROM accounts"
_KEYS: Final = "INSERT INTO scram_keys VALUES ($1, $2, $3, $4, $5, $6)"


class PostgresAccounts(AccountStore):
    def __init__(self, database: Database, owners: Owners) -> None:
        self._database = database
        self._owners = owners

    async def create(self, accounts: Sequence[tuple[Jid, Credentials]], *, now: float) -> list[int]:
        asked = [(jid.domain, _local(jid)) for jid, _ in accounts]
        domains, locals_ = [domain for domain, _ in asked], [local for _, local in asked]

        async def work(connection: Connection) -> list[int]:
            rows = await connection.fetch(_CREATE, domains, locals_, now)
            ids = {(domain, local): owner for domain, local, owner in rows}
            if len(ids) != len(asked):
                times = Counter(asked)
                taken = next(name for name in asked if name not in ids or times[name] > 1)
                raise AccountExists(str(Jid(taken[1], taken[0])))
            keys = [
                row
                for name, (_, credentials) in zip(asked, accounts, strict=True)
                for row in _key_rows(ids[name], credentials)
            ]
            await connection.executemany(_KEYS, keys)
            return [ids[name] for name in asked]

        return await self._database.write(work)

    async def get(self, jid: Jid) -> AccountRecord | None:
        async def work(connection: Connection) -> Row | None:
            return await connection.fetchrow(
                f"{_RECORD} WHERE domain = $1 AND local = $2", jid.domain, jid.local
            )

        row = await self._database.read(work)
        return None if row is None else _record(row, jid.bare)

    async def credentials(self, jid: Jid) -> Credentials | None:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(
                "SELECT hash, salt, iterations, stored_key, server_key"
                " FROM accounts LEFT JOIN scram_keys ON owner = id WHERE domain = $1 AND local = $2",
                jid.domain,
                jid.local,
            )

        rows = await self._database.read(work)
        if not rows:
            return None
        return {ScramHash(name): ScramKeys(*keys) for name, *keys in rows if name is not None}

    async def set_credentials(self, jid: Jid, credentials: Credentials) -> None:
        async def work(connection: Connection) -> None:
            owner = await connection.fetchval(
                "SELECT id FROM accounts WHERE domain = $1 AND local = $2 FOR NO KEY UPDATE",
                jid.domain,
                jid.local,
            )
            if owner is None:
                raise NoSuchAccount(str(jid.bare))
            await connection.execute("DELETE FROM scram_keys WHERE owner = $1", owner)
            await connection.executemany(_KEYS, _key_rows(owner, credentials))

        await self._database.write(work)

    async def delete(self, jid: Jid) -> None:
        async def work(connection: Connection) -> int:
            # First: it waits for whoever writes for the account at this moment, and what they wrote is seen below.
            owner = await connection.fetchval(
                "DELETE FROM accounts WHERE domain = $1 AND local = $2 RETURNING id", jid.domain, jid.local
            )
            if owner is None:
                raise NoSuchAccount(str(jid.bare))
            await self._owners.delete(connection, owner)
            # Whoever gets the address next was approved by nobody (RFC 6121#3.4).
            await connection.execute(
                "UPDATE roster_items SET approved = false WHERE contact = $1 AND approved", str(jid.bare)
            )
            return int(owner)

        await self._owners.erase(await self._database.write(work))

    async def list(
        self, *, domain: str | None = None, contains: str = "", after: Jid | None = None, limit: int = 100
    ) -> list[AccountRecord]:
        start, end = (domain or "", ""), domain or _LAST
        if after is not None:
            start = max(start, (after.domain, after.local or ""))

        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(
                f"{_RECORD} WHERE (domain, local) > ($1, $2) AND domain <= $3 AND strpos(local, $4) > 0"
                " ORDER BY domain, local LIMIT $5",
                *start,
                end,
                contains,
                limit,
            )

        return [_record(row, Jid(row[2], row[1])) for row in await self._database.read(work)]

    async def set_last_seen(self, owner: int, seen: LastSeen) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(
                "UPDATE accounts SET seen_at = $2, seen_status = $3 WHERE id = $1",
                owner,
                seen.at,
                seen.status,
            )

        await self._database.write(work, owners=[owner])

    async def last_seen(
        self, jids: Iterable[Jid], *, unless_blocking: Iterable[Jid] = ()
    ) -> dict[Jid, LastSeen]:
        asked = {(jid.domain, jid.local): jid for jid in jids if jid.local is not None}
        blocked = [str(jid) for jid in unless_blocking]

        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(
                "SELECT domain, local, seen_at, seen_status"
                " FROM unnest($1::text[], $2::text[]) AS asked (domain, local) JOIN accounts USING (domain, local)"
                " WHERE seen_at IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM blocked WHERE owner = id AND jid = ANY($3::text[]))",
                [domain for domain, _ in asked],
                [local for _, local in asked],
                blocked,
            )

        rows = await self._database.read(work)
        return {asked[domain, local]: LastSeen(at, status) for domain, local, at, status in rows}


def _record(row: Row, jid: Jid) -> AccountRecord:
    owner, _, _, created, seen_at, status = row
    return AccountRecord(owner, jid, created, None if seen_at is None else LastSeen(seen_at, status))


def _local(jid: Jid) -> str:
    if jid.local is None:
        raise ValueError(f"{jid} cannot be an account: it has no localpart")
    return jid.local


def _key_rows(owner: int, credentials: Credentials) -> list[tuple[object, ...]]:
    return [
        (owner, hash_.value, keys.salt, keys.iterations, keys.stored_key, keys.server_key)
        for hash_, keys in credentials.items()
    ]
