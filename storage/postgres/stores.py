"""All that a server keeps, on PostgreSQL."""

from __future__ import annotations

from xmppd.storage.interfaces import Stores
from xmppd.storage.packing import Packing, own_dictionaries
from xmppd.storage.postgres.accounts import PostgresAccounts
from xmppd.storage.postgres.archive import PostgresArchive
from xmppd.storage.postgres.blocklists import PostgresBlocklists
from xmppd.storage.postgres.chat_lists import PostgresChatLists
from xmppd.storage.postgres.cursors import PostgresCursors
from xmppd.storage.postgres.database import Database
from xmppd.storage.postgres.dictionaries import PostgresDictionaries
from xmppd.storage.postgres.owners import Owners
from xmppd.storage.postgres.partitions import Partitions
from xmppd.storage.postgres.pending import PostgresPending
from xmppd.storage.postgres.preferences import PostgresPreferences
from xmppd.storage.postgres.private import PostgresPrivate
from xmppd.storage.postgres.rooms import PostgresRooms
from xmppd.storage.postgres.rosters import PostgresRosters
from xmppd.storage.postgres.secrets import PostgresSecrets
from xmppd.storage.postgres.vcards import PostgresVcards


def postgres_stores(database: Database) -> Stores:
    """Every aggregate of ``database``, which is open."""
    owners = Owners(database)
    partitions = Partitions(database)
    packing = Packing(own_dictionaries())
    dictionaries = PostgresDictionaries(database, packing)
    archive = PostgresArchive(database, packing, dictionaries, partitions)

    async def maintain() -> None:
        await dictionaries.use()
        await partitions.make_ahead()
        await database.forget_writers()
        await owners.sweep()

    async def close() -> None:
        await archive.close()
        await database.close()

    return Stores(
        accounts=PostgresAccounts(database, owners),
        rosters=PostgresRosters(database),
        blocklists=PostgresBlocklists(database),
        private=PostgresPrivate(database),
        vcards=PostgresVcards(database),
        archive=archive,
        pending=PostgresPending(database),
        cursors=PostgresCursors(database),
        chat_lists=PostgresChatLists(database),
        preferences=PostgresPreferences(database),
        rooms=PostgresRooms(database, owners),
        dictionaries=dictionaries,
        secrets=PostgresSecrets(database),
        maintain=maintain,
        close=close,
    )
