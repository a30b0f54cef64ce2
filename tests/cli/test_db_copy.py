"""`xmppd db copy`: a server moves to another database, and nobody who uses it notices."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import asyncpg
import pytest

from tests.cli.test_db import execute, use
from tests.cli.test_user import refused
from tests.cli.tool import SECONDS, ServerProcess, call, logged_in, program
from tests.support.postgres import empty_database
from xmppd.storage.open import storage_name
from xmppd.storage.tables import TABLES

JULIET, ROMEO = "juliet@chat.example", "romeo@chat.example"
ENGINES = ("sqlite", "postgres")


def url_of(engine: str, site: Path, name: str) -> str:
    return asyncio.run(empty_database()) if engine == "postgres" else f"sqlite://{site}/{name}.db"


def move(site: Path, target: str) -> None:
    """Name ``target`` in the configuration, in place of what is there."""
    text = (site / "xmppd.toml").read_text()
    (site / "xmppd.toml").write_text(re.sub(r'(?m)^url = ".*"$', lambda _: f'url = "{target}"', text))


def talk(address: tuple[str, int], *bodies: str) -> None:
    """Romeo writes to Juliet; when it returns, she has it in her history."""
    with logged_in(address, ROMEO, "secret") as romeo:
        for number, body in enumerate(bodies):
            romeo.ask(
                f"<message to='{JULIET}' type='chat' id='m{number}'><body>{body}</body></message>"
                f"<iq type='get' id='p{number}'><ping xmlns='urn:xmpp:ping'/></iq>",
                f"p{number}",
            )


def history(address: tuple[str, int], jid: str) -> list[tuple[str, str]]:
    """The stanza-id and text of each message in the history, as the client of ``jid`` is shown it."""
    with logged_in(address, jid, "secret") as client:
        shown = client.ask("<iq type='set' id='h'><query xmlns='urn:xmpp:mam:2'/></iq>", "</fin></iq>")
    return re.findall(r"<result [^>]*\bid='([^']+)'.*?<body>(.*?)</body>", shown)


def people(site: Path, url: str) -> None:
    use(site, url)
    for jid in (JULIET, ROMEO):
        assert call("user", "add", jid, "--password", "secret").status == 0


@pytest.mark.parametrize("target", ENGINES)
@pytest.mark.parametrize("source", ENGINES)
def test_a_server_on_the_copy_has_the_same_history(site: Path, source: str, target: str) -> None:
    urls = url_of(source, site, "old"), url_of(target, site, "new")
    people(site, urls[0])
    with ServerProcess("serve", cwd=site) as server:
        address = server.address("c2s_tls")
        talk(address, "Good morrow", "Art thou there?")
        before = {jid: history(address, jid) for jid in (JULIET, ROMEO)}
    assert [body for _, body in before[JULIET]] == ["Good morrow", "Art thou there?"]

    copied = call("db", "copy", urls[1])
    assert (copied.status, copied.err) == (0, "")
    lines = copied.out.splitlines()
    assert re.fullmatch(r"table +rows  checksum", lines[0])
    assert [line.split()[0] for line in lines[1:-3]] == [table.name for table in TABLES]
    assert re.fullmatch(
        r"archive +4  [0-9a-f]{32}", next(line for line in lines if line.startswith("archive "))
    )
    names = storage_name(urls[0]), storage_name(urls[1])
    assert re.fullmatch(
        rf"copied \d+ rows from {re.escape(names[0])} to {re.escape(names[1])} in .*", lines[-3]
    )
    assert lines[-2:] == [
        f"the server uses the copy when this stands in {site}/xmppd.toml under [storage]:",
        f'url = "{names[1]}"'
        + ("  # with the password and options that you gave" if target == "postgres" else ""),
    ]

    move(site, urls[1])
    with ServerProcess("serve", cwd=site) as server:
        address = server.address("c2s_tls")
        assert {jid: history(address, jid) for jid in (JULIET, ROMEO)} == before
        talk(address, "It is the east")
        after = history(address, JULIET)
        assert after[:2] == before[JULIET]
        assert after[2][1] == "It is the east"
        # Neither the old database nor the new one is touched by what is tried now.
        refused(call("db", "copy", "sqlite:third.db"), 1, f"held by process {server.pid} (serve)")
    move(site, urls[0])
    refused(call("db", "copy", urls[1]), 1, "is not empty", f"{names[1].removeprefix('sqlite://')}")
    with ServerProcess("serve", cwd=site) as server:
        assert history(server.address("c2s_tls"), JULIET) == before[JULIET]


def test_for_programs(site: Path) -> None:
    people(site, url_of("sqlite", site, "old"))
    target = url_of("postgres", site, "new")
    copied = call("db", "copy", target, "--json")
    assert (copied.status, copied.err) == (0, "")
    assert copied.json.keys() == {"from", "to", "tables", "rows", "seconds"}
    assert copied.json["to"] == storage_name(target)
    assert copied.json["rows"] == sum(each["rows"] for each in copied.json["tables"])
    refused(call("db", "copy", target), 1, "is not empty: its table accounts has 2 rows; name a new database")


def test_there_and_back_is_the_same(site: Path) -> None:
    people(site, url_of("sqlite", site, "old"))
    there = url_of("postgres", site, "new")
    first = call("db", "copy", there, "--json").json
    move(site, there)
    second = call("db", "copy", "sqlite:back.db", "--json").json
    assert second["to"] == f"sqlite://{site}/back.db"
    assert second["tables"] == first["tables"]


def test_what_cannot_be_copied(site: Path) -> None:
    refused(call("db", "copy", "sqlite:new.db"), 1, "there is no storage", "name its configuration with -c")
    people(site, f"sqlite://{site}/old.db")
    with (site / "xmppd.toml").open("a") as file:
        file.write("wait_seconds = 0.2\n")
    (site / "link.db").symlink_to(site / "old.db")
    for same in ("sqlite:old.db", f"sqlite://{site}/old.db", "sqlite:link.db"):
        refused(call("db", "copy", same), 2, "is the storage that is to be copied; name another one")
    refused(call("db", "copy", "sqlite::memory:"), 2, "in memory")
    refused(call("db", "copy", "mysql://romeo:Montague@host/chat"), 2, "TO: unknown scheme; allowed: ")
    refused(call("db", "copy", "postgresql://xmppd:Mon/tague@host/chat"), 2, "in a password is written %2F")
    refused(call("db", "copy"), 2, "Missing argument 'TO'")
    result = call("db", "copy", "postgresql://xmppd:Montague@127.0.0.1:1/chat")
    assert result.status == 1
    assert "cannot open the database postgresql://xmppd@127.0.0.1:1/chat: it cannot be reached" in result.err
    assert "Montague" not in result.err
    assert sorted(path.name for path in site.glob("*.db")) == ["link.db", "old.db"]


def test_the_database_of_another_program_is_left_alone(site: Path) -> None:
    people(site, f"sqlite://{site}/old.db")
    target = url_of("postgres", site, "new")
    execute(target, "CREATE TABLE prosody (host text)")
    refused(call("db", "copy", target), 1, "belongs to another program (its tables: prosody)")


def test_a_person_sees_how_far_it_is(site: Path) -> None:
    people(site, f"sqlite://{site}/old.db")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        program("db", "copy", "sqlite:new.db"), stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert out.startswith("table ")
    assert b"copy" in shown
    assert b"verify" in shown
    assert b"\xe2\x94\x81" in shown, "a bar"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux: the other end is closed
        return b""


def test_an_interrupted_copy_is_no_server(site: Path) -> None:
    people(site, f"sqlite://{site}/old.db")
    with ServerProcess("serve", cwd=site) as server:
        talk(server.address("c2s_tls"), "Good morrow")
    target = url_of("postgres", site, "new")
    assert call("db", "migrate", "-c", _named(site, target)).status == 0
    status, out, err = asyncio.run(_interrupted(target))
    assert (status, out) == (130, "")
    assert (
        err == f"interrupted: {storage_name(target)} holds a part of the copy and cannot be used; remove it\n"
    )

    remedy = "holds a copy that was not finished: remove that file, or drop that database and make it anew"
    move(site, target)
    for command in (("serve",), ("user", "list"), ("db", "status"), ("db", "migrate")):
        refused(call(*command), 1, storage_name(target), remedy)
    assert json.loads(call("check", "--json").out)[3]["level"] == "error"
    move(site, f"sqlite://{site}/old.db")
    refused(call("db", "copy", target), 1, remedy)
    assert call("user", "list").out == f"{JULIET}\n{ROMEO}\n"
    assert call("db", "copy", url_of("postgres", site, "new")).status == 0


def _named(site: Path, url: str) -> Path:
    """A configuration with ``url``."""
    text = (site / "xmppd.toml").read_text()
    (site / "other.toml").write_text(re.sub(r'(?m)^url = ".*"$', lambda _: f'url = "{url}"', text))
    return site / "other.toml"


async def _interrupted(target: str) -> tuple[int | None, str, str]:
    """A copy into ``target`` that gets SIGINT while it waits to write the archive: how it ended, what it said."""
    connection = await asyncpg.connect(target)
    try:
        async with connection.transaction():
            await connection.execute(
                "LOCK TABLE archive IN SHARE MODE"
            )  # who reads goes on, who writes waits
            process = await asyncio.create_subprocess_exec(
                *program("db", "copy", target), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            async with asyncio.timeout(SECONDS):
                while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    assert process.returncode is None
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        await connection.close()
    return process.returncode, out.decode(), err.decode()
