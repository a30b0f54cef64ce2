"""`xmppd db train-dictionary` on both engines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.corpus import Corpus
from tests.cli.tool import call
from tests.support.postgres import empty_database
from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, Query
from xmppd.storage.open import open_stores


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, site: Path) -> str:
    """A database that is not made yet; the site's configuration names it."""
    url = asyncio.run(empty_database()) if request.param == "postgres" else f"sqlite://{site}/chat.db"
    (site / "xmppd.toml").write_text((site / "xmppd.toml").read_text() + f'\n[storage]\nurl = "{url}"\n')
    return url


def fill(url: str, stanzas: list[bytes]) -> None:
    async def run() -> None:
        stores = await open_stores(url, Path("/"))
        jid = Jid.parse("juliet@localhost")
        account = await stores.accounts.get(jid)
        owner = account.id if account else (await stores.accounts.create([(jid, {})], now=0))[0]
        for start in range(0, len(stanzas), 400):
            rows = (NewRow(owner, 4),)
            await stores.archive.append([NewMessage(stanza, rows) for stanza in stanzas[start : start + 400]])
        await stores.close()

    asyncio.run(run())


def stored(url: str) -> list[bytes]:
    async def run() -> list[bytes]:
        stores = await open_stores(url, Path("/"))
        rows = await stores.archive.read(1, Query(), limit=10_000)
        await stores.close()
        return [row.stanza for row in rows]

    return asyncio.run(run())


def test_from_too_little_to_something_better(site: Path, url: str) -> None:
    result = call("db", "train-dictionary")
    assert result.status == 1
    assert "there is no storage" in result.err
    fill(url, [])
    result = call("db", "train-dictionary")
    assert result.status == 1
    assert "holds 0 different messages, and a dictionary needs 1000 or more" in result.err

    # People who always say the same, which no dictionary of ours knows.
    chat = [
        stanza.replace(b"<body>", b"<body>The quick brown fox of our company jumps over %d dogs: " % number)
        for number, stanza in enumerate(Corpus(9).messages(3_000))
    ]
    fill(url, chat)
    done = call("db", "train-dictionary", "--json").json
    assert done["messages"] == len(set(chat))
    assert done["number"] == 128
    assert done["after"] < done["before"] < done["plain"]

    fill(url, chat[:5])
    assert stored(url) == [*chat, *chat[:5]]
    result = call("db", "train-dictionary")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(("not stored, since it would not save enough: ", "dictionary 129 holds"))
    assert stored(url) == [*chat, *chat[:5]]
