"""Phones, network, server and storage, from the first login to the last word."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Final, Self

from tests.support.durability.engines import Engine
from tests.support.durability.letters import Post
from tests.support.durability.network import Network
from tests.support.durability.phone import Phone
from tests.support.durability.writer import NAME, OtherWriter
from tests.support.process import DOMAIN, ITERATIONS, PASSWORD, Address, ServerProcess
from xmppd.auth.scram import make_credentials
from xmppd.jid import Jid
from xmppd.storage.open import open_stores

_LIMITS: Final = {"offline_messages": 0, "login_failures_per_account": 0, "login_failures_per_address": 0}
_SAVED_SECONDS: Final = 16.0  # cursors are written behind by less
_QUIET_SECONDS: Final = 120.0
_LOOK: Final = 0.1  # seconds
# What a server may say about a database that is taken away from it; a traceback is none of that.
_EXPECTED: Final = r'error xmppd\.\w+ [^"]*: cannot (use|open) the database '


class Town:
    """``async with Town.open(...) as town``: everybody is there and talks. ``calm`` ends that."""

    def __init__(
        self, folder: Path, engine: Engine, post: Post, rng: Random, *, phones: int, pause: float
    ) -> None:
        self.engine = engine
        self.post = post
        self.pause = pause
        self.cut_pause = 0.15
        self.talking = True
        self.address: Address = ("", 0)
        self.names = [f"p{number:02}" for number in range(phones)]
        self.owners: dict[str, int] = {}
        self.folder = folder
        self.server = ServerProcess(folder, limits=_LIMITS, toml=engine.toml)
        self.server.expected.append(_EXPECTED)
        self.tls: ssl.SSLContext = self.server.client_tls()
        self.network = Network(lambda: self.server.c2s_tls, Random(rng.random()), post)
        self._rng = Random(rng.random())
        self.phones = [
            Phone(name, peers, self, Random(rng.random()), reads_history=number % 2 == 1)
            for number, (name, peers) in enumerate(self._acquaintances().items())
        ]
        self._running: list[asyncio.Task[None]] = []
        self._writer: asyncio.Task[None] | None = None

    def _acquaintances(self) -> dict[str, list[str]]:
        """Half of them in pairs, the others in rings of five, in which each writes to the next two."""
        peers: dict[str, list[str]] = {}
        half = len(self.names) // 4 * 2
        for number in range(0, half, 2):
            one, other = self.names[number : number + 2]
            peers[one], peers[other] = [other], [one]
        for start in range(half, len(self.names), 5):
            ring = self.names[start : start + 5]
            for place, name in enumerate(ring):
                peers[name] = [ring[(place + step) % len(ring)] for step in (1, 2)]
        return peers

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, folder: Path, engine: Engine, post: Post, rng: Random, *, phones: int, pause: float
    ) -> AsyncIterator[Self]:
        """``phones`` talk in bursts with ``pause`` seconds between them on an average."""
        town = cls(folder, engine, post, rng, phones=phones, pause=pause)
        await town._settle()
        try:
            await asyncio.to_thread(town.server.start)
            town.address = await town.network.start()
            town._running = [asyncio.create_task(phone.run(), name=phone.name) for phone in town.phones]
            other = OtherWriter(engine.url, folder, town.owners, town.names, post, Random(rng.random()))
            town._writer = asyncio.create_task(other.run())
            yield town
        finally:
            await town._close()

    async def _settle(self) -> None:
        """Make the accounts."""
        stores = await open_stores(self.engine.url, self.folder)
        try:
            keys = make_credentials(PASSWORD, ITERATIONS)
            names = [*self.names, NAME]
            ids = await stores.accounts.create(
                [(Jid.parse(f"{name}@{DOMAIN}"), keys) for name in names], now=0
            )
            self.owners = dict(zip(names, ids, strict=True))
        finally:
            await stores.close()

    async def _close(self) -> None:
        await self._end_writer()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.network.close()
        await asyncio.to_thread(self.server.close)

    async def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    # Troubles

    async def kill(self) -> None:
        """kill -9 of the server; it is back after a moment."""
        self.post.figures.kills += 1
        self.post.happened("the server is killed")
        await asyncio.to_thread(self.server.kill)
        await self._start_again()

    async def kill_in_commit(self) -> None:
        """The same while a batch cannot be committed, and others wait behind it."""
        self.post.figures.kills += 1
        async with self.engine.stalled():
            self.post.happened("the storage stalls")
            await asyncio.sleep(self._rng.uniform(0.1, 0.6))
            self.post.happened("the server is killed")
            await asyncio.to_thread(self.server.kill)
        await self._start_again()

    async def kill_late(self) -> None:
        """The same after so long that the server has saved what each account has got. What it gave meanwhile to phones
        that were out of reach is not among that.
        """
        away = self._rng.sample(self.phones, len(self.phones) // 4)
        for phone in away:
            phone.away = True
            self.post.happened("is out of reach", phone.name)
            self.network.lose(phone.name)
        await asyncio.sleep(_SAVED_SECONDS)
        await self.kill()
        for phone in away:
            phone.away = False

    async def _start_again(self) -> None:
        await asyncio.sleep(self._rng.choice((0.0, self._rng.uniform(0.0, 0.5))))
        await asyncio.to_thread(self.server.start)
        self.post.happened("the server is there again")

    # The end

    async def calm(self) -> None:
        """Nobody writes any more but one last letter to each of his peers, and all that was sent has an answer."""
        await self._end_writer()
        self.talking = False
        await self._quiet()
        for phone in self.phones:
            for peer in phone.peers:
                phone.write_letter(peer)
        await self._quiet()

    async def _quiet(self) -> None:
        if not await until(lambda: all(phone.quiet for phone in self.phones), _QUIET_SECONDS):
            busy = [phone.state() for phone in self.phones if not phone.quiet]
            raise AssertionError(
                f"after {_QUIET_SECONDS:.0f} s without trouble, {len(busy)} of {len(self.phones)} phones still wait:\n"
                + "\n".join(busy[:10])
                + f"\nthe server's log ends:\n{self.server.tail()}"
            )

    def check_phones(self) -> None:
        """AssertionError where a phone stopped for a reason of its own: a mistake of this program."""
        for task in self._running:
            if task.done():
                task.result()


async def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for ``condition``, which others make true; whether it is."""
    for _ in range(round(seconds / _LOOK)):
        if condition():
            return True
        await asyncio.sleep(_LOOK)
    return condition()
