"""The accounts a run uses: made up here, imported into every server under test."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "localhost"


@dataclass(frozen=True, slots=True)
class Account:
    """One account; `name` is the localpart, ASCII, so that no preparation (PRECIS, SASLprep) changes it."""

    name: str
    password: str

    @property
    def jid(self) -> str:
        return f"{self.name}@{DOMAIN}"


def make_accounts(count: int) -> list[Account]:
    """`count` accounts, the same ones each time, so that a kept data directory fits the next run.

    One password for all: a peer whose accounts are written with one salt then needs one PBKDF2, not thousands.
    """
    return [Account(f"bench{number:05d}", "correct horse battery") for number in range(count)]


def write_csv(accounts: Sequence[Account], file: Path) -> None:
    """Write `jid,password` lines, the format of `xmppd user import`."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows((account.jid, account.password) for account in accounts)
