"""Between columns and domain types."""

from __future__ import annotations

import sqlite3

from xmppd.storage.interfaces import NoSuchAccount


def require_account(connection: sqlite3.Connection, owner: int) -> None:
    """``NoSuchAccount`` where the account is gone: nobody would ever delete what is stored for it now."""
    if connection.execute("SELECT 1 FROM accounts WHERE id = ?", (owner,)).fetchone() is None:
        raise NoSuchAccount(f"account {owner} was deleted")
