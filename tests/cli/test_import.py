"""`xmppd user import`: every line is either an account or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_user import password_is, refused
from tests.cli.tool import call
from xmppd.accounts import AccountService
from xmppd.jid import Jid
from xmppd.storage.interfaces import Credentials, StorageUnavailable

JULIET = Jid.parse("juliet@chat.example")
ROMEO = Jid.parse("romeo@chat.example")


def do(site: Path, content: str | bytes, *options: str, status: int = 0) -> dict[str, Any]:
    """Import ``content``; the summary without the time."""
    data = content.encode() if isinstance(content, str) else content
    (site / "accounts.csv").write_bytes(data)
    result = call("user", "import", "accounts.csv", "--json", *options)
    assert result.status == status, result
    summary: dict[str, Any] = result.json
    assert summary.pop("seconds") >= 0
    return summary


def counts(created: int = 0, updated: int = 0, skipped: int = 0) -> dict[str, Any]:
    return {"created": created, "updated": updated, "skipped": skipped, "failed": []}


def test_lines_become_accounts(site: Path) -> None:
    assert do(site, "juliet@chat.example,one\nROMEO@chat.example,two\n") == counts(created=2)
    assert password_is(site, JULIET, "one")
    assert password_is(site, ROMEO, "two")


def test_a_header_decides_the_order(site: Path) -> None:
    assert do(site, "\ufeffPassword, JID\r\none,juliet@chat.example\r\n") == counts(created=1)
    assert password_is(site, JULIET, "one")


def test_quotes_blank_lines_and_a_last_line_without_an_end(site: Path) -> None:
    text = 'juliet@chat.example,"o,n""e"\n\n  romeo@chat.example, two '
    assert do(site, text) == counts(created=2)
    assert password_is(site, JULIET, 'o,n"e')
    assert password_is(site, ROMEO, " two ")


def test_bad_lines_are_told_by_number_and_the_others_imported(site: Path) -> None:
    lines = [
        b"jid,password",
        b"juliet@chat.example,one",
        b"no-address@@chat.example,x",
        b"chat.example,x",
        b"a@chat.example/home,x",
        b"a@else.example,x",
        b"a@chat.example",
        b"a@chat.example,b,c",
        b"a@chat.example,",
        b"a@chat.example,\xff",
        b'"a@chat.example","spread',
        b'over lines"',
        b"juliet@chat.example,two",
        b"a@chat.example,tab\tbed",
        b"romeo@chat.example,three",
    ]
    summary = do(site, b"\n".join(lines), status=1)
    assert summary["created"] == 2
    reasons = {bad["line"]: bad["reason"] for bad in summary["failed"]}
    assert sorted(reasons) == [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14]
    assert "has to be name@domain" in reasons[4]
    assert "has to be name@domain" in reasons[5]
    assert (
        "'else.example' is no domain of this server; its domains: chat.example, other.example" in reasons[6]
    )
    assert "1 fields, not 2" in reasons[7]
    assert "in quotes" in reasons[8]
    assert reasons[9] == "the password is empty"
    assert reasons[10] == "it is not UTF-8"
    assert reasons[13] == "juliet@chat.example was on line 2 already"
    assert not any("bed" in reason or "spread" in reason for reason in reasons.values())
    assert password_is(site, JULIET, "one")
    assert password_is(site, ROMEO, "three")


def test_it_can_be_run_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmppd.cli.importing._BATCH", 3)
    lines = [f"u{number}@chat.example,p{number}\n" for number in range(8)]
    assert do(site, "".join(lines[:5])) == counts(created=5)
    assert do(site, "".join(lines)) == counts(created=3, skipped=5)
    assert len(call("user", "list").out.splitlines()) == 8


def test_update_replaces_passwords(site: Path) -> None:
    do(site, "juliet@chat.example,old\n")
    assert do(site, "juliet@chat.example,new\nromeo@chat.example,x\n") == counts(created=1, skipped=1)
    assert password_is(site, JULIET, "old")
    assert do(site, "juliet@chat.example,new\n", "--update") == counts(updated=1)
    assert password_is(site, JULIET, "new")


def test_what_a_person_sees(site: Path) -> None:
    (site / "accounts.csv").write_text("juliet@chat.example,one\nromeo@chat.example\n" + "x\n" * 30)
    result = call("user", "import", "accounts.csv")
    assert result.status == 1
    assert result.err == ""  # the progress bar is for terminals
    lines = result.out.splitlines()
    assert lines[0].startswith("line 2: it has 1 fields")
    assert lines[-2] == "... and 11 more"
    assert lines[-1].startswith("1 created, 0 updated, 0 there already, 31 failed in ")


def test_an_interruption_says_what_is_done(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmppd.cli.importing._BATCH", 2)
    create = AccountService.create_many
    created: list[int] = []

    async def fail(self: AccountService, accounts: Sequence[tuple[Jid, Credentials]]) -> None:
        if created:
            raise StorageUnavailable("the disk is full")
        created.append(len(accounts))
        await create(self, accounts)

    (site / "accounts.csv").write_text("".join(f"u{number}@chat.example,p\n" for number in range(5)))
    with monkeypatch.context() as broken:
        broken.setattr(AccountService, "create_many", fail)
        refused(call("user", "import", "accounts.csv"), 1, "the disk is full; 2 accounts were done before")
    assert do(site, (site / "accounts.csv").read_text()) == counts(created=3, skipped=2)


def test_from_standard_input(site: Path) -> None:
    result = call("user", "import", "-", stdin="juliet@chat.example,one\n")
    assert result.status == 0
    assert password_is(site, JULIET, "one")


def test_an_empty_file(site: Path) -> None:
    assert do(site, "") == counts()
    assert do(site, "jid,password\n") == counts()


def test_a_file_that_is_not_there(site: Path) -> None:
    refused(call("user", "import", "gone.csv"), 1, "gone.csv cannot be read: No such file or directory")


def test_a_field_beyond_all_measure(site: Path) -> None:
    summary = do(
        site,
        "juliet@chat.example,one\na@chat.example," + "x" * 200_000 + "\nromeo@chat.example,two\n",
        status=1,
    )
    assert summary["created"] == 2
    assert [bad["line"] for bad in summary["failed"]] == [2]
