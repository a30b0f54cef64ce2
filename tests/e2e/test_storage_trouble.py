"""When the storage fails under a running server: senders are told, nothing is acknowledged that is not durable, and
traffic goes on by itself once the cause is gone.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.support.durability.outgoing import ASK, ENABLE, NS
from tests.support.postgres import Postgres
from tests.support.process import DOMAIN, ITERATIONS, PASSWORD, ServerProcess
from tests.support.wire import Wire, Wires
from xmppd import ns
from xmppd.auth.scram import make_credentials
from xmppd.jid import Jid
from xmppd.storage.archive import Query
from xmppd.storage.open import open_stores

NAMES: Final = ("juliet", "nurse")
_ID: Final = re.compile(rb"^<message [^>]*?\bid='([^']*)'")


class Trouble(ABC):
    """``said``: what the server's log tells the operator. ``refuses``: whether senders are told to wait."""

    said: str = "messages were not stored"
    refuses: bool = True
    toml: str = ""
    url: str

    @abstractmethod
    async def prepare(self) -> None: ...

    @abstractmethod
    async def begin(self, server: ServerProcess) -> None: ...

    @abstractmethod
    async def end(self, server: ServerProcess) -> None: ...

    async def meanwhile(self) -> None:  # noqa: B027 - most do nothing
        """What goes on while messages are sent."""

    async def close(self) -> None:  # noqa: B027
        """Leave nothing behind."""


class OnSqlite(Trouble):
    def __init__(self, folder: Path) -> None:
        self.database = folder / "data" / "xmppd.db"
        self.url = f"sqlite:///{self.database}"

    async def prepare(self) -> None:
        pass


class FullDisk(OnSqlite):
    """No file may grow."""

    said = "full disks, quotas"

    async def begin(self, server: ServerProcess) -> None:
        server.limit_files(0)

    async def end(self, server: ServerProcess) -> None:
        server.limit_files(-1)


class Moved(OnSqlite):
    """The file is not where it was."""

    said = "was moved, deleted or replaced"

    async def begin(self, server: ServerProcess) -> None:
        self.database.rename(self.database.with_name("elsewhere.db"))

    async def end(self, server: ServerProcess) -> None:
        self.database.with_name("elsewhere.db").rename(self.database)


class OnPostgres(Trouble):
    wait_seconds = 1

    def __init__(self, folder: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="xmppd-trouble-"))
        self.postgres = Postgres(self.folder / "postgres", durable=True)

    async def prepare(self) -> None:
        await asyncio.to_thread(self.postgres.start)
        self.url = await asyncio.to_thread(self.postgres.create, "xmppd")
        self.toml = f'[storage]\nurl = "{self.url}"\nwait_seconds = {self.wait_seconds}\n'

    async def run(self, sql: str, database: str = "postgres") -> str:
        return await asyncio.to_thread(self.postgres.run, sql, database)

    async def end_connections(self) -> None:
        await self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'xmppd'")

    async def close(self) -> None:
        await asyncio.to_thread(self.postgres.stop, signal.SIGQUIT)
        shutil.rmtree(self.folder)


class ReadOnly(OnPostgres):
    """As on a standby, or where an operator says so."""

    said = "it is read-only"

    async def begin(self, server: ServerProcess) -> None:
        await self.run("ALTER DATABASE xmppd SET default_transaction_read_only = on")
        await self.end_connections()

    async def end(self, server: ServerProcess) -> None:
        await self.run("ALTER DATABASE xmppd RESET default_transaction_read_only")
        await self.end_connections()


class Away(OnPostgres):
    """It is stopped for longer than the server waits."""

    said = "it cannot be reached"

    async def begin(self, server: ServerProcess) -> None:
        await asyncio.to_thread(self.postgres.stop)

    async def end(self, server: ServerProcess) -> None:
        await asyncio.to_thread(self.postgres.start)


class NoSpace(OnPostgres):
    """What PostgreSQL says when a table cannot grow."""

    said = "no space is left for it"

    async def begin(self, server: ServerProcess) -> None:
        await self.run(
            "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;"
            " CREATE TRIGGER no_space BEFORE INSERT ON archive FOR EACH ROW EXECUTE FUNCTION no_space()",
            "xmppd",
        )

    async def end(self, server: ServerProcess) -> None:
        await self.run("DROP TRIGGER no_space ON archive", "xmppd")


class CutInTheMiddle(OnPostgres):
    """Connections are lost while a batch waits for a lock, several times; it is tried again on others."""

    refuses = False
    wait_seconds = 20

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._lock: asyncpg.Connection | None = None

    async def begin(self, server: ServerProcess) -> None:
        self._lock = await asyncpg.connect(self.url, server_settings={"application_name": "lock"})
        await self._lock.execute("BEGIN; LOCK TABLE archive IN EXCLUSIVE MODE")

    async def meanwhile(self) -> None:
        waiting = "FROM pg_stat_activity WHERE datname = 'xmppd' AND wait_event_type = 'Lock'"
        assert self._lock is not None
        for _ in range(3):
            for _ in range(1_000):
                if await self.run(f"SELECT pg_terminate_backend(pid) {waiting}"):
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError("no batch waits for the table: nothing was cut")
        await self._lock.close()

    async def end(self, server: ServerProcess) -> None:
        pass


@pytest.fixture(params=[FullDisk, Moved, ReadOnly, Away, NoSpace, CutInTheMiddle])
async def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Trouble]:
    trouble: Trouble = request.param(tmp_path / "server")
    await trouble.prepare()
    yield trouble
    await trouble.close()


async def send(wire: Wire, ids: list[str]) -> dict[str, str]:
    """Send messages, and wait until all are acknowledged; those that were refused, with the condition."""
    refused = {}
    for id in ids:
        wire.write(f"<message type='chat' to='nurse@{DOMAIN}' id='{id}'><body>{'x' * 500}</body></message>")
    await wire.send(ASK)
    while (got := await wire.receive()).name != "a":
        error = got.child("error")
        if got.name == "message" and error is not None:
            assert error.get("type") == "wait"
            refused[got.get("id") or ""] = next(error.elements()).name
    assert int(got.get("h") or 0) >= len(ids)
    return refused


async def stored(trouble: Trouble, folder: Path, name: str) -> Counter[str]:
    """The ids of the messages in the archive of ``name``."""
    stores = await open_stores(trouble.url, folder)
    try:
        account = await stores.accounts.get(Jid.parse(f"{name}@{DOMAIN}"))
        assert account is not None
        rows = await stores.archive.read(account.id, Query(), limit=10_000)
    finally:
        await stores.close()
    return Counter(found[1].decode() for row in rows if (found := _ID.search(row.stanza)))


async def prepare(trouble: Trouble, folder: Path) -> ServerProcess:
    """A server on that storage, with its accounts."""
    server = ServerProcess(folder / "server", toml=trouble.toml)
    server.expected.append(r'error xmppd\.\w+ [^"]*: (cannot (use|open) )?the database ')
    stores = await open_stores(trouble.url, server.folder)
    keys = make_credentials(PASSWORD, ITERATIONS)
    await stores.accounts.create([(Jid.parse(f"{name}@{DOMAIN}"), keys) for name in NAMES], now=0)
    await stores.close()
    return server


@pytest.mark.slow
async def test_what_is_acknowledged_is_stored_whatever_fails(trouble: Trouble, tmp_path: Path) -> None:
    server = await prepare(trouble, tmp_path)
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.login("juliet")
            await juliet.send(ENABLE)
            await juliet.expect(f"<enabled xmlns='{NS}' id='*' resume='true' max='*'/>")
            before = [f"before{number}" for number in range(10)]
            assert await send(juliet, before) == {}

            await trouble.begin(server)
            during = [f"during{number}" for number in range(20)]
            refused, _ = await asyncio.gather(send(juliet, during), trouble.meanwhile())
            conditions = set(refused.values())
            if trouble.refuses:
                assert conditions == {"resource-constraint"}
                await server.logged(trouble.said)
            else:
                assert conditions <= {"resource-constraint"}
            await trouble.end(server)

            after = [f"after{number}" for number in range(10)]
            for _ in range(100):
                lost = await send(juliet, after)
                if not lost:
                    break
                assert set(lost.values()) == {"resource-constraint"}
                after = [f"{id}+" for id in after]
            else:
                pytest.fail("it does not go on by itself")
    taken = {id: 1 for id in [*before, *during, *after] if id not in refused}
    for name in NAMES:
        found = await stored(trouble, server.folder, name)
        assert {id: found[id] for id in taken} == taken
        assert max(found.values()) == 1
        if trouble.refuses:
            assert not refused.keys() & found.keys()


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [Away], indirect=True)
async def test_a_client_that_logs_in_while_the_storage_goes_away(trouble: Trouble, tmp_path: Path) -> None:
    """It is told to try again, and the log does not show a bug."""
    server = await prepare(trouble, tmp_path)
    with server.running():
        async with Wires(server) as wires:
            juliet = await wires.stranger()
            await juliet.authenticate("juliet")
            await juliet.open()
            await trouble.begin(server)
            await juliet.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>")
            assert await juliet.error() == "internal-server-error"
            await server.logged("negotiation .* cannot be reached")
            await trouble.end(server)
            await wires.login("juliet")
