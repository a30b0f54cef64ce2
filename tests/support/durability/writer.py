"""Another writer of the same archives, as another node will be: nobody tells the server what it writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Final
from xml.sax.saxutils import escape

from tests.support.durability.letters import Letter, Post, text_of
from tests.support.process import DOMAIN
from xmppd import ns
from xmppd.errors import UserError
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, Mark, NewMessage, NewRow, peer_key
from xmppd.storage.interfaces import StorageUnavailable, Stores
from xmppd.storage.open import open_stores

NAME: Final = "stranger"
_STINT: Final = (
    40  # batches; then it goes away, so that now and then nobody but the server has the database open
)


class OtherWriter:
    """Writes letters to ``names`` until it is cancelled."""

    def __init__(
        self, url: str, folder: Path, owners: dict[str, int], names: list[str], post: Post, rng: Random
    ) -> None:
        self._url = url
        self._folder = folder
        self._owners = owners
        self._names = names
        self._post = post
        self._rng = rng
        self._sent = dict.fromkeys(names, 0)

    async def run(self) -> None:
        while True:
            try:
                stores = await open_stores(self._url, self._folder, wait_seconds=1.0)
            except (StorageUnavailable, UserError):
                await asyncio.sleep(0.2)
                continue
            try:
                for _ in range(_STINT):
                    await self._write(stores)
                    await asyncio.sleep(self._rng.uniform(0.0, 0.06))
            finally:
                await stores.close()

    async def _write(self, stores: Stores) -> None:
        letters = [self._letter(self._rng.choice(self._names)) for _ in range(self._rng.randint(1, 5))]
        # Not to be cancelled half way: what is not known would not be known to anybody.
        await asyncio.shield(asyncio.ensure_future(self._append(stores, letters)))

    async def _append(self, stores: Stores, letters: list[Letter]) -> None:
        try:
            await stores.archive.append([self._message(letter) for letter in letters])
        except StorageUnavailable as error:
            for letter in letters:
                letter.error = "resource-constraint"
                letter.refusals += 1
                self._post.note(letter.key, f"{NAME} is told: {error}")
            return
        for letter in letters:
            letter.acknowledged = True
            self._post.note(letter.key, f"{NAME} has written it")

    def _letter(self, to: str) -> Letter:
        self._sent[to] += 1
        letter = self._post.write(NAME, to, self._sent[to])
        self._post.note(letter.key, f"{NAME} writes it")
        return letter

    def _message(self, letter: Letter) -> NewMessage:
        sender, to = (Jid.parse(f"{name}@{DOMAIN}") for name in (NAME, letter.to))
        stanza = (
            f"<message from='{sender}/node' to='{to}' type='chat' id='{letter.key}'><body>{escape(text_of(letter.key))}"
            f"</body><origin-id xmlns='{ns.STANZA_ID}' id='{letter.key}'/></message>"
        )
        rows = (
            NewRow(self._owners[NAME], peer_key(to) | Mark.SENT | Mark.UNREAD),
            NewRow(self._owners[letter.to], peer_key(sender) | Mark.UNREAD, Kind.OWED),
        )
        return NewMessage(stanza.encode(), rows)
