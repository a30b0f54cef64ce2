"""XEP-0441 preferences."""

from __future__ import annotations

import json
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.archive import Preferences, PreferenceStore
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.rows import lock_account
from xmppd.storage.rows import address, array

_SAVE: Final = (
    "INSERT INTO archive_preferences (owner, by_default, always, never) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (owner) DO UPDATE SET by_default = excluded.by_default, always = excluded.always,"
    " never = excluded.never"
)
_SET_DAYS: Final = (
    "INSERT INTO archive_preferences (owner, by_default, always, never, days) VALUES ($1, 'always', '[]', '[]', $2)"
    " ON CONFLICT (owner) DO UPDATE SET days = excluded.days"
)


class PostgresPreferences(PreferenceStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> Preferences | None:
        async def work(connection: Connection) -> Row | None:
            return await connection.fetchrow(
                "SELECT by_default, always, never, days FROM archive_preferences WHERE owner = $1", owner
            )

        row = await self._database.read(work)
        return None if row is None else Preferences(row[0], _addresses(row[1]), _addresses(row[2]), row[3])

    async def save(self, owner: int, preferences: Preferences) -> None:
        values = (
            preferences.default,
            array(sorted(map(str, preferences.always))),
            array(sorted(map(str, preferences.never))),
        )

        async def work(connection: Connection) -> None:
            await lock_account(connection, owner)
            await connection.execute(_SAVE, owner, *values)

        await self._database.write(work, owners=[owner])

    async def set_days(self, owner: int, days: int | None) -> None:
        async def work(connection: Connection) -> None:
            await lock_account(connection, owner)
            await connection.execute(_SET_DAYS, owner, days)

        await self._database.write(work, owners=[owner])

    async def with_days(self, *, after: int = 0, limit: int = 1_000) -> list[tuple[int, int]]:
        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(
                "SELECT owner, days FROM archive_preferences WHERE days IS NOT NULL AND owner > $1"
                " ORDER BY owner LIMIT $2",
                after,
                limit,
            )

        return [(owner, days) for owner, days in await self._database.read(work)]


def _addresses(text: str) -> frozenset[Jid]:
    return frozenset(map(address, json.loads(text)))
