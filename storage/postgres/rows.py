"""What the aggregates share."""

from __future__ import annotations

from xmppd.storage.interfaces import NoSuchAccount
from xmppd.storage.postgres.connection import Connection


async def lock_account(connection: Connection, owner: int) -> None:
    """Let nobody else write for ``owner`` until the transaction ends.

    ``NoSuchAccount`` where the account is gone: nobody would ever delete what is stored for it now.
    """
    if await connection.fetchval("SELECT 1 FROM accounts WHERE id = $1 FOR NO KEY UPDATE", owner) is None:
        raise NoSuchAccount(f"account {owner} was deleted")


def deleted(tag: str) -> int:
    """How many rows a command tag such as ``DELETE 3`` or ``UPDATE 3`` speaks of."""
    return int(tag.rpartition(" ")[2])
