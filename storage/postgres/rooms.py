"""Rooms, with who is what to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.owners import Owners
from xmppd.storage.postgres.rows import deleted
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

_CREATE: Final = (
    "INSERT INTO rooms (domain, local, created, version, secret, config) VALUES ($1, $2, $3, 1, $4, $5)"
    " ON CONFLICT DO NOTHING RETURNING id"
)
# One statement, so that the version is that of these entries.
_LOAD: Final = (
    "SELECT id, domain, local, config, subject, subject_nick, subject_at, version, created, secret,"
    " ARRAY(SELECT ROW(a.jid, a.affiliation, a.nick, a.reason, a.version) FROM room_affiliations AS a"
    " WHERE a.owner = id AND a.affiliation <> 0 ORDER BY a.jid)"
    " FROM rooms WHERE domain = $1 AND local = $2"
)
_CHANGED: Final = (
    "SELECT a.jid, a.affiliation, a.nick, a.reason, a.version FROM rooms AS r"
    " LEFT JOIN room_affiliations AS a ON a.owner = r.id AND a.version > $2"
    " WHERE r.id = $1 AND $2 BETWEEN r.forgotten AND r.version ORDER BY a.jid"
)
_LIST: Final = (
    "SELECT id, domain, local, config,"
    " (SELECT count(*) FROM room_affiliations WHERE owner = id AND affiliation > 0), created"
    " FROM rooms WHERE domain = $1 AND local > $2 ORDER BY local LIMIT $3"
)
_MEMBERSHIPS: Final = (
    "SELECT id, domain, local, affiliation, nick FROM room_affiliations JOIN rooms ON id = owner"
    " WHERE jid = $1 AND affiliation > 0 ORDER BY domain, local"
)
_PUT: Final = (
    "INSERT INTO room_affiliations AS a (owner, jid, affiliation, nick, reason, version, since)"
    " SELECT $1, jid, affiliation, nick, reason, $2, $2"
    " FROM unnest($3::text[], $4::smallint[], $5::text[], $6::text[]) AS t (jid, affiliation, nick, reason)"
    " ON CONFLICT (owner, jid) DO UPDATE"
    " SET affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason,"
    " version = excluded.version,"
    " since = CASE a.affiliation WHEN excluded.affiliation THEN a.since ELSE excluded.since END"
)
_GO: Final = (
    "UPDATE room_affiliations AS a SET affiliation = 0, nick = '', reason = t.reason, version = $2, since = $2"
    " FROM unnest($3::text[], $4::text[]) AS t (jid, reason)"
    " WHERE a.owner = $1 AND a.jid = t.jid AND a.affiliation <> 0"
)
# Behind the newest version of which not all that went can be kept, changes are known.
_CUT: Final = """
WITH cut AS (
    SELECT o AS owner, (
        SELECT version FROM room_affiliations WHERE owner = o AND affiliation = 0
        ORDER BY version DESC LIMIT 1 OFFSET $2
    ) AS version FROM unnest($1::bigint[]) AS o
), gone AS (
    DELETE FROM room_affiliations AS a USING cut
    WHERE a.owner = cut.owner AND a.affiliation = 0 AND a.version <= cut.version
)
UPDATE rooms SET forgotten = cut.version FROM cut WHERE id = cut.owner AND cut.version IS NOT NULL
"""
# Two who change the same rooms lock them in the same order.
_LOCK_ALL: Final = (
    "SELECT id FROM rooms WHERE id = ANY(ARRAY("
    "SELECT owner FROM room_affiliations WHERE jid = $1 AND affiliation > 0)) ORDER BY id FOR NO KEY UPDATE"
)
_ALL_GO: Final = (
    "UPDATE room_affiliations SET affiliation = 0, nick = '', reason = '', version = r.version, since = r.version"
    " FROM rooms AS r WHERE r.id = owner AND owner = ANY($1::bigint[]) AND jid = $2"
)
_HEIRS: Final = """
UPDATE room_affiliations AS a SET affiliation = 3, version = r.version, since = r.version
FROM rooms AS r JOIN (
    SELECT DISTINCT ON (owner) owner, jid, affiliation FROM room_affiliations
    WHERE owner = ANY($1::bigint[]) AND affiliation > 0 ORDER BY owner, affiliation DESC, since, jid
) AS first ON first.owner = r.id
WHERE a.owner = first.owner AND a.jid = first.jid AND first.affiliation < 3
"""


class PostgresRooms(RoomStore):
    def __init__(self, database: Database, owners: Owners) -> None:
        self._database = database
        self._owners = owners

    async def create(
        self, jid: Jid, config: bytes, affiliations: Mapping[Jid, Affiliated], *, secret: bytes, now: float
    ) -> RoomRecord:
        local = jid.local
        if local is None:
            raise ValueError(f"{jid} cannot be a room: it has no localpart")

        async def work(connection: Connection) -> RoomRecord:
            id = await connection.fetchval(_CREATE, jid.domain, local, now, secret, config)
            if id is None:
                raise RoomExists(str(jid.bare))
            await _change(connection, id, affiliations, 1)
            record = await _load(connection, jid)
            assert record is not None
            return record

        return await self._database.write(work)

    async def load(self, jid: Jid) -> RoomRecord | None:
        async def work(connection: Connection) -> RoomRecord | None:
            return await _load(connection, jid)

        return await self._database.read(work)

    async def configure(self, id: int, config: bytes) -> None:
        await self._update(id, "UPDATE rooms SET config = $2 WHERE id = $1", config)

    async def set_subject(self, id: int, subject: Subject | None) -> None:
        columns = (None, None, None) if subject is None else (subject.text, subject.nick, subject.at)
        await self._update(
            id, "UPDATE rooms SET subject = $2, subject_nick = $3, subject_at = $4 WHERE id = $1", *columns
        )

    async def _update(self, id: int, sql: str, *values: object) -> None:
        async def work(connection: Connection) -> None:
            if await connection.execute(sql, id, *values) == "UPDATE 0":
                raise _missing(id)

        await self._database.write(work, owners=[id])

    async def affiliate(self, id: int, changes: Mapping[Jid, Affiliated]) -> int:
        async def work(connection: Connection) -> int:
            version = await _lock(connection, id)
            if not await _change(connection, id, changes, version + 1):
                return version
            await connection.execute("UPDATE rooms SET version = $2 WHERE id = $1", id, version + 1)
            return version + 1

        return await self._database.write(work, owners=[id])

    async def changed_since(self, id: int, version: int) -> Mapping[Jid, Affiliated] | None:
        if version >= 1 << 63:  # whatever a client says
            return None

        async def work(connection: Connection) -> list[Row]:
            return await connection.fetch(_CHANGED, id, version)

        rows = await self._database.read(work)
        if not rows:
            return None
        return dict(affiliated(row) for row in rows if row[0] is not None)

    async def destroy(self, id: int) -> None:
        async def work(connection: Connection) -> bool:
            # First: it waits for whoever writes for the room at this moment, and what they wrote is seen below.
            if await connection.execute("DELETE FROM rooms WHERE id = $1", id) == "DELETE 0":
                return False
            await self._owners.delete(connection, id)
            return True

        if await self._database.write(work, owners=[id]):
            await self._owners.erase(id)

    async def list(self, domain: str, *, after: Jid | None, limit: int) -> Sequence[RoomSummary]:
        start = "" if after is None else after.local or ""

        async def work(connection: Connection) -> Sequence[Row]:
            return await connection.fetch(_LIST, domain, start, limit)

        return [
            RoomSummary(id, Jid(local, domain), config, members, created)
            for id, domain, local, config, members, created in await self._database.read(work)
        ]

    async def memberships(self, jid: Jid) -> Sequence[Membership]:
        async def work(connection: Connection) -> Sequence[Row]:
            return await connection.fetch(_MEMBERSHIPS, str(jid))

        return [
            Membership(id, Jid(local, domain), Affiliation(affiliation), nick)
            for id, domain, local, affiliation, nick in await self._database.read(work)
        ]

    async def forget(self, jid: Jid) -> None:
        async def work(connection: Connection) -> None:
            locked = [row[0] for row in await connection.fetch(_LOCK_ALL, str(jid))]
            # Again: a statement sees what was there when it began, not when it had the locks.
            rows = await connection.fetch(
                "SELECT owner, affiliation FROM room_affiliations"
                " WHERE jid = $1 AND affiliation > 0 AND owner = ANY($2::bigint[])",
                str(jid),
                locked,
            )
            left = [id for id, _ in rows]
            owned = [id for id, affiliation in rows if affiliation == Affiliation.OWNER]
            await connection.execute(
                "UPDATE rooms SET version = version + 1 WHERE id = ANY($1::bigint[])", left
            )
            await connection.execute(_ALL_GO, left, str(jid))
            await connection.execute(_HEIRS, owned)
            await connection.execute(_CUT, left, GONE)

        await self._database.write(work)

    async def picture(self, id: int) -> bytes | None:
        async def work(connection: Connection) -> bytes | None:
            found: bytes | None = await connection.fetchval(
                "SELECT vcard FROM room_pictures WHERE owner = $1", id
            )
            return found

        return await self._database.read(work)

    async def set_picture(self, id: int, vcard: bytes | None) -> None:
        async def work(connection: Connection) -> None:
            await _lock(connection, id)
            if vcard is None:
                await connection.execute("DELETE FROM room_pictures WHERE owner = $1", id)
            else:
                await connection.execute(
                    "INSERT INTO room_pictures VALUES ($1, $2)"
                    " ON CONFLICT (owner) DO UPDATE SET vcard = excluded.vcard",
                    id,
                    vcard,
                )

        await self._database.write(work, owners=[id])


async def _lock(connection: Connection, id: int) -> int:
    """Let nobody else write for the room until the transaction ends; the version of its lists."""
    version = await connection.fetchval("SELECT version FROM rooms WHERE id = $1 FOR NO KEY UPDATE", id)
    if version is None:
        raise _missing(id)
    return int(version)


def _missing(id: int) -> NoSuchRoom:
    return NoSuchRoom(f"there is no room {id}")


async def _load(connection: Connection, jid: Jid) -> RoomRecord | None:
    row = await connection.fetchrow(_LOAD, jid.domain, jid.local)
    if row is None:
        return None
    *columns, entries = row
    return room(columns, entries)


async def _change(connection: Connection, id: int, changes: Mapping[Jid, Affiliated], version: int) -> bool:
    """Put ``changes`` into the lists of the room ``id``, whose version is ``version`` then; whether there were any."""
    put = [(str(jid), entry) for jid, entry in changes.items() if entry.affiliation is not Affiliation.NONE]
    go = [(str(jid), entry) for jid, entry in changes.items() if entry.affiliation is Affiliation.NONE]
    if put:
        await connection.execute(
            _PUT,
            id,
            version,
            [jid for jid, _ in put],
            [entry.affiliation.value for _, entry in put],
            [entry.nick for _, entry in put],
            [entry.reason for _, entry in put],
        )
    if not go:
        return bool(put)
    gone = deleted(
        await connection.execute(_GO, id, version, [jid for jid, _ in go], [entry.reason for _, entry in go])
    )
    if gone:
        await connection.execute(_CUT, [id], GONE)
    return bool(put) or gone > 0
