"""`xmppd user` where no server runs. What differs where one does is in test_live.py."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from tests.cli.tool import Result, call, program
from xmppd.auth.scram import make_credentials
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, NewMessage, NewRow
from xmppd.storage.interfaces import (
    Credentials,
    LastSeen,
    RosterChange,
    RosterItem,
    ScramHash,
    Stores,
    Subscription,
)
from xmppd.storage.open import open_stores

JULIET = Jid.parse("juliet@chat.example")
ROMEO = Jid.parse("romeo@chat.example")


def add(*jids: str, password: str = "secret") -> None:
    for jid in jids:
        assert call("user", "add", jid, "--password", password).status == 0


async def _open(site: Path) -> Stores:
    return await open_stores(f"sqlite:///{site}/data/xmppd.db".replace("////", "///"), site)


def keys_of(site: Path, jid: Jid) -> Credentials | None:
    async def read() -> Credentials | None:
        stores = await _open(site)
        try:
            return await stores.accounts.credentials(jid)
        finally:
            await stores.close()

    return asyncio.run(read())


def password_is(site: Path, jid: Jid, password: str) -> bool:
    keys = keys_of(site, jid)
    assert keys is not None
    return all(
        make_credentials(password, kept.iterations, kept.salt)[hash].stored_key == kept.stored_key
        for hash, kept in keys.items()
    )


def test_add(site: Path) -> None:
    result = call("user", "add", "Juliet@Chat.Example", "--password", "secret")
    assert (result.status, result.out) == (0, "created juliet@chat.example\n")
    keys = keys_of(site, JULIET)
    assert keys is not None
    assert set(keys) == set(ScramHash)
    assert {kept.iterations for kept in keys.values()} == {4096}
    assert password_is(site, JULIET, "secret")


def test_add_as_json(site: Path) -> None:
    result = call("user", "add", JULIET, "--password", "x", "--json")
    assert result.json == {"jid": "juliet@chat.example", "created": True}
    assert result.err == ""


def test_the_password_comes_from_standard_input(site: Path) -> None:
    assert call("user", "add", JULIET, "--password-stdin", stdin="pässwört, with blanks \nrest\n").status == 0
    assert password_is(site, JULIET, "pässwört, with blanks ")


def test_passwd(site: Path) -> None:
    add("juliet@chat.example")
    result = call("user", "passwd", JULIET, "--password-stdin", stdin="new")
    assert (result.status, result.out) == (0, "changed the password of juliet@chat.example\n")
    assert password_is(site, JULIET, "new")
    assert call("user", "passwd", JULIET, "--password", "newer", "--json").json == {
        "jid": str(JULIET),
        "changed": True,
    }


def refused(result: Result, status: int, *texts: str) -> None:
    assert result.status == status, result
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    for text in texts:
        assert text in result.err


@pytest.mark.parametrize("command", ["add", "passwd"])
def test_without_a_terminal_a_password_has_to_be_given(command: str, site: Path) -> None:
    refused(call("user", command, JULIET), 2, "--password-stdin", "--password")


@pytest.mark.parametrize("command", ["add", "passwd"])
def test_one_source_of_the_password_is_enough(command: str, site: Path) -> None:
    result = call("user", command, JULIET, "--password", "x", "--password-stdin", stdin="y")
    refused(result, 2, "exclude each other")


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_an_empty_password_is_refused(stdin: str, site: Path) -> None:
    refused(call("user", "add", JULIET, "--password-stdin", stdin=stdin), 2, "the password is empty")


def test_a_password_that_no_client_can_send_is_refused_without_showing_it(site: Path) -> None:
    result = call("user", "add", JULIET, "--password", "tab\tbed")
    refused(result, 1)
    assert "bed" not in result.err


@pytest.mark.parametrize("jid", ["chat.example", "a@chat.example/home", "a@@b", "", "@chat.example"])
@pytest.mark.parametrize("command", ["add", "passwd", "show", "del"])
def test_what_is_no_account_is_wrong_usage(command: str, jid: str, site: Path) -> None:
    refused(call("user", command, jid), 2)


def test_accounts_are_on_served_domains(site: Path) -> None:
    refused(call("user", "add", "a@else.example", "--password", "x"), 1, "chat.example, other.example")


def test_an_account_cannot_be_created_twice(site: Path) -> None:
    add("juliet@chat.example")
    result = call("user", "add", JULIET, "--password", "other")
    refused(result, 1, "juliet@chat.example is an account already; `xmppd user passwd juliet@chat.example`")
    assert password_is(site, JULIET, "secret")


@pytest.mark.parametrize("command", [["show"], ["passwd", "--password", "x"], ["del", "--yes"]])
def test_what_is_not_there(command: list[str], site: Path) -> None:
    add("romeo@chat.example")
    refused(call("user", command[0], JULIET, *command[1:]), 1, "there is no account juliet@chat.example")
    error = call("user", command[0], JULIET, *command[1:], "--json")
    assert (error.status, error.json["error"]["kind"]) == (1, "failed")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


NEEDS_A_STORAGE = [
    ["list"],
    ["show", "a@localhost"],
    ["passwd", "a@localhost", "--password", "x"],
    ["del", "a@localhost", "--yes"],
]


@pytest.mark.parametrize("command", NEEDS_A_STORAGE, ids=lambda command: command[0])
def test_where_no_server_was_started_nothing_is_made(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(call("user", *command), 1, "no server has been started here yet", "`xmppd serve`", "-c")
    told = call("user", *command, "--json").json
    assert told["error"]["kind"] == "failed"
    assert files(tmp_path) == []


def test_what_init_made_is_no_storage_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("init", ".", "--domain", "chat.example").status == 0
    before = files(tmp_path)
    refused(call("user", "list"), 1, f"there is no storage for {tmp_path}/data")
    assert files(tmp_path) == before
    add("juliet@chat.example")
    assert call("user", "list").out == "juliet@chat.example\n"


def test_a_lock_that_was_left_is_no_storage(site: Path) -> None:
    add("juliet@chat.example")
    (site / "data" / "xmppd.db").unlink()
    refused(call("user", "list"), 1, "no server has been started here yet")
    assert not (site / "data" / "xmppd.db").exists()


def test_a_storage_that_was_brought_back_without_its_lock(site: Path) -> None:
    add("juliet@chat.example")
    (site / "data" / "lock").unlink()
    assert call("user", "list").out == "juliet@chat.example\n"


def test_del_has_to_be_confirmed(site: Path) -> None:
    add("juliet@chat.example")
    refused(call("user", "del", JULIET), 2, "give --yes")
    assert call("user", "list").out == "juliet@chat.example\n"
    assert call("user", "del", JULIET, "--yes", "--json").json == {"jid": str(JULIET), "deleted": True}
    assert call("user", "list").out == ""


def test_del_cancels_subscriptions_so_that_the_next_owner_of_the_address_inherits_none(site: Path) -> None:
    add("juliet@chat.example", "romeo@chat.example")

    async def befriend() -> None:
        stores = await _open(site)
        juliet, romeo = await stores.accounts.get(JULIET), await stores.accounts.get(ROMEO)
        assert juliet is not None
        assert romeo is not None
        await stores.rosters.update(
            [
                RosterChange(juliet.id, ROMEO, lambda _: RosterItem(ROMEO, subscription=Subscription.BOTH)),
                RosterChange(
                    romeo.id, JULIET, lambda _: RosterItem(JULIET, "my love", subscription=Subscription.BOTH)
                ),
            ]
        )
        await stores.close()

    async def roster() -> RosterItem:
        stores = await _open(site)
        romeo = await stores.accounts.get(ROMEO)
        assert romeo is not None
        item = (await stores.rosters.load(romeo.id)).items[JULIET]
        await stores.close()
        return item

    asyncio.run(befriend())
    assert call("user", "del", JULIET, "--yes").status == 0
    assert asyncio.run(roster()) == RosterItem(JULIET, "my love")


def test_show(site: Path) -> None:
    add("admin@chat.example")

    async def see() -> None:
        stores = await _open(site)
        admin = await stores.accounts.get(Jid.parse("admin@chat.example"))
        assert admin is not None
        await stores.accounts.set_last_seen(admin.id, LastSeen(1_700_000_000.5, "gone\x1b[2J fishing"))
        await stores.rosters.update([RosterChange(admin.id, ROMEO, lambda _: RosterItem(ROMEO))])
        await stores.archive.append([NewMessage(b"<message/>", [NewRow(admin.id, 0, Kind.OWED)])])
        await stores.close()

    asyncio.run(see())
    shown = call("user", "show", "admin@chat.example", "--json").json
    created = shown.pop("created")
    assert created.endswith("Z")
    assert shown == {
        "jid": "admin@chat.example",
        "last_seen": {"at": "2023-11-14T22:13:20.500Z", "status": "gone\x1b[2J fishing"},
        "admin": True,
        "contacts": 1,
        "offline_messages": 1,
        "retention_days": None,
    }
    text = call("user", "show", "admin@chat.example").out
    assert r"last seen: 2023-11-14T22:13:20.500Z gone\x1b[2J fishing" in text.splitlines()
    assert "offline messages: 1\n" in text


def test_retention(site: Path) -> None:
    add("romeo@chat.example")
    answer = call("user", "retention", "romeo@chat.example", 30)
    assert answer.out == "the history of romeo@chat.example is kept for 30 days\n"
    assert call("user", "show", "romeo@chat.example", "--json").json["retention_days"] == 30
    assert "history is kept: for 30 days\n" in call("user", "show", "romeo@chat.example").out
    answer = call("user", "retention", "romeo@chat.example", "default", "--json")
    assert answer.json == {"jid": "romeo@chat.example", "retention_days": None}
    assert "history is kept: as the server does\n" in call("user", "show", "romeo@chat.example").out
    for nonsense in ("0", "-1", "36501", "week", "１"):
        answer = call("user", "retention", "romeo@chat.example", "--", nonsense)
        refused(answer, 2, "neither `default` nor a number of days")
    refused(call("user", "retention", "nobody@chat.example", 1), 1, "there is no account nobody@chat.example")


def test_list(site: Path) -> None:
    add("romeo@chat.example", "juliet@chat.example", "nurse@other.example", "rosaline@chat.example")
    everybody = ["juliet@chat.example", "romeo@chat.example", "rosaline@chat.example", "nurse@other.example"]
    assert call("user", "list").out.splitlines() == everybody
    assert call("user", "list", "--domain", "Other.Example").out.splitlines() == everybody[3:]
    assert call("user", "list", "--contains", "ro").out.splitlines() == everybody[1:3]
    assert call("user", "list", "--limit", 2).out.splitlines() == everybody[:2]
    assert call("user", "list", "--limit", 2, "--after", everybody[1]).out.splitlines() == everybody[2:]
    assert [one["jid"] for one in call("user", "list", "--json").json] == everybody
    assert call("user", "list", "--contains", "nobody", "--json").json == []
    rows = list(csv.DictReader(call("user", "list", "--csv").out.splitlines()))
    assert [row["jid"] for row in rows] == everybody
    assert rows[0]["created"].endswith("Z")
    assert rows[0]["last_seen"] == ""


def test_list_goes_on_beyond_a_page(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmppd.cli.user.PAGE", 2)
    add("a@chat.example", "b@chat.example", "c@chat.example", "d@chat.example", "e@chat.example")
    assert len(call("user", "list").out.splitlines()) == 5
    assert len(call("user", "list", "--json").json) == 5
    assert len(call("user", "list", "--limit", 3).out.splitlines()) == 3
    assert len(call("user", "list", "--limit", 4).out.splitlines()) == 4


def test_list_of_a_domain_that_is_not_served(site: Path) -> None:
    refused(call("user", "list", "--domain", "else.example"), 2, "its domains: chat.example, other.example")


def test_accounts_of_a_storage_in_memory_need_the_server(site: Path) -> None:
    (site / "memory.toml").write_text('domains = ["a.example"]\n[storage]\nurl = "sqlite::memory:"')
    refused(call("user", "list", "-c", "memory.toml"), 1, "only while the server runs")


def on_a_terminal(site: Path, arguments: list[str], *answers: str) -> tuple[int, str]:
    """Run a command on a terminal, answer its questions one after the other; its status and all the terminal showed."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        program(*arguments), cwd=site, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    waiting = list(answers)
    questions = 0
    while True:
        assert select.select([controller], [], [], 20)[0], shown
        try:
            chunk = os.read(controller, 4096)
        except OSError:  # the program closed the terminal
            break
        if not chunk:
            break
        shown += chunk
        if waiting and shown.count(b": ") > questions:
            questions = shown.count(b": ")
            os.write(controller, waiting.pop(0).encode() + b"\n")
    os.close(controller)
    return process.wait(20), shown.decode()


def test_on_a_terminal_it_asks_twice_and_shows_nothing(site: Path) -> None:
    status, shown = on_a_terminal(site, ["user", "add", str(JULIET)], "hidden", "hidden")
    assert status == 0, shown
    assert "Password of juliet@chat.example: " in shown
    assert "hidden" not in shown
    assert password_is(site, JULIET, "hidden")


def test_on_a_terminal_del_asks(site: Path) -> None:
    add("juliet@chat.example")
    status, shown = on_a_terminal(site, ["user", "del", str(JULIET)], "n")
    assert status == 1
    assert "nothing was done" in shown
    status, shown = on_a_terminal(site, ["user", "del", str(JULIET), "--json"], "y")
    assert status == 0
    assert json.loads(shown.splitlines()[-1]) == {"jid": str(JULIET), "deleted": True}
