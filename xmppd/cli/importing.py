"""`xmppd user import`: many accounts out of a CSV file, on all cores, resumable."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xmppd.accounts import Accounts
from xmppd.auth.passwords import Passwords
from xmppd.auth.saslprep import PasswordError
from xmppd.cli.backend import cores, open_accounts
from xmppd.config import Config
from xmppd.errors import UserError
from xmppd.jid import Jid, JidError
from xmppd.storage.interfaces import AccountExists, Credentials

_BATCH: Final = 200  # accounts hashed and created at once: a few seconds' work is lost at most
_COLUMNS: Final = ("jid", "password")
_NOTED: Final = 20  # bad lines shown to a person; JSON has all


@dataclass(frozen=True, slots=True)
class Entry:
    """One good line of the file."""

    line: int
    jid: Jid
    password: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """One that cannot be used; ``reason`` does not repeat the password."""

    line: int
    reason: str


@dataclass(slots=True)
class Summary:
    """What an import did."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    failed: list[BadLine] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "updated": self.updated,
            "skipped": self.skipped,
            "failed": [{"line": bad.line, "reason": bad.reason} for bad in self.failed],
            "seconds": round(self.seconds, 3),
        }

    def as_text(self) -> str:
        lines = [f"line {bad.line}: {bad.reason}" for bad in self.failed[:_NOTED]]
        if len(self.failed) > _NOTED:
            lines.append(f"... and {len(self.failed) - _NOTED} more")
        lines.append(
            f"{self.created} created, {self.updated} updated, {self.skipped} there already, "
            f"{len(self.failed)} failed in {self.seconds:.1f} s"
        )
        return "\n".join(lines)


def import_accounts(config: Config, file: Path, *, update: bool, quiet: bool) -> Summary:
    """Create the accounts in ``file``; those that exist are skipped, or get the file's password with ``update``.

    ``quiet``: no progress bar. ``UserError`` where the file cannot be read or the accounts not be reached.
    """
    begun = time.monotonic()
    data = _read(file)
    summary = Summary()
    try:
        with _progress(_count(data), quiet) as advance:
            asyncio.run(_import(config, data, update, summary, advance))
    except UserError as err:
        done = summary.created + summary.updated
        raise UserError(
            f"{err}; {done} accounts were done before, and the same command goes on behind them"
        ) from err
    summary.seconds = time.monotonic() - begun
    return summary


def read_entries(data: BinaryIO, domains: frozenset[str]) -> Iterator[Entry | BadLine]:
    """The lines of a CSV file in UTF-8. A first line that names the columns is a header and decides their order."""
    text = io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text)
    columns: tuple[str, ...] = _COLUMNS
    seen: dict[Jid, int] = {}
    first = True
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            yield BadLine(start, f"no CSV: {err}")
            continue
        if not row or row == [""]:
            continue
        if first:
            first = False
            names = tuple(cell.strip().casefold() for cell in row)
            if sorted(names) == sorted(_COLUMNS):
                columns = names
                continue
        yield _entry(start, row, columns, domains, seen)


def _entry(
    line: int, row: list[str], columns: tuple[str, ...], domains: frozenset[str], seen: dict[Jid, int]
) -> Entry | BadLine:
    if len(row) != len(columns):
        return BadLine(
            line, f"it has {len(row)} fields, not 2; a password with a comma has to stand in quotes"
        )
    cells = dict(zip(columns, row, strict=True))
    address, password = cells["jid"].strip(), cells["password"]
    if not "".join(row).isprintable() and any("\ud800" <= char <= "\udfff" for char in "".join(row)):
        return BadLine(line, "it is not UTF-8")
    try:
        jid = Jid.parse(address)
    except JidError as err:
        return BadLine(line, str(err))
    if jid.local is None or jid.resource is not None:
        return BadLine(line, f"{address!r} is no account: it has to be name@domain")
    if jid.domain not in domains:
        return BadLine(
            line, f"{jid.domain!r} is no domain of this server; its domains: {', '.join(sorted(domains))}"
        )
    if not password:
        return BadLine(line, "the password is empty")
    if (other := seen.setdefault(jid, line)) != line:
        return BadLine(line, f"{jid} was on line {other} already")
    return Entry(line, jid, password)


async def _import(
    config: Config, data: BinaryIO, update: bool, summary: Summary, advance: Callable[[int], object]
) -> None:
    entries = read_entries(data, frozenset(domain.domain for domain in config.domains))
    passwords = Passwords(config.auth.scram_iterations, threads=cores(), waiting=_BATCH)
    with closing(passwords):
        async with open_accounts(config, create=True) as accounts:
            while batch := list(islice(entries, _BATCH)):
                good = [entry for entry in batch if isinstance(entry, Entry)]
                summary.failed += [entry for entry in batch if isinstance(entry, BadLine)]
                advance(len(batch) - len(good))
                await _import_batch(accounts, good, passwords, update, summary, advance)


async def _import_batch(
    accounts: Accounts,
    entries: list[Entry],
    passwords: Passwords,
    update: bool,
    summary: Summary,
    advance: Callable[[int], object],
) -> None:
    known = await accounts.existing([entry.jid for entry in entries])
    if not update:
        summary.skipped += len(known)
        advance(len(known))
        entries = [entry for entry in entries if entry.jid not in known]

    async def hash(entry: Entry) -> tuple[Entry, Credentials] | BadLine:
        try:
            return entry, await passwords.hash(entry.password)
        except PasswordError as err:
            return BadLine(entry.line, str(err))
        finally:
            advance(1)

    hashed = await asyncio.gather(*map(hash, entries))
    summary.failed += [result for result in hashed if isinstance(result, BadLine)]
    ready = [(result[0].jid, result[1]) for result in hashed if not isinstance(result, BadLine)]
    await _store(accounts, ready, known, summary)


async def _store(
    accounts: Accounts, ready: list[tuple[Jid, Credentials]], known: frozenset[Jid], summary: Summary
) -> None:
    new = [(jid, keys) for jid, keys in ready if jid not in known]
    while new:
        try:
            await accounts.create_many(new)
        except AccountExists:  # registered since we looked
            late = await accounts.existing([jid for jid, _ in new])
            summary.skipped += len(late)
            new = [(jid, keys) for jid, keys in new if jid not in late]
        else:
            summary.created += len(new)
            break
    for jid, keys in ready:
        if jid in known:
            await accounts.set_credentials(jid, keys)
            summary.updated += 1


def _read(file: Path) -> BinaryIO:
    """The whole file: a million lines are 50 MB, and how many there are has to be known in advance."""
    try:
        return io.BytesIO(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except OSError as err:
        raise UserError(f"{file} cannot be read: {err.strerror}") from err


def _count(data: BinaryIO) -> int:
    """About how many lines there are; the bar needs no more."""
    lines = sum(chunk.count(b"\n") for chunk in iter(lambda: data.read(1 << 20), b""))
    data.seek(0)
    return lines


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], object]]:
    """A bar on standard error, if that is a terminal; what it yields moves it on."""
    console = Console(stderr=True)
    columns = (TextColumn("accounts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("accounts", total=total)
        yield lambda count: progress.advance(task, count)
