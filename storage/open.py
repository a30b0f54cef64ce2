"""From the text of ``[storage] url`` to an open storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from xmppd.errors import ConfigError
from xmppd.storage.interfaces import Stores
from xmppd.storage.migrations import migrations
from xmppd.storage.packing import Packing, own_dictionaries
from xmppd.storage.sqlite.accounts import SqliteAccounts
from xmppd.storage.sqlite.archive import SqliteArchive, SqliteCursors
from xmppd.storage.sqlite.blocklists import SqliteBlocklists
from xmppd.storage.sqlite.chat_lists import SqliteChatLists
from xmppd.storage.sqlite.database import Database, plan_file
from xmppd.storage.sqlite.offline import SqliteOffline
from xmppd.storage.sqlite.preferences import SqlitePreferences
from xmppd.storage.sqlite.private import SqlitePrivate
from xmppd.storage.sqlite.rosters import SqliteRosters
from xmppd.storage.sqlite.schema import Plan
from xmppd.storage.sqlite.secrets import SqliteSecrets
from xmppd.storage.sqlite.vcards import SqliteVcards

FORMS = "'sqlite:///absolute/path', 'sqlite:path' (relative to the configuration file), 'sqlite::memory:'"


async def open_stores(url: str, base: Path, *, clock: Callable[[], float] = time.time) -> Stores:
    """Open the storage that ``url`` names and bring its schema up to date; whoever opens it awaits ``close()``.

    ``base`` is the directory that relative paths start from: the configuration file's. ``clock``, seconds since the
    epoch, is for SQLite, which has none of its own, and called on its thread. ``ConfigError`` if ``url`` is
    none, ``UserError`` if the storage cannot be opened; both say what to do. Use it on the event loop that opened it.
    """
    return sqlite_stores(await Database.open(sqlite_path(url, base)), clock=clock)


def plan_storage(url: str, base: Path) -> Plan:
    """What ``open_stores`` would do to the schema; changes nothing, and raises what that would raise."""
    return plan_file(sqlite_path(url, base))


def schema_versions(url: str, base: Path) -> tuple[int, int]:
    """The schema version of the storage, 0 where it is not made yet, and the newest that this program knows.

    Only reads, whether a server runs or not. ``UserError`` says what is wrong with the storage.
    """
    return plan_storage(url, base).version, len(migrations("sqlite"))


def sqlite_path(url: str, base: Path) -> Path | None:
    """The absolute path of the database; None: in memory. ``ConfigError`` if ``url`` has none of the allowed forms."""
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres"):
        # Not the value: there may be a password in it.
        raise ConfigError(f"[storage] url: PostgreSQL comes with a later version; allowed are {FORMS}")
    if rest == ":memory:" and scheme == "sqlite":
        return None
    if rest.startswith("/"):
        path = rest.removeprefix("//") if rest.startswith("///") else ""
    else:
        path = rest
    if scheme != "sqlite" or not path or path.endswith("/") or any(char in path for char in "\0?#"):
        raise ConfigError(f"[storage] url: {url!r} names no database; allowed are {FORMS}")
    return (base / path).absolute()


def sqlite_stores(database: Database, *, clock: Callable[[], float] = time.time) -> Stores:
    """Every aggregate of ``database``, which is open."""
    return Stores(
        accounts=SqliteAccounts(database),
        rosters=SqliteRosters(database),
        blocklists=SqliteBlocklists(database),
        private=SqlitePrivate(database),
        vcards=SqliteVcards(database),
        offline=SqliteOffline(database),
        archive=SqliteArchive(database, Packing(own_dictionaries()), clock),
        cursors=SqliteCursors(database),
        chat_lists=SqliteChatLists(database),
        preferences=SqlitePreferences(database),
        secrets=SqliteSecrets(database),
        close=database.close,
    )
