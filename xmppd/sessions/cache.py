"""A bounded cache over something that is loaded asynchronously, and that may change while it is being loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Holds at most ``capacity`` values; the one that was loaded longest ago goes first.

    However many ask for a missing key at once, it is loaded once. After ``forget`` nobody gets a value whose
    loading began before: so whoever changes the storage commits, then forgets.
    """

    def __init__(self, load: Callable[[K], Awaitable[V]], capacity: int) -> None:
        self._load = load
        self._capacity = max(1, capacity)
        self._values: dict[K, V] = {}
        self._loading: dict[K, asyncio.Future[V]] = {}

    def peek(self, key: K) -> V | None:
        """The value if it is here; loads nothing."""
        return self._values.get(key)

    async def get(self, key: K) -> V:
        """The value, loaded if need be; raises what loading raises."""
        while (value := self._values.get(key)) is None:
            loading = self._loading.get(key)
            if loading is None:
                return await self._fetch(key)
            await asyncio.wait((loading,))
            if (
                not loading.cancelled()
                and self._loading.get(key) is not loading
                and loading.exception() is None
            ):
                return loading.result()
        return value

    async def _fetch(self, key: K) -> V:
        while True:
            future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
            self._loading[key] = future
            try:
                value = await self._load(key)
            except BaseException as err:
                if self._loading.get(key) is future:
                    del self._loading[key]
                if not future.done():
                    future.cancel()
                raise err
            if self._loading.get(key) is future:
                del self._loading[key]
                self._keep(key, value)
                future.set_result(value)
                return value
            # It was forgotten meanwhile: what we read may be what is no more.
            future.cancel()

    def _keep(self, key: K, value: V) -> None:
        if len(self._values) >= self._capacity:
            del self._values[next(iter(self._values))]
        self._values[key] = value

    def forget(self, key: K) -> None:
        """The value has changed in the storage."""
        self._values.pop(key, None)
        self._loading.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
