"""`xmppd user del` on both engines: nothing of the account stays in the database, and nobody else loses anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cli.test_db import use
from tests.cli.tool import ServerProcess, call
from tests.storage.test_copy import fill
from tests.support.postgres import empty_database
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, peer_key
from xmppd.storage.open import open_stores, open_tables
from xmppd.storage.tables import TABLES, Values

JULIET, NURSE = "juliet@capulet.example", "nürse@capulet.example"
OWNED = [table for table in TABLES if table.names[0] == "owner"]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, site: Path) -> str:
    """A database with something of Juliet in every table; the site's configuration names it."""
    url = asyncio.run(empty_database()) if request.param == "postgres" else f"sqlite://{site}/chat.db"
    toml = (site / "xmppd.toml").read_text().replace("other.example", "capulet.example")
    (site / "xmppd.toml").write_text(toml)
    use(site, url)
    asyncio.run(_fill(url))
    return url


async def _fill(url: str) -> None:
    stores = await open_stores(url, Path("/"))
    await fill(stores)
    nurse = await stores.accounts.get(Jid.parse(NURSE))
    assert nurse is not None
    message = NewMessage(
        b"<message><body>Anon</body></message>", [NewRow(nurse.id, peer_key(Jid.parse(JULIET)))]
    )
    await stores.archive.append([message])
    await stores.close()


def rows(url: str) -> dict[str, list[Values]]:
    """Of each table that belongs to accounts, every row; the first value is the owner."""

    async def run() -> dict[str, list[Values]]:
        tables = await open_tables(url, Path("/"))
        found = {table.name: await tables.read(table, None, limit=100_000) for table in OWNED}
        await tables.close()
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("running", [False, True], ids=["alone", "server"])
def test_nothing_stays_of_a_deleted_account(site: Path, url: str, running: bool) -> None:
    before = rows(url)
    juliet = before["vcards"][0][0]
    theirs = {name: [row for row in found if row[0] != juliet] for name, found in before.items()}
    gone = {name for name, found in before.items() if len(found) > len(theirs[name])}
    assert gone >= {
        "archive",
        "archive_cursors",
        "archive_preferences",
        "chat_lists",
        "roster_items",
        "blocked",
    }
    assert theirs["archive"]
    if running:
        with ServerProcess("serve", cwd=site) as server:
            server.ready()
            assert call("user", "del", JULIET, "--yes").out == f"deleted {JULIET}\n"
    else:
        assert call("user", "del", JULIET, "--yes").out == f"deleted {JULIET}\n"
    after = rows(url)
    # Rooms know that she was there, as they know of anybody who is nothing to them any more (XEP-0463).
    lists = {row[:4] for row in after.pop("room_affiliations")}
    assert lists == {
        (*row[:2], 0, "") if row[1] == JULIET else row[:4] for row in theirs.pop("room_affiliations")
    }
    assert after == theirs
    assert call("user", "list").out == f"{NURSE}\n"
