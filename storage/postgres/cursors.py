"""What of each owner's rows is settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xmppd.storage.archive import Cursor, CursorStore, Waiting
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database

_LOAD: Final = """
SELECT upto, above,
    (SELECT count(*) FROM (
        SELECT FROM archive
        WHERE owner = $1 AND id > greatest(upto, $2::bigint - 1) AND kind & 1 = 1 AND id <> ALL(above)
        LIMIT $3) AS waiting),
    greatest(
        0,
        (SELECT id FROM archive WHERE owner = $1 ORDER BY id DESC LIMIT 1),
        (SELECT id FROM archive_floors WHERE owner = $1))
FROM (
    SELECT coalesce(max(upto), 0) AS upto, coalesce(max(above), '{}') AS above FROM archive_cursors WHERE owner = $1
) AS cursor
"""

_WEIGH: Final = """
SELECT coalesce(sum(size), 0)::bigint FROM (
    SELECT octet_length(a.stanza) AS size FROM (
        SELECT coalesce(max(upto), 0) AS upto, coalesce(max(above), '{}') AS above
        FROM archive_cursors WHERE owner = $1
    ) AS c, archive AS a
    WHERE a.owner = $1 AND a.id > greatest(c.upto, $2::bigint - 1) AND a.kind & 1 = 1 AND a.id <> ALL(c.above)
    ORDER BY a.id LIMIT $3
) AS waiting
"""

# In the order of ids, so that two who save do not wait in a circle. Nothing is kept for an account that was deleted:
# nobody would ever delete it.
_SAVE: Final = """
INSERT INTO archive_cursors AS c (owner, upto, above)
SELECT id, upto, above::bigint[] FROM accounts JOIN unnest($1::bigint[], $2::bigint[], $3::text[])
    AS s (owner, upto, above) ON id = owner ORDER BY id FOR KEY SHARE OF accounts
ON CONFLICT (owner) DO UPDATE SET upto = greatest(c.upto, excluded.upto), above = ARRAY(
    SELECT DISTINCT i FROM unnest(c.above || excluded.above) AS i WHERE i > greatest(c.upto, excluded.upto) ORDER BY i)
"""


class PostgresCursors(CursorStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int, *, since: int, limit: int) -> Waiting:
        async def work(connection: Connection) -> Row | None:
            return await connection.fetchrow(_LOAD, owner, since, limit)

        row = await self._database.read(work)
        assert row is not None
        upto, above, count, newest = row
        return Waiting(Cursor(upto, frozenset(above)), count, newest)

    async def weigh(self, owner: int, *, since: int, limit: int) -> int:
        async def work(connection: Connection) -> int:
            return int(await connection.fetchval(_WEIGH, owner, since, limit))

        return await self._database.read(work)

    async def save(self, cursors: Mapping[int, Cursor]) -> None:
        owners = list(cursors)
        uptos = [cursor.upto for cursor in cursors.values()]
        above = [
            f"{{{','.join(str(id) for id in sorted(cursor.above) if id > cursor.upto)}}}"
            for cursor in cursors.values()
        ]

        async def work(connection: Connection) -> None:
            await connection.execute(_SAVE, owners, uptos, above)

        await self._database.write(work)
