"""A program that appends to an archive: `python -m tests.storage.write URL NAME`.

For each line "OWNER OWNER ... COUNT" on standard input it appends COUNT messages to all of the owners, a few in each
batch, and
then says "done". The messages are called NAME.0, NAME.1 ...
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from xmppd.jid import Jid
from xmppd.storage.archive import NewMessage, NewRow, peer_key
from xmppd.storage.open import open_stores


async def main(url: str, name: str) -> None:
    stores = await open_stores(url, Path("/"), connections=1)
    peer = peer_key(Jid(name, "a.example"))
    numbers = count()
    print("ready", flush=True)
    while line := sys.stdin.readline():
        *owners, left = map(int, line.split())
        while left > 0:
            batch = [b"%s.%d" % (name.encode(), next(numbers)) for _ in range(min(left, 1 + left % 4))]
            rows = [NewRow(owner, peer) for owner in owners]
            await stores.archive.append([NewMessage(text, rows) for text in batch])
            left -= len(batch)
        print("done", flush=True)
    await stores.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
