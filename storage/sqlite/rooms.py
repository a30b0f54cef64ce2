"""Rooms, with who is what to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.rooms import (
    GONE,
    Affiliated,
    Affiliation,
    Membership,
    NoSuchRoom,
    RoomExists,
    RoomRecord,
    RoomStore,
    RoomSummary,
    Subject,
)
from xmppd.storage.rows import affiliated, room
from xmppd.storage.sqlite.database import Database
from xmppd.storage.sqlite.owners import Owners

_CREATE: Final = (
    "INSERT INTO rooms (domain, local, created, version, secret, config) VALUES (?, ?, ?, 1, ?, ?)"
    " ON CONFLICT DO NOTHING RETURNING id"
)
_LOAD: Final = (
    "SELECT id, domain, local, config, subject, subject_nick, subject_at, version, created, secret FROM rooms"
    " WHERE domain = ? AND local = ?"
)
_LIST: Final = (
    "SELECT id, domain, local, config,"
    " (SELECT count(*) FROM room_affiliations WHERE owner = id AND affiliation > 0), created"
    " FROM rooms WHERE domain = ? AND local > ? ORDER BY local LIMIT ?"
)
_MEMBERSHIPS: Final = (
    "SELECT id, domain, local, affiliation, nick FROM room_affiliations JOIN rooms ON id = owner"
    " WHERE jid = ? AND affiliation > 0 ORDER BY domain, local"
)
_PUT: Final = (
    "INSERT INTO room_affiliations AS a (owner, jid, affiliation, nick, reason, version, since)"
    " VALUES (?, ?, ?, ?, ?, ?6, ?6) ON CONFLICT (owner, jid) DO UPDATE"
    " SET affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason,"
    " version = excluded.version,"
    " since = CASE a.affiliation WHEN excluded.affiliation THEN a.since ELSE excluded.since END"
)
_GO: Final = (
    "UPDATE room_affiliations SET affiliation = 0, nick = '', reason = ?, version = ?2, since = ?2"
    " WHERE owner = ? AND jid = ? AND affiliation <> 0"
)
_HEIR: Final = (
    "SELECT jid, affiliation, nick, reason, version FROM room_affiliations"
    " WHERE owner = ? AND affiliation > 0 AND jid <> ? ORDER BY affiliation DESC, since, jid LIMIT 1"
)
# The newest version of which not all that went can be kept.
_CUT: Final = (
    "SELECT version FROM room_affiliations WHERE owner = ? AND affiliation = 0"
    " ORDER BY version DESC LIMIT 1 OFFSET ?"
)


class SqliteRooms(RoomStore):
    def __init__(self, database: Database, owners: Owners) -> None:
        self._database = database
        self._owners = owners

    async def create(
        self, jid: Jid, config: bytes, affiliations: Mapping[Jid, Affiliated], *, secret: bytes, now: float
    ) -> RoomRecord:
        local = jid.local
        if local is None:
            raise ValueError(f"{jid} cannot be a room: it has no localpart")

        def work(connection: sqlite3.Connection) -> RoomRecord:
            row = connection.execute(_CREATE, (jid.domain, local, now, secret, config)).fetchone()
            if row is None:
                raise RoomExists(str(jid.bare))
            _change(connection, row[0], affiliations, 1)
            record = _load(connection, jid)
            assert record is not None
            return record

        return await self._database.write(work)

    async def load(self, jid: Jid) -> RoomRecord | None:
        return await self._database.read(lambda connection: _load(connection, jid))

    async def configure(self, id: int, config: bytes) -> None:
        def work(connection: sqlite3.Connection) -> None:
            _require(connection, id)
            connection.execute("UPDATE rooms SET config = ? WHERE id = ?", (config, id))

        await self._database.write(work)

    async def set_subject(self, id: int, subject: Subject | None) -> None:
        columns = (None, None, None) if subject is None else (subject.text, subject.nick, subject.at)

        def work(connection: sqlite3.Connection) -> None:
            _require(connection, id)
            connection.execute(
                "UPDATE rooms SET subject = ?, subject_nick = ?, subject_at = ? WHERE id = ?", (*columns, id)
            )

        await self._database.write(work)

    async def affiliate(self, id: int, changes: Mapping[Jid, Affiliated]) -> int:
        def work(connection: sqlite3.Connection) -> int:
            version = _require(connection, id)
            if not _change(connection, id, changes, version + 1):
                return version
            connection.execute("UPDATE rooms SET version = ? WHERE id = ?", (version + 1, id))
            return version + 1

        return await self._database.write(work)

    async def changed_since(self, id: int, version: int) -> Mapping[Jid, Affiliated] | None:
        def work(connection: sqlite3.Connection) -> dict[Jid, Affiliated] | None:
            row = connection.execute("SELECT forgotten, version FROM rooms WHERE id = ?", (id,)).fetchone()
            if row is None or not row[0] <= version <= row[1]:
                return None
            rows = connection.execute(
                "SELECT jid, affiliation, nick, reason, version FROM room_affiliations"
                " WHERE owner = ? AND version > ? ORDER BY jid",
                (id, version),
            )
            return dict(map(affiliated, rows))

        return await self._database.read(work)

    async def destroy(self, id: int) -> None:
        def work(connection: sqlite3.Connection) -> bool:
            if connection.execute("DELETE FROM rooms WHERE id = ?", (id,)).rowcount == 0:
                return False
            self._owners.delete(connection, id)
            return True

        if await self._database.write(work):
            await self._owners.erase(id)

    async def list(self, domain: str, *, after: Jid | None, limit: int) -> Sequence[RoomSummary]:
        start = "" if after is None else after.local or ""

        def work(connection: sqlite3.Connection) -> Sequence[tuple[int, str, str, bytes, int, float]]:
            return connection.execute(_LIST, (domain, start, limit)).fetchall()

        return [
            RoomSummary(id, Jid(local, domain), config, members, created)
            for id, domain, local, config, members, created in await self._database.read(work)
        ]

    async def memberships(self, jid: Jid) -> Sequence[Membership]:
        def work(connection: sqlite3.Connection) -> Sequence[tuple[int, str, str, int, str]]:
            return connection.execute(_MEMBERSHIPS, (str(jid),)).fetchall()

        return [
            Membership(id, Jid(local, domain), Affiliation(affiliation), nick)
            for id, domain, local, affiliation, nick in await self._database.read(work)
        ]

    async def forget(self, jid: Jid) -> None:
        def work(connection: sqlite3.Connection) -> None:
            rooms = connection.execute(
                "SELECT id, rooms.version, affiliation FROM room_affiliations JOIN rooms ON id = owner"
                " WHERE jid = ? AND affiliation > 0",
                (str(jid),),
            ).fetchall()
            for id, version, affiliation in rooms:
                changes = {jid: Affiliated(Affiliation.NONE)}
                if affiliation == Affiliation.OWNER:
                    changes |= _heir(connection, id, jid)
                _change(connection, id, changes, version + 1)
                connection.execute("UPDATE rooms SET version = ? WHERE id = ?", (version + 1, id))

        await self._database.write(work)

    async def picture(self, id: int) -> bytes | None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT vcard FROM room_pictures WHERE owner = ?", (id,)).fetchone()
            return None if row is None else row[0]

        return await self._database.read(work)

    async def set_picture(self, id: int, vcard: bytes | None) -> None:
        def work(connection: sqlite3.Connection) -> None:
            _require(connection, id)
            if vcard is None:
                connection.execute("DELETE FROM room_pictures WHERE owner = ?", (id,))
            else:
                connection.execute("INSERT OR REPLACE INTO room_pictures VALUES (?, ?)", (id, vcard))

        await self._database.write(work)


def _require(connection: sqlite3.Connection, id: int) -> int:
    """The version of the room's lists."""
    row = connection.execute("SELECT version FROM rooms WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NoSuchRoom(f"there is no room {id}")
    return int(row[0])


def _load(connection: sqlite3.Connection, jid: Jid) -> RoomRecord | None:
    row = connection.execute(_LOAD, (jid.domain, jid.local)).fetchone()
    if row is None:
        return None
    entries = connection.execute(
        "SELECT jid, affiliation, nick, reason, version FROM room_affiliations"
        " WHERE owner = ? AND affiliation <> 0 ORDER BY jid",
        (row[0],),
    )
    return room(row, entries)


def _change(connection: sqlite3.Connection, id: int, changes: Mapping[Jid, Affiliated], version: int) -> bool:
    """Put ``changes`` into the lists of the room ``id``, whose version is ``version`` then; whether there were any."""
    put = [
        (id, str(jid), entry.affiliation.value, entry.nick, entry.reason, version)
        for jid, entry in changes.items()
        if entry.affiliation is not Affiliation.NONE
    ]
    go = [
        (entry.reason, version, id, str(jid))
        for jid, entry in changes.items()
        if entry.affiliation is Affiliation.NONE
    ]
    connection.executemany(_PUT, put)
    gone = connection.executemany(_GO, go).rowcount
    if gone > 0 and (cut := connection.execute(_CUT, (id, GONE)).fetchone()) is not None:
        connection.execute(
            "DELETE FROM room_affiliations WHERE owner = ? AND affiliation = 0 AND version <= ?", (id, *cut)
        )
        connection.execute("UPDATE rooms SET forgotten = ? WHERE id = ?", (*cut, id))
    return bool(put) or gone > 0


def _heir(connection: sqlite3.Connection, id: int, owner: Jid) -> dict[Jid, Affiliated]:
    """The change by which the room ``id`` has an owner without ``owner``; none where it has one, or nobody else."""
    row = connection.execute(_HEIR, (id, str(owner))).fetchone()
    if row is None or row[1] == Affiliation.OWNER:
        return {}
    jid, entry = affiliated(row)
    return {jid: replace(entry, affiliation=Affiliation.OWNER)}
