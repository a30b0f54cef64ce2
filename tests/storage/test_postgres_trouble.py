"""When the server goes away, or something is wrong with it: the error says what, where and how, nothing hangs, nothing
is doubled, and all is well when the cause is gone.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import pytest
import pytest_asyncio

from tests.storage.parts import add_account
from tests.support.postgres import PASSWORD, Postgres
from tests.support.proxy import Proxy
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow
from xmppd.storage.interfaces import NoSuchAccount, RosterChange, RosterItem, StorageUnavailable, Stores
from xmppd.storage.open import open_stores, postgres_url
from xmppd.storage.postgres import pool
from xmppd.storage.postgres.connection import Connection
from xmppd.storage.postgres.database import Database

BASE = Path("/")
WAIT = 1.0  # seconds; enough to connect on a busy machine
JULIET = Jid.parse("juliet@capulet.example")
ROMEO = Jid.parse("romeo@montague.example")
COMMIT = b"COMMIT\0"  # as asyncpg sends it
_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
GOODBYE = b"E" + (len(_FIELDS) + 4).to_bytes(4, "big") + _FIELDS  # ErrorResponse
_WARNING = b"SWARNING\0VWARNING\0C01000\0Mthe end is near\0\0"
WARNING = b"N" + (len(_WARNING) + 4).to_bytes(4, "big") + _WARNING  # NoticeResponse


@pytest_asyncio.fixture
async def proxy(server: Postgres) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as proxy:
        yield proxy


class Opener(Protocol):
    async def __call__(
        self, url: str, *, wait: float = 10.0, statement: float = 10.0, connections: int = 10
    ) -> Stores: ...


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[Opener]:
    """Opens the storage at an address; what it opened is closed at the end."""
    every: list[Stores] = []

    async def opened(
        url: str, *, wait: float = 10.0, statement: float = 10.0, connections: int = 10
    ) -> Stores:
        stores = await open_stores(
            url, BASE, wait_seconds=wait, statement_seconds=statement, connections=connections
        )
        every.append(stores)
        return stores

    yield opened
    for stores in every:
        await stores.close()


async def add(stores: Stores, owner: int, text: str) -> int:
    """A change that shows if it happens twice: one more group of one contact; the roster's version behind it."""

    def change(before: RosterItem | None) -> RosterItem:
        before = before or RosterItem(ROMEO)
        return replace(before, groups=(*before.groups, text))

    (update,) = await stores.rosters.update([RosterChange(owner, ROMEO, change)])
    return update.version


async def version(stores: Stores, owner: int) -> int:
    return (await stores.rosters.load(owner)).version


async def stored(stores: Stores, owner: int) -> list[str]:
    roster = await stores.rosters.load(owner)
    groups = list(roster.items[ROMEO].groups) if roster.items else []
    assert roster.version == len(groups)
    return groups


# ---- away, and back


async def test_a_server_that_stops_and_comes_back(opened: Opener, server: Postgres, url: str) -> None:
    stores = await opened(url, wait=WAIT)
    owner = await add_account(stores, str(JULIET))
    await add(stores, owner, "before")
    server.stop()
    started = time.monotonic()
    results = await asyncio.gather(
        stores.rosters.load(owner),
        stores.accounts.get(JULIET),
        *(add(stores, owner, "lost") for _ in range(50)),
        stores.accounts.delete(JULIET),
        return_exceptions=True,
    )
    assert time.monotonic() - started < 3
    for error in results:
        assert isinstance(error, StorageUnavailable)
        for said in (f"127.0.0.1:{server.port}/trouble", "cannot be reached", "see that the server runs"):
            assert said in str(error)
        assert PASSWORD not in str(error)
        assert "battery" not in str(error)
    server.start()
    await add(stores, owner, "after")
    assert await stored(stores, owner) == ["before", "after"]


@pytest.mark.parametrize("how", ["stop", "immediate", "kill"])
async def test_what_is_asked_while_it_restarts_is_done_once(
    opened: Opener, server: Postgres, url: str, how: str
) -> None:
    """Nobody notices more than a delay, and nothing that was answered is missing or there twice."""
    stores = await opened(url, wait=20)
    owners = [await add_account(stores, f"user{number}@capulet.example") for number in range(5)]
    going = True

    async def write(writer: int) -> int:
        number = 0
        while going:
            await add(stores, owners[writer % 5], f"{writer}.{number}")
            number += 1
        return number

    writers = [asyncio.create_task(write(writer)) for writer in range(10)]
    while await version(stores, owners[0]) < 20:
        pass
    if how == "kill":
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    else:
        await asyncio.to_thread(server.restart, signal.SIGQUIT if how == "immediate" else signal.SIGINT)
    before = await version(stores, owners[0])
    while await version(stores, owners[0]) < before + 20:
        pass
    going = False
    numbers = await asyncio.gather(*writers)
    for index, owner in enumerate(owners):
        found = await stored(stores, owner)
        for writer in (index, index + 5):
            mine = [text for text in found if text.startswith(f"{writer}.")]
            assert mine == [f"{writer}.{number}" for number in range(numbers[writer])]


async def test_a_connection_that_the_server_ends(opened: Opener, server: Postgres, url: str) -> None:
    stores = await opened(url)
    owner = await add_account(stores, str(JULIET))
    for _ in range(3):
        await asyncio.gather(*(stores.rosters.load(owner) for _ in range(10)))
        server.run(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'xmppd'"
        )
        results = await asyncio.gather(add(stores, owner, "x"), *(version(stores, owner) for _ in range(10)))
        assert all(isinstance(result, int) for result in results)
    assert await stored(stores, owner) == ["x"] * 3


async def test_a_connection_that_is_ended_in_the_middle_of_a_transaction(
    opened: Opener, server: Postgres, url: str
) -> None:
    stores = await opened(url)
    owner = await add_account(stores, str(JULIET))
    await add(stores, owner, "1")
    intruder, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
    async with intruder.transaction():
        await intruder.execute("SELECT 1 FROM accounts FOR UPDATE")
        append = asyncio.create_task(add(stores, owner, "2"))
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'xmppd' AND wait_event_type = 'Lock'"
        )
        while not (pid := await watcher.fetchval(waiting)):
            pass
        assert await watcher.fetchval("SELECT pg_terminate_backend($1)", pid)
        while await watcher.fetchval(waiting) in (None, pid):  # it tries again, and waits again
            pass
    assert await append == 2
    assert await stored(stores, owner) == ["1", "2"]
    await intruder.close()
    await watcher.close()


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """What the server warns of, on any connection that is made from now on."""
    warned: asyncio.Queue[str] = asyncio.Queue()
    make = asyncpg.connect

    async def connect(*args: Any, **options: Any) -> asyncpg.Connection:
        connection = await make(*args, **options)
        connection.add_log_listener(lambda _, message: warned.put_nowait(message.message))
        return connection

    monkeypatch.setattr(asyncpg, "connect", connect)
    return warned


async def test_a_server_that_says_goodbye_before_it_is_gone(
    opened: Opener, proxy: Proxy, server: Postgres, url: str, warned: asyncio.Queue[str]
) -> None:
    """What is asked in the moment between is asked again on another connection."""

    async def say_goodbye() -> None:
        """To everybody; back when it is heard: nothing tells of that, but of a warning in the same packet."""
        for _ in range(proxy.say(WARNING + GOODBYE)):
            await warned.get()

    stores = await opened(url.replace(f":{server.port}/", f":{proxy.port}/"))
    owner = await add_account(stores, str(JULIET))
    message = NewMessage(b"<message/>", [NewRow(owner, 0)])
    (first,) = await stores.archive.append([message])
    await say_goodbye()
    assert await version(stores, owner) == 0
    (second,) = await stores.archive.append([message])
    assert second.places[0].prev == first.places[0].id
    await say_goodbye()
    assert await add(stores, owner, "1") == 1
    assert await stored(stores, owner) == ["1"]


@pytest.mark.parametrize("answered", [True, False])
async def test_a_connection_cut_around_commit(
    opened: Opener, proxy: Proxy, server: Postgres, url: str, answered: bool
) -> None:
    """Whether or not the server had got it: it has happened once when the answer comes."""
    stores = await opened(url.replace(f":{server.port}/", f":{proxy.port}/"))
    owner = await add_account(stores, str(JULIET))
    for number in range(1, 6):
        proxy.cut_at(COMMIT, answered=answered)
        assert await add(stores, owner, str(number)) == number
        assert proxy.cuts == number
    assert await stored(stores, owner) == ["1", "2", "3", "4", "5"]
    proxy.cut_at(COMMIT, answered=answered)
    await stores.accounts.delete(JULIET)  # a second attempt would find no such account
    with pytest.raises(NoSuchAccount):
        await stores.accounts.delete(JULIET)


async def test_a_server_that_stays_away_after_commit(
    opened: Opener, proxy: Proxy, server: Postgres, url: str
) -> None:
    """The one case in which nobody can know; the error says so."""
    stores = await opened(url.replace(f":{server.port}/", f":{proxy.port}/"), wait=WAIT)
    owner = await add_account(stores, str(JULIET))
    proxy.cut_at(COMMIT, answered=True, refuse=True)
    with pytest.raises(StorageUnavailable, match=r"while a change was being committed.*could not be asked"):
        await add(stores, owner, "x")
    proxy.refusing = False
    assert await stored(stores, owner) == ["x"]


async def test_a_server_that_does_not_answer(opened: Opener, server: Postgres, url: str) -> None:
    stores = await opened(url, wait=WAIT, statement=0.5)
    owner = await add_account(stores, str(JULIET))
    server.freeze()
    try:
        started = time.monotonic()
        results = await asyncio.gather(
            stores.accounts.get(JULIET),
            add(stores, owner, "x"),
            *(version(stores, owner) for _ in range(30)),
            return_exceptions=True,
        )
        assert time.monotonic() - started < 5
        assert {type(result) for result in results} == {StorageUnavailable}
        assert "does not answer" in str(results[0])
    finally:
        server.thaw()
    assert await stored(stores, owner) == []


async def test_a_connection_that_a_firewall_forgot(
    opened: Opener, proxy: Proxy, server: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked before it is used again; without that, each use would take until the time is up."""
    stores = await opened(url.replace(f":{server.port}/", f":{proxy.port}/"), statement=30)
    owner = await add_account(stores, str(JULIET))
    await asyncio.gather(*(version(stores, owner) for _ in range(5)))
    monkeypatch.setattr(pool, "_STALE", 0.0)
    monkeypatch.setattr(pool, "_ANSWER", 0.2)
    proxy.forget()
    started = time.monotonic()
    assert await add(stores, owner, "x") == 1
    assert await stored(stores, owner) == ["x"]
    assert time.monotonic() - started < 15


async def test_more_operations_than_may_wait(server: Postgres, url: str) -> None:
    database = await Database.open(postgres_url(url), queue_limit=10)

    async def work(connection: Connection) -> object:
        return await connection.fetchval("SELECT 1")

    for _ in range(2):
        reads = [database.read(work) for _ in range(10)]
        with pytest.raises(StorageUnavailable, match="overloaded: 10 operations wait"):
            await database.read(work)
        assert await asyncio.gather(*reads) == [1] * 10
    await database.close()


async def test_closing_while_the_server_is_away_ends_within_the_bound(
    opened: Opener, server: Postgres, url: str
) -> None:
    stores = await opened(url, wait=WAIT)
    owner = await add_account(stores, str(JULIET))
    server.stop()
    appends = [asyncio.create_task(add(stores, owner, "x")) for _ in range(50)]
    await asyncio.sleep(0)
    started = time.monotonic()
    await stores.close()
    assert time.monotonic() - started < 3
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(result) for result in results} == {StorageUnavailable}


# ---- busy, full, read-only


async def test_a_statement_that_takes_too_long(opened: Opener, server: Postgres, url: str) -> None:
    stores = await opened(url, statement=0.5)
    owner = await add_account(stores, str(JULIET))
    await add(stores, owner, "1")
    intruder = await asyncpg.connect(url)
    async with intruder.transaction():
        await intruder.execute("SELECT 1 FROM accounts FOR UPDATE")
        with pytest.raises(
            StorageUnavailable, match=r"took too long.*57014.*pg_stat_activity.*statement_seconds"
        ):
            await add(stores, owner, "2")
    assert await add(stores, owner, "3") == 2
    await intruder.close()


FAILURES = {
    "53100": ("no space is left for it", "free space on the server's disks"),
    "53200": ("no memory left", r"lower \[storage\] connections"),
    "53400": ("limit of the server's configuration", "raise it there"),
    "54000": ("a limit of the server", "server's log"),
    "57014": ("took too long", "statement_seconds"),
    "58030": ("operating system failed it", "its disks"),
    "XX001": ("data are damaged", "bring back a backup"),
    "26000": ("prepared statement is missing", "pool_mode = session"),
    "42501": ("no right to do that", "OWNER TO"),
}


@pytest.mark.parametrize("state", FAILURES)
async def test_what_the_server_may_say(opened: Opener, url: str, state: str) -> None:
    """A trigger says it, so that it comes where the server would."""
    stores = await opened(url)
    owner = await add_account(stores, str(JULIET))
    admin = await asyncpg.connect(url)
    await admin.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as said'"
        f" USING ERRCODE = '{state}', HINT = 'a hint', DETAIL = 'what a user wrote'; END $$;"
        "CREATE TRIGGER fail BEFORE INSERT ON roster_versions FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    cause, remedy = FAILURES[state]
    said = rf"cannot use the database .*{cause}.*: as said \(SQLSTATE {state}\); .*{remedy}"
    with pytest.raises(StorageUnavailable, match=said) as caught:
        await add(stores, owner, "x")
    assert "what a user wrote" not in str(caught.value)
    assert await stored(stores, owner) == []
    await admin.execute("DROP TRIGGER fail ON roster_versions")
    assert await add(stores, owner, "y") == 1
    await admin.close()


async def test_a_mistake_of_the_program_is_not_taken_for_trouble(url: str) -> None:
    database = await Database.open(postgres_url(url))

    async def work(connection: Connection) -> object:
        return await connection.fetchval("SELECT 1 / $1::int", 0)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.read(work)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.write(work)
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await database.read(lambda connection: connection.execute("SELEKT"))
    await database.close()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_another_isolation_level_is_no_trouble(
    opened: Opener, server: Postgres, url: str, level: str
) -> None:
    server.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_isolation = '{level}'")
    nodes = [await opened(url) for _ in range(2)]
    owner = await add_account(nodes[0], str(JULIET))
    await asyncio.gather(*(add(nodes[number % 2], owner, f"{number}") for number in range(40)))
    assert sorted(await stored(nodes[0], owner), key=int) == [str(number) for number in range(40)]


async def test_all_connections_in_use(opened: Opener, server: Postgres, url: str) -> None:
    stores = await opened(url, wait=WAIT, connections=1)
    owner, other = [await add_account(stores, str(jid)) for jid in (JULIET, ROMEO)]
    await add(stores, owner, "1")
    intruder = await asyncpg.connect(url)
    async with intruder.transaction():
        await intruder.execute("SELECT 1 FROM accounts FOR UPDATE")
        append = asyncio.create_task(add(stores, owner, "2"))
        await asyncio.sleep(0)
        with pytest.raises(
            StorageUnavailable, match=r"all 1 connections are in use.*\[storage\] connections"
        ):
            await version(stores, other)
    assert await append == 2
    await intruder.close()


async def test_a_server_without_a_free_connection(opened: Opener, server: Postgres, url: str) -> None:
    server.run(
        "DROP ROLE IF EXISTS few; CREATE ROLE few LOGIN CONNECTION LIMIT 1 PASSWORD 'correct horse & battery'"
    )
    server.run(f"ALTER DATABASE {url.rpartition('/')[2]} OWNER TO few")
    theirs = url.replace("//xmppd:", "//few:")
    stores = await opened(theirs)
    with pytest.raises(StorageUnavailable, match=r"no connection left.*53300.*max_connections"):
        await opened(theirs, wait=WAIT)
    owner = await add_account(stores, str(JULIET))
    counts = await asyncio.gather(*(version(stores, owner) for _ in range(20)))  # with the one there is
    assert counts == [0] * 20
    server.run(f"ALTER DATABASE {url.rpartition('/')[2]} OWNER TO xmppd")


async def test_a_database_that_becomes_read_only(opened: Opener, server: Postgres, url: str) -> None:
    stores = await opened(url)
    owner = await add_account(stores, str(JULIET))
    name = url.rpartition("/")[2]
    server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    server.run(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'xmppd'"
    )
    with pytest.raises(StorageUnavailable, match=r"read-only.*25006.*standby"):
        await add(stores, owner, "x")
    assert await stored(stores, owner) == []  # reading goes on
    with pytest.raises(StorageUnavailable, match="read-only"):
        await opened(url)
    server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    await add(stores, owner, "x")
    assert await stored(stores, owner) == ["x"]
