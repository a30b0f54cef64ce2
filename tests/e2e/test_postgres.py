"""A server on PostgreSQL: people chat, the database goes away and comes back, and nobody has to restart anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PASSWORD as DATABASE_PASSWORD
from tests.support.postgres import Postgres
from tests.support.process import DOMAIN, PASSWORD, ServerProcess
from tests.support.slix import LoginRefused, Person

WAIT = 1.0


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres(durable=True, authentication="scram-sha-256") as postgres:
        yield postgres


@pytest.fixture
def server(tmp_path: Path, postgres: Postgres) -> ServerProcess:
    url = postgres.create("chat")
    toml = f'[storage]\nurl = "{url}"\nconnections = 4\nwait_seconds = {WAIT}\n'
    server = ServerProcess(tmp_path / "server", toml=toml)
    csv = "".join(f"{name}@{DOMAIN},{PASSWORD}\n" for name in ("juliet", "romeo", "nurse"))
    done = server.run("user", "import", "-", input=csv)
    assert done.returncode == 0, done.stderr
    return server


async def send(sender: Person, to: Person, text: str) -> None:
    sender.xmpp.send_message(mto=to.bare, mbody=text, mtype="chat")


async def test_a_database_that_goes_away_and_comes_back(server: ServerProcess, postgres: Postgres) -> None:
    server.expected.append("cannot (open|use) the database")
    with server.running():
        async with Person(server, "juliet") as juliet, Person(server, "romeo") as romeo:
            await send(juliet, romeo, "one")
            assert (await romeo.next("message"))["body"] == "one"
            before = len(server.lines)

            await asyncio.to_thread(postgres.kill)
            started = time.monotonic()
            await send(juliet, romeo, "two")
            error = await juliet.next("message_error")
            assert time.monotonic() - started < 4 * WAIT
            assert (error["error"]["condition"], error["error"]["type"]) == ("resource-constraint", "wait")
            with pytest.raises(LoginRefused):
                async with Person(server, "nurse"):
                    pass
            await server.logged("no connection to the database", after=before)

            await asyncio.to_thread(postgres.start)
            await send(juliet, romeo, "three")
            assert (await romeo.next("message"))["body"] == "three"
            await server.logged("connected to the database again", after=before)
            async with Person(server, "nurse") as nurse:
                await send(nurse, juliet, "four")
                assert (await juliet.next("message"))["body"] == "four"

            await asyncio.to_thread(postgres.restart)  # what is asked meanwhile waits
            await send(juliet, romeo, "five")
            assert (await romeo.next("message"))["body"] == "five"
        log = "\n".join(server.lines)
        assert DATABASE_PASSWORD not in log
        assert "battery" not in log


async def test_commands_beside_and_without_the_server(server: ServerProcess, postgres: Postgres) -> None:
    def command(*arguments: str) -> str:
        done = server.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with server.running():
        command("user", "add", f"tybalt@{DOMAIN}", "--password", PASSWORD)
        async with Person(server, "tybalt"):
            pass
        assert "up to date" in command("db", "status")
        assert command("check", "--json").count('"storage"') == 1
    assert len(command("user", "list").split()) == 4
    command("user", "del", f"tybalt@{DOMAIN}", "--yes")
    with server.running():
        with pytest.raises(LoginRefused):
            async with Person(server, "tybalt"):
                pass
