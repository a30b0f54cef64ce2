"""`xmppd db copy`: a whole server from one database to another, compared afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from xmppd.cli.run import UsageError
from xmppd.config import Config
from xmppd.config.values import STORAGE_FORMS, storage_url
from xmppd.errors import UserError
from xmppd.lock import DataLock
from xmppd.storage.copy import Copied, copy
from xmppd.storage.copy import Progress as Advance
from xmppd.storage.open import open_tables, plan_storage, storage_name
from xmppd.storage.url import is_postgres

IN_MEMORY: Final = "sqlite::memory:"


def copy_storage(config: Config, target: str, base: Path, *, quiet: bool) -> dict[str, Any]:
    """Copy the storage of ``config`` to the one that the URL ``target`` names, and compare; what was done.

    A relative path in ``target`` starts at ``base``. ``quiet``: no progress bar. ``UserError`` where a server runs on
    the storage, where there is none, or where ``target`` is not empty.
    """
    begun = time.monotonic()
    url = _target(config, target, base)
    with _progress(quiet) as progress:
        try:
            copied = asyncio.run(_copy(config, url, progress.advance))
        except KeyboardInterrupt:
            if progress.begun:
                print(
                    f"interrupted: {storage_name(url)} holds a part of the copy and cannot be used; remove it",
                    file=sys.stderr,
                )
            raise
    return {
        "from": storage_name(config.storage.url or ""),
        "to": storage_name(url),
        "tables": [{"table": each.table, "rows": each.rows, "checksum": each.checksum} for each in copied],
        "rows": sum(each.rows for each in copied),
        "seconds": round(time.monotonic() - begun, 3),
    }


def copied_text(done: dict[str, Any], target: str, file: Path | None) -> str:
    """What ``copy_storage`` did, for people, and what is left to do; ``file``: the configuration of the server."""
    kept_back = is_postgres(target) and target != done["to"]
    tables = [("table", "rows", "checksum")]
    tables += [(each["table"], f"{each['rows']:,}", each["checksum"]) for each in done["tables"]]
    names, numbers = (max(len(row[column]) for row in tables) for column in (0, 1))
    where = f"in {file}" if file else "in xmppd.toml (there is none yet: `xmppd init` writes one)"
    return "\n".join(
        [
            *(f"{name:{names}}  {rows:>{numbers}}  {checksum}" for name, rows, checksum in tables),
            f"copied {done['rows']:,} rows from {done['from']} to {done['to']} in {done['seconds']} seconds;"
            " both hold the same",
            f"the server uses the copy when this stands {where} under [storage]:",
            f'url = "{done["to"]}"'
            + ("  # with the password and options that you gave" if kept_back else ""),
        ]
    )


def _target(config: Config, text: str, base: Path) -> str:
    """``text`` with an absolute path; ``UsageError`` where it names no storage, or the one that is copied."""
    try:
        url = storage_url(text, base)
    except ValueError as error:
        # Not the text itself: there may be a password in it.
        raise UsageError(f"TO: {error}; allowed: {STORAGE_FORMS}") from error
    source = config.storage.url or ""
    if IN_MEMORY in (url, source):
        raise UsageError("a storage in memory ends with the program that has it, and cannot be copied")
    if _place(url) == _place(source):
        raise UsageError(f"{storage_name(url)} is the storage that is to be copied; name another one")
    return url


def _place(url: str) -> str:
    """The same for two ways to write one address; not for all of them, but a storage in use is not empty either."""
    return storage_name(url) if is_postgres(url) else str(Path(url.removeprefix("sqlite://")).resolve())


async def _copy(config: Config, target: str, advance: Advance) -> list[Copied]:
    url, wait = config.storage.url or "", config.storage.wait_seconds
    if not (await plan_storage(url, config.data_dir)).version:
        raise UserError(f"there is no storage {storage_name(url)} to copy; name its configuration with -c")
    async with AsyncExitStack() as stack:
        # A server, and another command, would go on writing to what is being copied.
        stack.enter_context(DataLock.acquire(config.data_dir, "a copy"))
        source = await open_tables(url, config.data_dir, wait_seconds=wait)
        stack.push_async_callback(source.close)
        into = await open_tables(target, config.data_dir, wait_seconds=wait)
        stack.push_async_callback(into.close)
        return await copy(source, into, advance)


@contextmanager
def _progress(quiet: bool) -> Iterator[_Progress]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        yield _Progress(bars)


class _Progress:
    """A bar for copying and one for comparing. ``begun``: whether there is something in the target."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self.begun = False

    def advance(self, what: str, rows: int, total: int) -> None:
        self.begun = True
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.advance(self._tasks[what], rows)
