"""Opening a PostgreSQL storage that cannot be opened: the error says what, where and how, and holds no password."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.postgres import PASSWORD, Postgres
from xmppd.errors import UserError
from xmppd.storage.open import open_stores

BASE = Path("/")
WAIT = 1.0  # seconds; enough to connect on a busy machine


async def opens(url: str, *, wait: float = 10.0) -> None:
    await (await open_stores(url, BASE, wait_seconds=wait)).close()


async def opening_fails(url: str, *said: str, wait: float = 5.0) -> None:
    with pytest.raises(UserError) as caught:
        await open_stores(url, BASE, wait_seconds=wait)
    for text in said:
        assert text in str(caught.value)
    assert "correct" not in str(caught.value).replace("correct it", ""), "no password in it"


async def test_a_wrong_password(server: Postgres, url: str) -> None:
    await opening_fails(
        url.replace("//xmppd:correct", "//xmppd:incorrect"),
        f"xmppd@127.0.0.1:{server.port}",
        "28P01",
        "~/.pgpass",
    )


async def test_a_user_that_does_not_exist(url: str) -> None:
    await opening_fails(url.replace("//xmppd:", "//nobody:"), "nobody@127.0.0.1", "wrong user or password")


async def test_no_such_database(url: str) -> None:
    await opening_fails(url + "0", "3D000", "there is no such database", "createdb")


async def test_nobody_listens(url: str, server: Postgres) -> None:
    await opening_fails(
        url.replace(f":{server.port}/", ":1/"), "127.0.0.1:1/", "cannot be reached", "[storage] url", wait=0.3
    )


async def test_no_socket(tmp_path: Path) -> None:
    await opening_fails(
        f"postgresql:///xmppd?host={tmp_path}", f"host={tmp_path}", "cannot be reached", wait=0.3
    )


async def test_a_server_that_wants_no_tls_or_has_none(url: str) -> None:
    await opening_fails(f"{url}?sslmode=require", "cannot be reached", "SSL", wait=WAIT)


async def test_a_user_who_may_make_no_tables(server: Postgres, url: str) -> None:
    server.run("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'correct horse & battery'")
    # Up to PostgreSQL 14 everybody may.
    server.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", url.rpartition("/")[2])
    await opening_fails(url.replace("//xmppd:", "//poor:"), "42501", "owner of the database")


async def test_a_database_without_a_schema(server: Postgres, url: str) -> None:
    server.run("DROP SCHEMA public", url.rpartition("/")[2])
    await opening_fails(url, "no schema to put tables in", "CREATE SCHEMA public")


async def test_an_encoding_that_cannot_hold_every_name(server: Postgres) -> None:
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    await opening_fails(server.url("latin"), "LATIN1", "ENCODING 'UTF8' TEMPLATE template0")


async def test_a_server_that_starts_is_waited_for(server: Postgres, url: str) -> None:
    server.stop()
    opening = asyncio.create_task(opens(url, wait=20))
    await asyncio.to_thread(server.start)
    await opening


async def test_the_password_may_come_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    bare = "postgresql://xmppd@" + url.rpartition("@")[2]
    await opens(bare)


async def test_the_password_may_come_from_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:*:*:xmppd:{PASSWORD}\n")
    file.chmod(0o600)
    bare = "postgresql://xmppd@" + url.rpartition("@")[2]
    await opens(f"{bare}?passfile={file}")
