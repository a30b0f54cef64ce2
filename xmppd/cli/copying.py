"""`xmppd db copy`: a whole server from one database to another, compared afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xmppd.config import Config
from xmppd.errors import UserError
from xmppd.lock import DataLock
from xmppd.storage.copy import Copied, copy
from xmppd.storage.copy import Progress as Advance
from xmppd.storage.open import open_tables, plan_storage, storage_name


def copy_storage(config: Config, target: str, base: Path, *, quiet: bool) -> dict[str, Any]:
    """Copy the storage of ``config`` to the one that the URL ``target`` names, and compare; what was done.

    A relative path in ``target`` starts at ``base``. ``quiet``: no progress bar. ``UserError`` where a server runs on
    the storage, where there is none, or where ``target`` is not empty.
    """
    begun = time.monotonic()
    with _progress(quiet) as advance:
        copied = asyncio.run(_copy(config, target, base, advance))
    return {
        "from": storage_name(config.storage.url or ""),
        "to": storage_name(target),
        "tables": [{"table": each.table, "rows": each.rows, "checksum": each.checksum} for each in copied],
        "rows": sum(each.rows for each in copied),
        "seconds": round(time.monotonic() - begun, 3),
    }


async def _copy(config: Config, target: str, base: Path, advance: Advance) -> list[Copied]:
    url = config.storage.url or ""
    if not (await plan_storage(url, config.data_dir)).version:
        raise UserError(f"there is no storage {storage_name(url)} to copy; name its configuration with -c")
    async with AsyncExitStack() as stack:
        # A server, and another command, would go on writing to what is being copied.
        stack.enter_context(DataLock.acquire(config.data_dir, "a copy"))
        source = await open_tables(url, config.data_dir)
        stack.push_async_callback(source.close)
        into = await open_tables(target, base)
        stack.push_async_callback(into.close)
        return await copy(source, into, advance)


@contextmanager
def _progress(quiet: bool) -> Iterator[Advance]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def advance(what: str, rows: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.advance(tasks[what], rows)

        yield advance
