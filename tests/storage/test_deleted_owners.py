"""A batch may hold a message to somebody whose account is deleted before it is committed. It is deleted, too, later."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.storage.parts import add_account
from tests.support.postgres import fresh_database
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, Query
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores

JULIET = "juliet@capulet.example"
HOUR = 3_600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_what_comes_for_an_owner_who_is_gone_is_deleted_some_time_later(
    engine: str, tmp_path: Path
) -> None:
    url = await fresh_database() if engine == "postgres" else "sqlite:xmppd.db"
    clock = Clock()
    stores = await open_stores(url, tmp_path, clock=clock)

    async def pass_by(seconds: float) -> None:
        clock.now += seconds
        if engine == "postgres":
            connection = await asyncpg.connect(url)
            await connection.execute("UPDATE deleted_owners SET at = at - $1::double precision", seconds)
            await connection.close()
        await stores.maintain()

    owners = [await add_account(stores, address) for address in (JULIET, "romeo@montague.example")]
    await stores.accounts.delete(Jid.parse(JULIET))
    message = NewMessage(b"<message/>", [NewRow(owner, 4) for owner in owners])
    await stores.archive.append([message])
    await pass_by(HOUR - 60)
    assert [await rows(stores, owner) for owner in owners] == [1, 1], "more may come"
    await stores.archive.append([message])
    await pass_by(120)
    assert [await rows(stores, owner) for owner in owners] == [0, 2]
    await stores.archive.append([message])
    await pass_by(2 * HOUR)
    assert [await rows(stores, owner) for owner in owners] == [1, 3], "it is looked for once"
    await stores.close()


async def rows(stores: Stores, owner: int) -> int:
    return await stores.archive.count(owner, Query())
