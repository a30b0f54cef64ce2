"""From the text of ``[storage] url`` to an open storage.

What PostgreSQL needs is imported where a URL names it: on SQLite, each command would start 0.1 s later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from xmppd.config.model import Config
from xmppd.errors import ConfigError
from xmppd.storage.interfaces import Stores
from xmppd.storage.migrations import migrations
from xmppd.storage.migrations.plan import Plan
from xmppd.storage.packing import Packing, own_dictionaries
from xmppd.storage.sqlite.accounts import SqliteAccounts
from xmppd.storage.sqlite.archive import SqliteArchive
from xmppd.storage.sqlite.blocklists import SqliteBlocklists
from xmppd.storage.sqlite.chat_lists import SqliteChatLists
from xmppd.storage.sqlite.cursors import SqliteCursors
from xmppd.storage.sqlite.database import Database, plan_file
from xmppd.storage.sqlite.dictionaries import SqliteDictionaries
from xmppd.storage.sqlite.owners import Owners as SqliteOwners
from xmppd.storage.sqlite.pending import SqlitePending
from xmppd.storage.sqlite.preferences import SqlitePreferences
from xmppd.storage.sqlite.private import SqlitePrivate
from xmppd.storage.sqlite.rooms import SqliteRooms
from xmppd.storage.sqlite.rosters import SqliteRosters
from xmppd.storage.sqlite.secrets import SqliteSecrets
from xmppd.storage.sqlite.tables import SqliteTables
from xmppd.storage.sqlite.vcards import SqliteVcards
from xmppd.storage.tables import Tables
from xmppd.storage.url import (
    CONNECTIONS,
    FORM,
    STATEMENT_SECONDS,
    WAIT_SECONDS,
    PostgresUrl,
    is_postgres,
    parse_postgres,
)

FORMS = f"'sqlite:///absolute/path', 'sqlite:path' (relative to the configuration file), 'sqlite::memory:', '{FORM}'"


async def open_configured(config: Config) -> Stores:
    """Open the storage of ``config`` as ``open_stores`` does."""
    storage = config.storage
    return await open_stores(
        storage.url or "",
        config.data_dir,
        connections=storage.connections,
        wait_seconds=storage.wait_seconds,
        statement_seconds=storage.statement_seconds,
    )


async def open_stores(
    url: str,
    base: Path,
    *,
    connections: int = CONNECTIONS,
    wait_seconds: float = WAIT_SECONDS,
    statement_seconds: float = STATEMENT_SECONDS,
    clock: Callable[[], float] = time.time,
) -> Stores:
    """Open the storage that ``url`` names and bring its schema up to date; whoever opens it awaits ``close()``.

    ``base`` is the directory that relative paths start from: the configuration file's. ``clock``, seconds since the
    epoch, is for SQLite, which has none of its own, and called on its thread. The rest is for PostgreSQL, as in
    ``[storage]``. ``ConfigError`` if ``url`` is none, ``UserError`` if the storage cannot be opened; both say what
    to do. Use it on the event loop that opened it.
    """
    if is_postgres(url):
        from xmppd.storage.postgres.database import Database as PostgresDatabase
        from xmppd.storage.postgres.stores import postgres_stores

        database = await PostgresDatabase.open(
            postgres_url(url),
            connections=connections,
            wait_seconds=wait_seconds,
            statement_seconds=statement_seconds,
        )
        return await _prepared(postgres_stores(database))
    stores = sqlite_stores(await Database.open(sqlite_path(url, base)), clock=clock)
    return await _prepared(stores)


async def open_tables(url: str, base: Path, *, wait_seconds: float = WAIT_SECONDS) -> Tables:
    """The storage that ``url`` names as its tables, to move all of them; raises as ``open_stores`` does."""
    if is_postgres(url):
        from xmppd.storage.postgres.database import Database as PostgresDatabase
        from xmppd.storage.postgres.tables import PostgresTables

        # Counting and reading a whole archive takes as long as it needs.
        database = await PostgresDatabase.open(
            postgres_url(url), connections=2, wait_seconds=wait_seconds, statement_seconds=0
        )
        return PostgresTables(database)
    return SqliteTables(await Database.open(sqlite_path(url, base)))


async def plan_storage(url: str, base: Path) -> Plan:
    """What ``open_stores`` would do to the schema; changes nothing, and raises what that would raise."""
    if is_postgres(url):
        from xmppd.storage.postgres.database import plan_database

        return await plan_database(postgres_url(url))
    return plan_file(sqlite_path(url, base))


async def schema_versions(url: str, base: Path) -> tuple[int, int]:
    """The schema version of the storage, 0 where it is not made yet, and the newest that this program knows.

    Only reads, whether a server runs or not. ``UserError`` says what is wrong with the storage.
    """
    newest = len(migrations("postgres" if is_postgres(url) else "sqlite"))
    return (await plan_storage(url, base)).version, newest


def storage_name(url: str) -> str:
    """``url`` for people: without a password."""
    return postgres_url(url).name if is_postgres(url) else url


def postgres_url(url: str) -> PostgresUrl:
    """The address of a PostgreSQL database. ``ConfigError`` if ``url`` is none; its text holds no password."""
    try:
        return parse_postgres(url)
    except ValueError as error:
        raise ConfigError(f"[storage] url: {error}; the form is {FORM}") from error


def sqlite_path(url: str, base: Path) -> Path | None:
    """The absolute path of the database; None: in memory. ``ConfigError`` if ``url`` has none of the allowed forms."""
    scheme, _, rest = url.partition(":")
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
    packing = Packing(own_dictionaries())
    owners = SqliteOwners(database, clock)
    dictionaries = SqliteDictionaries(database, packing)

    async def maintain() -> None:
        await dictionaries.use()
        await owners.sweep()

    return Stores(
        accounts=SqliteAccounts(database, owners),
        rosters=SqliteRosters(database),
        blocklists=SqliteBlocklists(database),
        private=SqlitePrivate(database),
        vcards=SqliteVcards(database),
        archive=SqliteArchive(database, packing, dictionaries, clock),
        pending=SqlitePending(database),
        cursors=SqliteCursors(database),
        chat_lists=SqliteChatLists(database),
        preferences=SqlitePreferences(database),
        rooms=SqliteRooms(database, owners),
        dictionaries=dictionaries,
        secrets=SqliteSecrets(database),
        maintain=maintain,
        close=database.close,
    )


async def _prepared(stores: Stores) -> Stores:
    try:
        await stores.maintain()
    except BaseException:
        await stores.close()
        raise
    return stores
