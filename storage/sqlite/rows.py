"""Between columns and domain types."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from xmppd.jid import Jid
from xmppd.storage.interfaces import NoSuchAccount


def address(text: str) -> Jid:
    """The address that was stored as ``text``.

    It was prepared then and is not again: what counts as prepared may have changed since.
    """
    if text.isascii():
        return Jid.parse(text)  # the same object for the same text
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.partition("@")
    return Jid(local if at else None, domain if at else bare, resource if slash else None)


def array(values: Iterable[object]) -> str:
    """``values`` as JSON, to be one parameter behind ``json_each``: any number of them in one statement."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))


def require_account(connection: sqlite3.Connection, owner: int) -> None:
    """``NoSuchAccount`` where the account is gone: nobody would ever delete what is stored for it now."""
    if connection.execute("SELECT 1 FROM accounts WHERE id = ?", (owner,)).fetchone() is None:
        raise NoSuchAccount(f"account {owner} was deleted")
