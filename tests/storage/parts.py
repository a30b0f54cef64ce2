"""What the contract suite runs on, and what its tests share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from tests.support.postgres import fresh_database, give_back
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, Stores
from xmppd.storage.open import open_stores


class Engine(ABC):
    """One database; ``open`` may be called again after the stores were closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @abstractmethod
    async def open(self) -> Stores: ...

    def give_back(self) -> None:  # noqa: B027 - most engines have nothing to give back
        """Whoever made it needs it no more."""


class SqliteFile(Engine):
    async def open(self) -> Stores:
        return await open_stores("sqlite:data/xmppd.db", self._directory)


class SqliteMemory(Engine):
    async def open(self) -> Stores:
        return await open_stores("sqlite::memory:", self._directory)


class PostgresServer(Engine):
    """A database of its own on the server that the whole run shares."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._url: str | None = None

    async def open(self) -> Stores:
        if self._url is None:
            self._url = await fresh_database()
        return await open_stores(self._url, Path("/"))

    def give_back(self) -> None:
        if self._url is not None:
            give_back(self._url)


DURABLE: dict[str, type[Engine]] = {"file": SqliteFile, "postgres": PostgresServer}
ENGINES: dict[str, type[Engine]] = {**DURABLE, "memory": SqliteMemory}


async def add_account(stores: Stores, address: str) -> int:
    """Make an account without credentials; its id."""
    (owner,) = await stores.accounts.create([(Jid.parse(address), {})], now=1_000.0)
    return owner


def put(owner: int, item: RosterItem) -> RosterChange:
    """The change that stores `item`, whatever was there."""
    return RosterChange(owner, item.jid, lambda _: item)


def drop(owner: int, contact: Jid) -> RosterChange:
    """The change that removes the item for `contact`."""
    return RosterChange(owner, contact, lambda _: None)
