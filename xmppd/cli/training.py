"""`xmppd db train-dictionary`: messages take less room when they are compressed with what is said here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from rich.console import Console

from xmppd.config import Config
from xmppd.errors import UserError
from xmppd.lock import DataLock
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_configured, plan_storage, storage_name
from xmppd.storage.packing import FIRST_TRAINED, LAST, Packing, own_dictionaries, train

LEAST: Final = 1_000  # messages; what is learned from fewer is not worth a dictionary
MOST: Final = 50_000  # more teach nothing new
_MEASURED: Final = 10  # every tenth is not trained on, but measured with
_WORTH: Final = 0.98  # of the size before: what saves less is not kept


def train_dictionary(config: Config, *, quiet: bool) -> dict[str, Any]:
    """Train a dictionary on the archive of ``config`` and store it, where it is better than the one in use.

    What was found, sizes in bytes per message: ``messages`` looked at, ``plain``, packed ``before`` and ``after``, and
    the ``number`` of the dictionary; None: it was not worth it. ``quiet``: no progress. ``UserError`` where a server
    runs on the storage, where there is none, or where the archive holds too little.
    """
    if config.storage.url == "sqlite::memory:":
        raise UserError("storage.url keeps everything in memory: there is nothing to learn from")
    return asyncio.run(_train(config, Console(stderr=True, quiet=quiet)))


async def _train(config: Config, console: Console) -> dict[str, Any]:
    url = config.storage.url or ""
    if not (await plan_storage(url, config.data_dir)).version:
        raise UserError(f"there is no storage {storage_name(url)}; name its configuration with -c")
    async with AsyncExitStack() as stack:
        stack.enter_context(DataLock.acquire(config.data_dir, "the training of a dictionary"))
        stores = await open_configured(config)
        stack.push_async_callback(stores.close)
        with console.status("reading messages"):
            stanzas = await stores.dictionaries.sample(MOST)
        if len(stanzas) < LEAST:
            raise UserError(
                f"the archive holds {len(stanzas)} different messages, and a dictionary needs {LEAST} or more: "
                "try again when people have written more; until then the one that xmppd brings along does well"
            )
        with console.status(f"learning from {len(stanzas):,} messages"):
            return await _learn(stores, stanzas)


async def _learn(stores: Stores, stanzas: list[bytes]) -> dict[str, Any]:
    random.shuffle(stanzas)
    part = len(stanzas) // _MEASURED
    measured, trained = stanzas[:part], stanzas[part:]
    try:
        content = await asyncio.to_thread(train, trained)
    except ValueError as error:
        raise UserError(f"{error}; its messages are too much alike, or too few") from error
    before = _size(Packing(own_dictionaries() | dict(await stores.dictionaries.load())), measured)
    after = _size(Packing({FIRST_TRAINED: content}), measured)
    number = None
    if after < _WORTH * before:
        try:
            number = await stores.dictionaries.add(content)
        except ValueError as error:
            raise UserError(f"{error} (they have the numbers {FIRST_TRAINED} to {LAST})") from error
    return {
        "messages": len(stanzas),
        "plain": sum(map(len, measured)) // part,
        "before": before,
        "after": after,
        "number": number,
    }


def _size(packing: Packing, stanzas: Sequence[bytes]) -> int:
    return sum(len(packing.pack(stanza)) for stanza in stanzas) // len(stanzas)
