"""A program that stores and says what is durable, until it is killed: `python -m tests.storage.acknowledge DIRECTORY`.

It opens the storage in DIRECTORY and has many tasks store at once. As soon as one of them has its answer, a line is
written to standard output: "archive ID STANZA" or "roster VERSION CONTACT".
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from tests.storage.parts import SqliteFile, add_account, put
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, NewMessage, NewRow
from xmppd.storage.interfaces import RosterItem, Stores

WRITERS = 20
ACCOUNT = Jid.parse("juliet@capulet.example")


def say(kind: str, number: int, text: str) -> None:
    os.write(sys.stdout.fileno(), f"{kind} {number} {text}\n".encode())


async def append(stores: Stores, owner: int, name: str) -> None:
    for number in count():
        stanza = f"<message>{name}.{number}</message>"
        message = NewMessage(stanza.encode(), [NewRow(owner, 0, Kind.OWED)])
        (placed,) = await stores.archive.append([message])
        say("archive", placed.places[0].id, stanza)


async def change(stores: Stores, owner: int, name: str) -> None:
    for number in count():
        item = RosterItem(Jid(f"{name}.{number}", "a.example"))
        (update,) = await stores.rosters.update([put(owner, item)])
        say("roster", update.version, str(item.jid))


async def main(directory: Path) -> None:
    stores = await SqliteFile(directory).open()
    account = await stores.accounts.get(ACCOUNT)
    owner = account.id if account else await add_account(stores, str(ACCOUNT))
    await asyncio.gather(
        *(append(stores, owner, f"{os.getpid()}.{writer}") for writer in range(WRITERS)),
        *(change(stores, owner, f"{os.getpid()}.{writer}") for writer in range(WRITERS)),
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
