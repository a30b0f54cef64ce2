"""Checkpoints of chat lists."""

from __future__ import annotations

import sqlite3

from xmppd.storage.archive import ChatListStore, Checkpoint
from xmppd.storage.conversations import read_conversations, write_conversations
from xmppd.storage.sqlite.database import Database


class SqliteChatLists(ChatListStore):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, owner: int) -> Checkpoint:
        def work(connection: sqlite3.Connection) -> tuple[int, bytes, int] | None:
            row: tuple[int, bytes, int] | None = connection.execute(
                "SELECT upto, conversations, version FROM chat_lists WHERE owner = ?", (owner,)
            ).fetchone()
            return row

        row = await self._database.read(work)
        return Checkpoint() if row is None else Checkpoint(row[0], read_conversations(row[1]), row[2])

    async def save(self, owner: int, checkpoint: Checkpoint) -> bool:
        upto, version = checkpoint.upto, checkpoint.version
        content = write_conversations(checkpoint.conversations)

        def work(connection: sqlite3.Connection) -> bool:
            if version == 0:
                # Nothing is kept for an account that was deleted: nobody would ever delete it.
                changed = connection.execute(
                    "INSERT OR IGNORE INTO chat_lists SELECT id, 1, ?, ? FROM accounts WHERE id = ?",
                    (upto, content, owner),
                )
            else:
                changed = connection.execute(
                    "UPDATE chat_lists SET version = version + 1, upto = ?, conversations = ?"
                    " WHERE owner = ? AND version = ?",
                    (upto, content, owner, version),
                )
            return changed.rowcount == 1

        return await self._database.write(work)
