"""What the archive holds of an account that was deleted: a batch may have had a message to it that was committed later,
and an archive may be larger than one transaction deletes. Both go, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.storage.parts import add_account
from tests.support.postgres import fresh_database
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, Query
from xmppd.storage.interfaces import StorageUnavailable, Stores
from xmppd.storage.open import open_stores, open_tables
from xmppd.storage.rooms import Affiliated, Affiliation, RoomRecord
from xmppd.storage.tables import OWNED, TABLES, Value

JULIET = "juliet@capulet.example"
CAVE = Jid.parse("cave@rooms.example")
HOUR = 3_600.0


class Site:
    """A storage, opened, in which time passes."""

    stores: Stores

    def __init__(self, engine: str, directory: Path) -> None:
        self.engine = engine
        self._directory = directory
        self._now = 1_790_000_000.0
        self._url = "sqlite:xmppd.db"

    async def open(self) -> None:
        if self.engine == "postgres":
            self._url = await fresh_database()
        self.stores = await open_stores(self._url, self._directory, clock=lambda: self._now)

    async def pass_by(self, seconds: float) -> None:
        self._now += seconds
        if self.engine == "postgres":
            connection = await asyncpg.connect(self._url)
            await connection.execute("UPDATE deleted_owners SET at = at - $1::double precision", seconds)
            await connection.close()
        await self.stores.maintain()

    async def close(self) -> dict[str, set[Value]]:
        """Who has something in each table that belongs to owners, as it is in the closed storage."""
        await self.stores.close()
        tables = await open_tables(self._url, self._directory)
        found = {
            table.name: {row[0] for row in await tables.read(table, None, limit=1_000)}
            for table in TABLES
            if table.name in OWNED
        }
        await tables.close()
        return found

    async def rows(self, *owners: int) -> list[int]:
        return [await self.stores.archive.count(owner, Query()) for owner in owners]


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(request.param, tmp_path)
    await site.open()
    yield site
    await site.stores.close()


async def test_what_comes_for_an_owner_who_is_gone_is_deleted_some_time_later(site: Site) -> None:
    stores = site.stores
    owners = [await add_account(stores, address) for address in (JULIET, "romeo@montague.example")]
    await stores.accounts.delete(Jid.parse(JULIET))
    message = NewMessage(b"<message/>", [NewRow(owner, 4) for owner in owners])
    await stores.archive.append([message])
    await site.pass_by(HOUR - 60)
    assert await site.rows(*owners) == [1, 1], "more may come"
    await stores.archive.append([message])
    await site.pass_by(120)
    assert await site.rows(*owners) == [0, 2]
    await stores.archive.append([message])
    await site.pass_by(2 * HOUR)
    assert await site.rows(*owners) == [1, 3], "it is looked for once"


async def test_a_large_archive_is_deleted_in_portions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the second one, the storage is away in the middle."""
    stores = site.stores
    monkeypatch.setattr(f"xmppd.storage.{site.engine}.owners._ROWS", 3)
    owners = [await add_account(stores, f"{name}@capulet.example") for name in ("a", "b", "c")]
    for owner in owners:
        await stores.archive.append([NewMessage(b"<message/>", [NewRow(owner, 4)])] * 9)
    await stores.accounts.delete(Jid.parse("a@capulet.example"))
    assert await site.rows(*owners) == [0, 9, 9]

    write, left = type(stores.accounts._database).write, 2  # type: ignore[attr-defined]

    def fail(*args: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise StorageUnavailable("full")
        return write(*args)

    with monkeypatch.context() as patched:
        patched.setattr(type(stores.accounts._database), "write", fail)  # type: ignore[attr-defined]
        await stores.accounts.delete(Jid.parse("b@capulet.example"))
    assert await stores.accounts.get(Jid.parse("b@capulet.example")) is None
    assert await site.rows(*owners) == [0, 6, 9]
    await site.pass_by(HOUR + 60)
    assert await site.rows(*owners) == [0, 0, 9]


async def _make_room(stores: Stores, jid: Jid) -> RoomRecord:
    lists = {Jid.parse(JULIET): Affiliated(Affiliation.OWNER)}
    room = await stores.rooms.create(jid, b"{}", lists, secret=b"", now=1)
    await stores.rooms.set_picture(room.id, b"<vCard/>")
    await stores.archive.append([NewMessage(b"<message/>", [NewRow(room.id, 4)])] * 9)
    return room


async def test_what_a_room_had_goes_with_it_and_what_comes_later_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = site.stores
    monkeypatch.setattr(f"xmppd.storage.{site.engine}.owners._ROWS", 3)
    rooms = [await _make_room(stores, jid) for jid in (CAVE, Jid.parse("heath@rooms.example"))]
    gone, stays = [room.id for room in rooms]
    await stores.rooms.destroy(gone)
    assert await site.rows(gone, stays) == [0, 9]
    await stores.archive.append([NewMessage(b"<message/>", [NewRow(gone, 4)])])
    await site.pass_by(HOUR - 60)
    assert await site.rows(gone, stays) == [1, 9]
    await site.pass_by(120)
    assert await site.rows(gone, stays) == [0, 9]
    left = await site.close()
    assert {name for name, owners in left.items() if gone in owners} == set()
    assert {name for name, owners in left.items() if stays in owners} >= {
        "archive",
        "room_affiliations",
        "room_pictures",
    }
