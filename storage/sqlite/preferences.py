"""XEP-0441 preferences."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.archive import Preferences, PreferenceStore
from xmppd.storage.rows import address, array
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.rows import require_account

_SAVE: Final = (
    "INSERT INTO archive_preferences (owner, by_default, always, never) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (owner) DO UPDATE SET by_default = excluded.by_default, always = excluded.always,"
    " never = excluded.never"
)
_SET_DAYS: Final = (
    "INSERT INTO archive_preferences (owner, by_default, always, never, days) VALUES (?, 'always', '[]', '[]', ?)"
    " ON CONFLICT (owner) DO UPDATE SET days = excluded.days"
)


class SqlitePreferences(PreferenceStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> Preferences | None:
        def work(connection: sqlite3.Connection) -> tuple[str, str, str, int | None] | None:
            row: tuple[str, str, str, int | None] | None = connection.execute(
                "SELECT by_default, always, never, days FROM archive_preferences WHERE owner = ?", (owner,)
            ).fetchone()
            return row

        row = await self._database.read(work)
        return None if row is None else Preferences(row[0], _addresses(row[1]), _addresses(row[2]), row[3])

    async def save(self, owner: int, preferences: Preferences) -> None:
        values = (
            preferences.default,
            array(sorted(map(str, preferences.always))),
            array(sorted(map(str, preferences.never))),
        )

        def work(connection: sqlite3.Connection) -> None:
            require_account(connection, owner)
            connection.execute(_SAVE, (owner, *values))

        await self._database.write(work)

    async def set_days(self, owner: int, days: int | None) -> None:
        def work(connection: sqlite3.Connection) -> None:
            require_account(connection, owner)
            connection.execute(_SET_DAYS, (owner, days))

        await self._database.write(work)

    async def with_days(self, *, after: int = 0, limit: int = 1_000) -> list[tuple[int, int]]:
        def work(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            return connection.execute(
                "SELECT owner, days FROM archive_preferences WHERE days IS NOT NULL AND owner > ?"
                " ORDER BY owner LIMIT ?",
                (after, limit),
            ).fetchall()

        return await self._database.read(work)


def _addresses(text: str) -> frozenset[Jid]:
    return frozenset(map(address, json.loads(text)))
