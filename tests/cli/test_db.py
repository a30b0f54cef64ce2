"""`xmppd db`, `check` and `user` on both engines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.cli.tool import ServerProcess, call
from tests.support.postgres import empty_database
from xmppd.storage.migrations import migrations
from xmppd.storage.open import storage_name


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, site: Path) -> str:
    """A database that is not made yet; the site's configuration names it."""
    url = asyncio.run(empty_database()) if request.param == "postgres" else f"sqlite://{site}/chat.db"
    use(site, url)
    return url


def use(site: Path, url: str) -> None:
    (site / "xmppd.toml").write_text((site / "xmppd.toml").read_text() + f'\n[storage]\nurl = "{url}"\n')


def known(url: str) -> int:
    return len(migrations("postgres" if url.startswith("postgres") else "sqlite"))


def execute(url: str, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(run())


def test_from_nothing_to_up_to_date(site: Path, url: str) -> None:
    name = storage_name(url)
    result = call("db", "status")
    assert (result.status, result.err) == (0, "")
    assert result.out == f"database: {name}\nschema version: none: it is made when it is needed\n"

    planned = call("db", "migrate", "--dry-run", "--json").json
    assert (planned["database"], planned["version"], planned["applied"]) == (name, 0, [])
    assert planned["pending"][0] == {"number": 1, "name": "core"}
    assert call("db", "migrate", "--dry-run").out.startswith("would apply 0001_core, ")
    assert call("db", "status", "--json").json == {
        key: planned[key] for key in ("database", "version", "pending")
    }
    assert not (site / "data").exists(), "they only look"

    done = call("db", "migrate")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("applied 0001_core, ")
    assert done.out.endswith(f" to {name}\n")
    assert call("db", "status").out == f"database: {name}\nschema version: {known(url)}\nup to date\n"
    again = call("db", "migrate", "--json").json
    assert again == {"database": name, "version": known(url), "pending": [], "applied": []}
    assert f"{name} has schema version {known(url)} and is up to date" in call("db", "migrate").out


def test_a_migration_says_to_programs_what_it_did(site: Path, url: str) -> None:
    planned = call("db", "migrate", "--dry-run", "--json").json
    assert call("db", "migrate", "--json").json == {
        "database": storage_name(url),
        "version": known(url),
        "pending": [],
        "applied": planned["pending"],
    }


def test_while_a_server_runs(site: Path, url: str) -> None:
    with ServerProcess("serve", cwd=site) as server:
        server.ready()
        assert call("db", "status", "--json").json["version"] == known(url)
        assert call("db", "migrate").status == 0  # there is nothing to be done


def test_accounts_are_made_and_shown_without_a_server(site: Path, url: str) -> None:
    assert call("user", "add", "juliet@chat.example", "--password", "Wherefore?").status == 0
    csv = "".join(f"user{number}@chat.example,Wherefore?{number}\n" for number in range(20))
    imported = call("user", "import", "-", "--json", stdin=csv)
    assert (imported.status, imported.json["created"]) == (0, 20)
    assert call("user", "import", "-", "--json", stdin=csv).json["skipped"] == 20
    shown = call("user", "list").out.splitlines()
    assert len(shown) == 21
    assert call("user", "del", "juliet@chat.example", "--yes").status == 0
    assert call("user", "show", "juliet@chat.example").status == 1


def test_check_names_the_database_without_its_password(site: Path, url: str) -> None:
    name = storage_name(url)
    found = {each["subject"]: each for each in call("check", "--json").json}
    assert found["storage"]["text"] == f"{name} is made when it is needed"
    call("db", "migrate")
    found = {each["subject"]: each for each in call("check", "--json").json}
    assert found["storage"] == {
        "level": "ok",
        "subject": "storage",
        "text": f"{name} has schema version {known(url)}",
        "remedy": "",
    }


@pytest.mark.parametrize(
    "command", [("db", "status"), ("db", "migrate"), ("user", "list"), ("serve",), ("check",)]
)
def test_a_server_that_is_not_there(site: Path, command: tuple[str, ...]) -> None:
    use(site, "postgresql://xmppd:Montague@127.0.0.1:1/chat")
    with (site / "xmppd.toml").open("a") as file:
        file.write("wait_seconds = 0.2\n")
    result = call(*command)
    assert result.status == 1
    said = result.out + result.err
    assert "cannot open the database postgresql://xmppd@127.0.0.1:1/chat: it cannot be reached" in said
    assert "Montague" not in said
    assert "Traceback" not in said


def test_a_newer_database(site: Path) -> None:
    url = asyncio.run(empty_database())
    use(site, url)
    call("db", "migrate")
    execute(url, "UPDATE meta SET value = 99 WHERE name IN ('schema', 'compatible')")
    for command in (("db", "status"), ("db", "migrate"), ("user", "list"), ("serve",)):
        result = call(*command)
        assert result.status == 1
        assert "has schema version 99" in result.err


def test_the_database_of_another_program(site: Path) -> None:
    url = asyncio.run(empty_database())
    use(site, url)
    execute(url, "CREATE TABLE prosody (host text)")
    for command in (("db", "status"), ("db", "migrate", "--dry-run"), ("db", "migrate"), ("serve",)):
        result = call(*command)
        assert result.status == 1
        assert "belongs to another program (its tables: prosody)" in result.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://xmppd:Mon/tague@host/chat", "in a password is written %2F"),
        ("postgresql://xmppd:Mon@tague@host/chat", "%40"),
        ("postgresql://xmppd@host/chat?password=Montague&sslmod=require", "unknown option 'sslmod'"),
    ],
)
def test_a_wrong_address_is_shown_without_its_password(site: Path, url: str, said: str) -> None:
    use(site, url)
    for command in (("db", "status"), ("check",), ("serve",), ("db", "status", "--json")):
        result = call(*command)
        assert result.status == 2
        assert "storage.url" in result.out + result.err
        assert said in result.out + result.err
        for part in ("Mon", "tague"):
            assert part not in result.out + result.err


def test_in_memory_there_is_nothing_to_migrate(site: Path) -> None:
    use(site, "sqlite::memory:")
    assert "nothing to migrate" in call("db", "migrate").err
    assert call("db", "status", "--json").json["version"] == 0
