"""A whole storage moved into another engine: nothing lost, nothing changed, no id given twice."""

from __future__ import annotations

import random
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from tests.storage.parts import add_account, put
from tests.support.postgres import empty_database, fresh_database
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.archive import (
    Checkpoint,
    Conversation,
    Cursor,
    Kind,
    NewMessage,
    NewRow,
    Preferences,
    Query,
    peer_key,
)
from xmppd.storage.copy import Copied, Progress, copy
from xmppd.storage.interfaces import LastSeen, RosterItem, ScramHash, ScramKeys, Stores, Subscription, Vcard
from xmppd.storage.migrations import migrations
from xmppd.storage.open import open_stores, open_tables
from xmppd.storage.rooms import FIRST_ROOM, Affiliated, Affiliation, Subject
from xmppd.storage.sqlite.schema import statements
from xmppd.storage.tables import TABLES

JULIET = Jid.parse("juliet@capulet.example")
NURSE = Jid.parse("nürse@capulet.example")
ROMEO = Jid.parse("romeo@montague.example")
CAVE = Jid.parse("höhle@rooms.example")
ENGINES = ("sqlite", "postgres")


def _nothing(what: str, rows: int, total: int) -> None:
    pass


async def url_of(engine: str, number: int) -> str:
    return await fresh_database() if engine == "postgres" else f"sqlite:{number}.db"


def test_the_list_of_tables_is_the_schema() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in migrations("sqlite"):
            for statement in statements(migration.sql):
                connection.execute(statement)
        names = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
        assert names == {table.name for table in TABLES}
        for table in TABLES:
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
            assert columns == set(table.names), table.name


@pytest.mark.parametrize("target", ENGINES)
@pytest.mark.parametrize("source", ENGINES)
async def test_everything_arrives_as_it_was(source: str, target: str, tmp_path: Path) -> None:
    urls = await url_of(source, 1), await url_of(target, 2)
    stores = await open_stores(urls[0], tmp_path)
    deleted = await fill(stores)
    before = await _all(stores)
    await stores.close()

    done: list[tuple[str, int, int]] = []
    copied = await _copy(urls[0], urls[1], tmp_path, lambda *what: done.append(what))

    rows = {each.table: each.rows for each in copied}
    assert rows["accounts"] == 2
    assert rows["archive"] == 1_206
    assert all(rows[table.name] for table in TABLES if table.name not in ("archive_floors", "dictionaries"))
    total = sum(rows.values())
    assert [sum(count for what, count, _ in done if what == kind) for kind in ("copy", "verify")] == [
        total
    ] * 2
    assert {all for _, _, all in done} == {total}

    stores = await open_stores(urls[1], tmp_path)
    assert await _all(stores) == before
    assert await add_account(stores, "paris@capulet.example") > deleted, "no id is used again"
    room = await stores.rooms.load(CAVE)
    assert room is not None
    heath = await stores.rooms.create(Jid.parse("heath@rooms.example"), b"{}", {}, secret=b"", now=6)
    assert heath.id > room.id + 1, "no id is used again"
    await stores.close()


@pytest.mark.parametrize("target", ENGINES)
@pytest.mark.parametrize("source", ENGINES)
async def test_ids_are_given_from_their_ranges_where_none_was_given_yet(
    source: str, target: str, tmp_path: Path
) -> None:
    urls = [
        await empty_database() if engine == "postgres" else f"sqlite:{number}.db"
        for number, engine in enumerate((source, target))
    ]
    await (await open_stores(urls[0], tmp_path)).close()
    await _copy(urls[0], urls[1], tmp_path)
    stores = await open_stores(urls[1], tmp_path)
    assert await add_account(stores, "juliet@capulet.example") == 1
    room = await stores.rooms.create(CAVE, b"{}", {}, secret=b"", now=6)
    assert room.id == FIRST_ROOM
    await stores.close()


async def test_a_target_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    for number in (1, 2):
        stores = await open_stores(f"sqlite:{number}.db", tmp_path)
        await add_account(stores, "juliet@capulet.example")
        await stores.close()
    with pytest.raises(UserError, match=r"2.db is not empty: its table accounts has 1 row;"):
        await _copy("sqlite:1.db", "sqlite:2.db", tmp_path)
    stores = await open_stores("sqlite:2.db", tmp_path)
    assert await stores.accounts.get(JULIET) is not None
    await stores.close()


@pytest.mark.parametrize("target", ENGINES)
async def test_half_a_copy_is_not_taken_for_a_server(target: str, tmp_path: Path) -> None:
    url = await url_of(target, 2)
    stores = await open_stores("sqlite:1.db", tmp_path)
    await fill(stores)
    await stores.close()

    class Interrupted(Exception):
        pass

    def interrupt(what: str, rows: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        await _copy("sqlite:1.db", url, tmp_path, interrupt)
    with pytest.raises(UserError, match="a copy that was not finished"):
        await open_stores(url, tmp_path)


@pytest.mark.parametrize("source", ENGINES)
async def test_large_messages_are_moved_a_few_at_a_time(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await url_of(source, 1)
    stores = await open_stores(url, tmp_path)
    owner = await add_account(stores, "juliet@capulet.example")
    new = [
        NewMessage(random.randbytes(size), [NewRow(owner, 4)]) for size in (400, 700, 2_000, 100, 300, 500)
    ]
    await stores.archive.append(new)
    await stores.close()
    monkeypatch.setattr("xmppd.storage.copy._BYTES", 1_000)
    pages: list[int] = []
    await _copy(
        url, "sqlite:2.db", tmp_path, lambda what, rows, _: pages.append(rows) if what == "copy" else None
    )
    assert pages[-3:] == [2, 1, 3], "each up to the message with which it is too large"
    stores = await open_stores("sqlite:2.db", tmp_path)
    assert [row.stanza for row in await stores.archive.read(owner, Query(), limit=9)] == [
        message.stanza for message in new
    ]
    await stores.close()


async def _copy(source: str, target: str, folder: Path, progress: Progress = _nothing) -> list[Copied]:
    async with AsyncExitStack() as stack:
        come_from = await open_tables(source, folder)
        stack.push_async_callback(come_from.close)
        into = await open_tables(target, folder)
        stack.push_async_callback(into.close)
        return await copy(come_from, into, progress)


async def fill(stores: Stores) -> int:
    """Something in every aggregate; the id of the newest account, which was deleted."""
    keys = {hash_: ScramKeys(b"\0salt", 4096, b"stored", b"server") for hash_ in ScramHash}
    juliet, nurse = await stores.accounts.create([(JULIET, keys), (NURSE, {})], now=1_000.25)
    deleted = await add_account(stores, "tybalt@capulet.example")
    await stores.accounts.delete(Jid.parse("tybalt@capulet.example"))
    await stores.accounts.set_last_seen(juliet, LastSeen(2_000.5, "Ay me — «adieu»"))
    item = RosterItem(ROMEO, "Romeo", ("Friends", "Ünïcode"), Subscription.BOTH, approved=True)
    await stores.rosters.update(
        [put(juliet, item), put(nurse, RosterItem(JULIET, request=b"<presence/>", listed=False))]
    )
    await stores.blocklists.add(juliet, [NURSE], limit=0)
    await stores.private.put(juliet, [("notes", "urn:x", b"<notes xmlns='urn:x'/>")])
    await stores.vcards.put(juliet, Vcard(b"<vCard xmlns='vcard-temp'/>", "abc"))
    await stores.secrets.get("stanza-ids")
    for start in range(0, 1_205, 200):
        await stores.archive.append(
            [
                NewMessage(
                    f"<message><body>{number} ☃</body></message>".encode(),
                    [
                        NewRow(
                            juliet, peer_key(ROMEO) | 1, Kind.OWED if number % 2 else Kind.HIDDEN | Kind.OWED
                        )
                    ],
                    origin=number * 7 - 3_000,
                )
                for number in range(start, min(start + 200, 1_205))
            ]
        )
    await stores.cursors.save({juliet: Cursor(5, frozenset({7, 9}))})
    await stores.preferences.save(juliet, Preferences("roster", frozenset({ROMEO}), frozenset({NURSE})))
    await stores.preferences.set_days(juliet, 30)
    await stores.chat_lists.save(juliet, Checkpoint(5, (Conversation(peer_key(ROMEO), 5, 4, 3, 2),)))
    await _fill_rooms(stores)
    return deleted


async def _fill_rooms(stores: Stores) -> None:
    lists = {JULIET: Affiliated(Affiliation.OWNER, "Jülìet"), ROMEO: Affiliated(Affiliation.MEMBER)}
    room = await stores.rooms.create(CAVE, b'{"title":"\xe2\x98\x83"}', lists, secret=b"\0" * 16, now=3.5)
    await stores.rooms.set_subject(room.id, Subject("Fair is foul", "Jülìet", 4.25))
    await stores.rooms.set_picture(room.id, b"<vCard xmlns='vcard-temp'/>")
    changes = {ROMEO: Affiliated(Affiliation.NONE), NURSE: Affiliated(Affiliation.OUTCAST, reason="snores")}
    await stores.rooms.affiliate(room.id, changes)
    await stores.archive.append([NewMessage(b"<message/>", [NewRow(room.id, 4)])])
    gone = await stores.rooms.create(Jid.parse("heath@rooms.example"), b"{}", {}, secret=b"\0" * 16, now=5)
    await stores.rooms.destroy(gone.id)


async def _all(stores: Stores) -> dict[str, object]:
    juliet = await stores.accounts.get(JULIET)
    assert juliet is not None
    owner = juliet.id
    return {
        "accounts": await stores.accounts.list(),
        "keys": await stores.accounts.credentials(JULIET),
        "rosters": [await stores.rosters.load(each.id) for each in await stores.accounts.list()],
        "blocked": await stores.blocklists.load(owner),
        "private": await stores.private.get(owner, "notes", "urn:x"),
        "vcard": await stores.vcards.get(owner),
        "secret": await stores.secrets.get("stanza-ids"),
        "archive": await stores.archive.read(owner, Query(), limit=5_000),
        "owed": await stores.archive.owed(owner, after=0, limit=5_000),
        "waiting": await stores.cursors.load(owner, since=0, limit=5_000),
        "preferences": await stores.preferences.load(owner),
        "chats": await stores.chat_lists.load(owner),
        "rooms": await _all_of_rooms(stores),
    }


async def _all_of_rooms(stores: Stores) -> list[object]:
    room = await stores.rooms.load(CAVE)
    assert room is not None
    return [
        room,
        await stores.rooms.changed_since(room.id, 1),
        await stores.rooms.picture(room.id),
        await stores.archive.read(room.id, Query(), limit=10),
    ]
