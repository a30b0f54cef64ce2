"""Invariant I2 on PostgreSQL: a connection that is cut while a batch is written, before the server gets it or between
COMMIT and its answer. Nothing is lost, and nothing is there twice.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from tests.storage.parts import add_account
from tests.support.postgres import Postgres, fresh_database, give_back
from tests.support.proxy import Proxy
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, NewMessage, NewRow, Place, Placed, Query, peer_key
from xmppd.storage.interfaces import StorageUnavailable, Stores
from xmppd.storage.open import open_stores

ROMEO = peer_key(Jid.parse("romeo@montague.example"))
APPEND = "SELECT archive_append($1, $2, 0, 0, $3, ARRAY[(1::bigint << 48) | (1 << 16), 4, 0], $4, NULL)"
MARK = random.Random(1).randbytes(20)  # cannot be compressed: it is seen on the wire


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    url = await fresh_database()
    yield url
    give_back(url)


@pytest_asyncio.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    port = urlsplit(url).port
    assert port is not None
    async with Proxy(port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def stores(url: str, proxy: Proxy) -> AsyncIterator[Stores]:
    """A storage behind the proxy; it has written before, so that its statement is prepared."""
    through = url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")
    stores = await open_stores(through, Path("/"), wait_seconds=1.0)
    owner = await add_account(stores, "nurse@capulet.example")
    await stores.archive.append([message(owner, b"before")])
    yield stores
    proxy.refusing = False
    await stores.close()


def message(owner: int, text: bytes) -> NewMessage:
    return NewMessage(text, (NewRow(owner, ROMEO),))


async def texts(stores: Stores, owner: int) -> list[bytes]:
    return [row.stanza for row in await stores.archive.read(owner, Query(), limit=1_000)]


@pytest.mark.parametrize("answered", [True, False])
async def test_a_connection_cut_around_commit(
    stores: Stores, proxy: Proxy, owner: int, other: int, answered: bool
) -> None:
    """The places are the right ones, for messages of several rows, resends, and what somebody wrote before."""
    await stores.archive.append([message(owner, b"old")._replace(origin=3)])
    (known,) = (await stores.archive.append([message(owner, b"sent")._replace(origin=4)]))[0].places
    both = NewMessage(MARK, (NewRow(owner, ROMEO), NewRow(other, ROMEO, Kind.OWED)))
    batch = [
        message(owner, b"a"),
        both,
        message(owner, b"again")._replace(origin=4, check=1),
        message(other, b"b"),
        message(owner, b"new")._replace(origin=5, check=1),
        message(owner, b"old, as of now")._replace(origin=3, check=known.id),
        both,
    ]
    proxy.cut_at(MARK, answered=answered)
    placed = await stores.archive.append(batch)
    assert proxy.cuts == 1
    assert placed[2] == Placed((known,), duplicate=True)
    expected: dict[int, list[tuple[int, bytes]]] = {owner: [], other: []}
    newest = {owner: known.id, other: 0}
    for new, result in zip(batch, placed, strict=True):
        if not result.duplicate:
            for row, place in zip(new.rows, result.places, strict=True):
                assert place.prev == newest[row.owner] < place.id
                newest[row.owner] = place.id
                expected[row.owner].append((place.id, new.stanza))
    for each, rows in expected.items():
        found = await stores.archive.read(each, Query(after=known.id), limit=1_000)
        assert [(row.id, row.stanza) for row in found] == rows
    assert [len(rows) for rows in expected.values()] == [5, 3]
    # It goes on as if nothing had been.
    (placed_next,) = await stores.archive.append([message(other, b"next")])
    assert placed_next.places[0].prev == newest[other]


async def test_what_others_wrote_meanwhile_is_not_taken_for_its_own(
    stores: Stores, proxy: Proxy, url: str, owner: int
) -> None:
    """The batch waits for the owner's lock, which another writer has, and loses its answer."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(-$1::bigint)", owner)
        proxy.cut_at(MARK, answered=True)
        task = asyncio.create_task(stores.archive.append([message(owner, MARK)]))
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        await connection.execute(APPEND, uuid.uuid4(), 1, [owner], [b"\0other"])
    await connection.close()
    ((place,), _) = (await task)[0]
    rows = await stores.archive.read(owner, Query(), limit=10)
    assert [row.stanza for row in rows] == [b"other", MARK]
    assert place == Place(rows[1].id, rows[0].id)


async def test_a_server_that_stays_away_after_commit(stores: Stores, proxy: Proxy, owner: int) -> None:
    """Nobody can know, and the error says so. It is there, and the next one knows."""
    proxy.cut_at(MARK, answered=True, refuse=True)
    with pytest.raises(StorageUnavailable, match="could not be asked"):
        await stores.archive.append([message(owner, MARK)])
    with pytest.raises(StorageUnavailable):
        await stores.archive.append([message(owner, b"while it is away")])
    proxy.refusing = False
    (placed,) = await stores.archive.append([message(owner, b"next")])
    rows = await stores.archive.read(owner, Query(), limit=10)
    assert [row.stanza for row in rows] == [MARK, b"next"]
    assert placed.places == (Place(rows[1].id, rows[0].id),)


async def test_a_batch_that_reaches_the_server_too_late_is_refused(
    stores: Stores, proxy: Proxy, url: str, owner: int
) -> None:
    """The sender was told that it failed: what was on its way meanwhile is not written any more."""
    proxy.cut_at(MARK, answered=False, refuse=True)
    with pytest.raises(StorageUnavailable, match="could not be asked"):
        await stores.archive.append([message(owner, MARK)])
    proxy.refusing = False
    await stores.archive.append([message(owner, b"next")])
    connection = await asyncpg.connect(url)
    lost = await connection.fetchval("SELECT writer FROM writers WHERE number = -1")
    with pytest.raises(asyncpg.PostgresConnectionError, match="was given up"):
        await connection.execute(APPEND, lost, 2, [owner], [b"\0late"])
    await connection.close()
    assert await texts(stores, owner) == [b"next"]


async def test_a_server_that_does_not_answer_is_waited_for_so_long(tmp_path: Path) -> None:
    """What was sent to it is there in the end or not, but once; and who asks meanwhile gets an answer."""
    with Postgres(tmp_path / "pg") as server:
        stores = await open_stores(server.create("x"), Path("/"), wait_seconds=0.5)
        owner = await add_account(stores, "juliet@capulet.example")
        (first,) = await stores.archive.append([message(owner, b"first")])
        server.freeze()
        try:
            for text in (b"second", b"third"):
                started = time.monotonic()
                with pytest.raises(StorageUnavailable):
                    await stores.archive.append([message(owner, text)])
                assert time.monotonic() - started < 5
        finally:
            server.thaw()
        (last,) = await stores.archive.append([message(owner, b"last")])
        rows = await stores.archive.read(owner, Query(), limit=10)
        assert [row.stanza for row in rows] in ([b"first", b"last"], [b"first", b"second", b"last"])
        assert last.places == (Place(rows[-1].id, rows[-2].id),)
        assert rows[0].id == first.places[0].id
        await stores.close()


async def test_one_that_was_cancelled_leaves_no_doubt_to_the_next(
    stores: Stores, proxy: Proxy, owner: int
) -> None:
    """Its rows are there or not, but they do not come later."""
    task = asyncio.create_task(stores.archive.append([message(owner, MARK)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    (placed,) = await stores.archive.append([message(owner, b"next")])
    rows = await stores.archive.read(owner, Query(), limit=10)
    assert [row.stanza for row in rows] in ([b"next"], [MARK, b"next"])
    assert placed.places[0].id == rows[-1].id
    assert placed.places[0].prev == (rows[-2].id if len(rows) > 1 else 0)


async def test_cuts_at_random_beside_others(
    stores: Stores, proxy: Proxy, url: str, owner: int, other: int
) -> None:
    """In rounds, while others write for the same owners: each message is where its writer was told."""
    direct = await open_stores(url, Path("/"))
    chance = random.Random(7)
    told: dict[int, dict[int, bytes]] = {owner: {}, other: {}}

    async def write(through: Stores, name: str, cut: bool) -> None:
        for number in range(40):
            texts = [b"%s.%d.%d" % (name.encode(), number, part) for part in range(chance.randint(1, 4))]
            batch = [NewMessage(text, (NewRow(owner, ROMEO), NewRow(other, ROMEO))) for text in texts]
            if cut:
                batch.append(message(owner, MARK + bytes([number])))
                proxy.cut_at(MARK, answered=chance.random() < 0.5)
            for new, placed in zip(batch, await through.archive.append(batch), strict=True):
                for row, place in zip(new.rows, placed.places, strict=True):
                    assert place.id not in told[row.owner]
                    told[row.owner][place.id] = new.stanza

    await asyncio.gather(write(stores, "cut", True), write(direct, "one", False), write(direct, "two", False))
    assert proxy.cuts == 40
    for each, rows in told.items():
        found = await direct.archive.read(each, Query(), limit=10_000)
        assert [(row.id, row.stanza) for row in found] == sorted(rows.items())
    await direct.close()
