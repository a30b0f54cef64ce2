"""Checkpoints of chat lists."""

from __future__ import annotations

from typing import Final

from xmppd.storage.archive import ChatListStore, Checkpoint
from xmppd.storage.conversations import read_conversations, write_conversations
from xmppd.storage.postgres.connection import Connection, Row
from xmppd.storage.postgres.database import Database

# Nothing is kept for an account that was deleted: nobody would ever delete it. The lock is against who does so now.
_INSERT: Final = (
    "INSERT INTO chat_lists (owner, version, upto, conversations)"
    " SELECT id, $2::bigint + 1, $3, $4 FROM accounts WHERE id = $1 FOR KEY SHARE ON CONFLICT DO NOTHING"
)
_UPDATE: Final = (
    "UPDATE chat_lists SET version = version + 1, upto = $3, conversations = $4"
    " WHERE owner = $1 AND version = $2"
)


class PostgresChatLists(ChatListStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> Checkpoint:
        async def work(connection: Connection) -> Row | None:
            return await connection.fetchrow(
                "SELECT upto, conversations, version FROM chat_lists WHERE owner = $1", owner
            )

        row = await self._database.read(work)
        return Checkpoint() if row is None else Checkpoint(row[0], read_conversations(row[1]), row[2])

    async def save(self, owner: int, checkpoint: Checkpoint) -> bool:
        content = write_conversations(checkpoint.conversations)

        async def work(connection: Connection) -> bool:
            sql = _UPDATE if checkpoint.version else _INSERT
            tag = await connection.execute(sql, owner, checkpoint.version, checkpoint.upto, content)
            return tag.endswith(" 1")

        return await self._database.write(work)
