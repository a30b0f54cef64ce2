"""The control socket, below the command line: what crosses it, and what it stands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.clock import EPOCH, ManualClock
from xmppd.accounts import AccountDetails, AccountEvents, Accounts, AccountService, NotServed
from xmppd.auth.scram import make_credentials
from xmppd.control import ControlClient, ControlServer, Status
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.rooms import RoomDesk
from xmppd.storage.archive import Preferences
from xmppd.storage.interfaces import (
    AccountExists,
    AccountRecord,
    Credentials,
    LastSeen,
    NoSuchAccount,
    StorageUnavailable,
    Stores,
)
from xmppd.storage.open import open_stores

JULIET, ROMEO = Jid.parse("juliet@c.lit"), Jid.parse("romeo@c.lit")
KEYS = make_credentials("secret", 1)
STATUS = Status(pid=7, version="1.2.3", listening={"c2s": ["127.0.0.1:5222"]})


class Events(AccountEvents):
    """Writes down what a server would have been told, and what the storage held at that time."""

    def __init__(self, stores: Stores) -> None:
        self.told: list[tuple[str, Jid, bool]] = []
        self._stores = stores

    async def _tell(self, what: str, jid: Jid) -> None:
        self.told.append((what, jid, await self._stores.accounts.get(jid) is not None))

    async def on_changed(self, jid: Jid, asker: object) -> None:
        await self._tell("changed", jid)

    async def on_deleting(self, account: AccountRecord, asker: object) -> None:
        await self._tell("deleting", account.jid)

    async def on_deleted(self, jid: Jid, asker: object) -> None:
        await self._tell("deleted", jid)


class Site:
    def __init__(
        self, stores: Stores, events: Events, service: AccountService, client: ControlClient
    ) -> None:
        self.stores = stores
        self.events = events
        self.service = service
        self.client = client


async def hash_cheaply(password: str) -> Credentials:
    return make_credentials(password, 1)


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    stores = await open_stores("sqlite::memory:", tmp_path)
    events = Events(stores)

    async def waiting(owner: int) -> int:
        return 7

    service = AccountService(
        stores, [Jid.parse("c.lit")], hash_cheaply, events, ManualClock(), waiting=waiting
    )
    server = ControlServer(tmp_path, service, RoomDesk(), lambda: STATUS)
    await server.start()
    client = await ControlClient.connect(tmp_path)
    assert client is not None
    yield Site(stores, events, service, client)
    await client.close()
    await server.close()
    await stores.close()
    assert list(tmp_path.iterdir()) == []


async def test_both_ends_are_the_same(site: Site) -> None:
    """What the service answers is what arrives at the other end of the socket."""
    await site.client.create_many([(JULIET, KEYS), (ROMEO, KEYS)])
    assert await site.stores.accounts.credentials(JULIET) == KEYS
    record = await site.stores.accounts.get(JULIET)
    assert record is not None
    assert record.created == EPOCH
    await site.stores.accounts.set_last_seen(record.id, LastSeen(EPOCH + 5.25, "gönne"))
    for accounts in (site.client, site.service):
        assert await accounts.existing([JULIET, Jid.parse("x@c.lit")]) == {JULIET}
        assert await accounts.show(JULIET) == AccountDetails(
            AccountRecord(record.id, JULIET, EPOCH, LastSeen(EPOCH + 5.25, "gönne")), 0, 7, None
        )
        assert [one.jid for one in await accounts.list()] == [JULIET, ROMEO]
        assert [
            one.jid for one in await accounts.list(domain="c.lit", contains="o", after=JULIET, limit=1)
        ] == [ROMEO]
        assert await accounts.list(domain="d.lit") == []
    assert await site.client.status() == STATUS


async def test_the_server_is_told_in_order_and_before_the_answer(site: Site) -> None:
    await site.client.create_many([(JULIET, KEYS)])
    assert site.events.told == []
    await site.client.set_credentials(JULIET, make_credentials("new", 1))
    assert site.events.told == [("changed", JULIET, True)]
    await site.client.delete(JULIET)
    assert site.events.told[1:] == [("deleting", JULIET, True), ("deleted", JULIET, False)]


async def test_how_long_messages_are_kept_is_all_that_changes(site: Site) -> None:
    await site.client.create_many([(JULIET, KEYS)])
    record = await site.stores.accounts.get(JULIET)
    assert record is not None
    await site.stores.preferences.save(record.id, Preferences("never", frozenset([ROMEO])))
    for days in (7, None):
        await site.client.set_retention(JULIET, days)
        assert (await site.client.show(JULIET)).retention_days == days
        assert await site.stores.preferences.load(record.id) == Preferences(
            "never", frozenset([ROMEO]), days=days
        )
    assert site.events.told == []


async def test_passwords_are_hashed_for_those_who_have_one(site: Site) -> None:
    await site.service.create(JULIET, "secret")
    before = await site.stores.accounts.credentials(JULIET)
    await site.service.set_password(JULIET, "new")
    assert await site.stores.accounts.credentials(JULIET) != before
    with pytest.raises(AccountExists):
        await site.service.create(JULIET, "secret")


@pytest.mark.parametrize("end", ["client", "service"])
async def test_errors_are_the_same_at_both_ends(site: Site, end: str) -> None:
    accounts: Accounts = site.client if end == "client" else site.service
    await accounts.create_many([(JULIET, KEYS)])
    with pytest.raises(AccountExists, match=r"^juliet@c\.lit$"):
        await accounts.create_many([(ROMEO, KEYS), (JULIET, KEYS)])
    assert await accounts.existing([ROMEO]) == frozenset()
    for wrong in ("a@d.lit", "c.lit", "a@c.lit/home"):
        with pytest.raises(NotServed, match=r"the domains of this server are c\.lit"):
            await accounts.create_many([(Jid.parse(wrong), KEYS)])
    for call in (
        accounts.show(ROMEO),
        accounts.delete(ROMEO),
        accounts.set_credentials(ROMEO, KEYS),
        accounts.set_retention(ROMEO, 1),
    ):
        with pytest.raises(NoSuchAccount, match=r"^romeo@c\.lit$"):
            await call
    assert site.events.told == []


async def test_a_storage_that_fails_is_told_and_a_bug_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error: Exception = StorageUnavailable("the disk is full")

    async def fail(_: Sequence[Jid]) -> frozenset[Jid]:
        raise error

    monkeypatch.setattr(site.service, "existing", fail)
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        await site.client.existing([])
    assert caplog.records == []
    error = RuntimeError("a secret")
    with pytest.raises(UserError, match=r"^the server failed; its log says how$"):
        await site.client.existing([])
    assert caplog.records[0].message == "control request failed: Existing"
    assert await site.client.status() == STATUS


async def talk(folder: Path, data: bytes) -> list[Any]:
    reader, writer = await asyncio.open_unix_connection(folder / "control.sock")
    writer.write(data)
    writer.write_eof()
    answers = [json.loads(line) for line in (await reader.read()).splitlines()]
    writer.close()
    await writer.wait_closed()
    return answers


async def test_requests_on_one_connection_are_answered_in_order(site: Site, tmp_path: Path) -> None:
    answers = await talk(tmp_path, b'{"op":"status"}\n{"op":"existing","jids":[]}\n')
    assert answers[0]["result"]["version"] == "1.2.3"
    assert answers[1] == {"result": []}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b'{"op":"reboot"}\n',
        b'{"op":"show"}\n',
        b'{"op":"show","jid":"@"}\n',
        b"\xff\n",
    ],
)
async def test_what_is_no_request_is_told_so(site: Site, tmp_path: Path, line: bytes) -> None:
    answers = await talk(tmp_path, line + b'{"op":"status"}\n')
    assert answers[0]["error"]["code"] == "bad-request"
    assert "of the same version?" in answers[0]["error"]["message"]
    assert answers[1]["result"]["version"] == "1.2.3"


async def test_a_line_without_end_is_not_kept_for_ever(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmppd.control.server.LINE_LIMIT", 1000)
    other = tmp_path / "other"
    other.mkdir()
    server = ControlServer(other, site.service, RoomDesk(), lambda: STATUS)
    await server.start()
    assert await talk(other, b"x" * 5000) == []
    await server.close()
    other.rmdir()


async def test_closing_the_server_ends_connections(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    server = ControlServer(other, site.service, RoomDesk(), lambda: STATUS)
    await server.start()
    client = await ControlClient.connect(other)
    assert client is not None
    await client.status()
    await server.close()
    with pytest.raises(UserError, match="the server closed the connection"):
        await client.status()
    await client.close()
    assert await ControlClient.connect(other) is None
    other.rmdir()


async def test_nobody_is_there(tmp_path: Path) -> None:
    assert await ControlClient.connect(tmp_path) is None
    assert await ControlClient.connect(tmp_path / "gone") is None
    (tmp_path / "control.sock").write_text("no socket")
    assert await ControlClient.connect(tmp_path) is None
