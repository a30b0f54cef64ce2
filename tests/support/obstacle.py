"""One call of the storage that the test lets wait or fail."""

from __future__ import annotations

import asyncio
from typing import Any

from xmppd.storage.interfaces import StorageUnavailable, Stores


class Obstacle:
    """In front of the method ``name`` of one of the ``stores``: ``Obstacle("rooms", "load")``."""

    def __init__(self, store: str, name: str) -> None:
        self._store = store
        self._name = name
        self._gate: asyncio.Event | None = None
        self.away = False
        """Whether each call fails as one of a storage that is away."""

    def wrap(self, stores: Stores) -> Stores:
        """For ``Harness(wrap=...)``."""
        store = getattr(stores, self._store)
        real = getattr(store, self._name)

        async def call(*args: Any, **options: Any) -> Any:
            if self._gate is not None:
                await self._gate.wait()
            if self.away:
                raise StorageUnavailable("the storage is away")
            return await real(*args, **options)

        setattr(store, self._name, call)
        return stores

    def hold(self) -> None:
        """From now on each call waits."""
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        """What waits goes on, and nothing waits any more."""
        if self._gate is not None:
            self._gate.set()
            self._gate = None
