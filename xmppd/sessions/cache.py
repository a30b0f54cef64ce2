"""A bounded cache over something that is loaded asynchronously, and that may change while it is being loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Holds at most ``capacity`` values; the one that was loaded longest ago goes first.

    However many ask for a missing key at once, it is loaded once, and if that fails all of them are told. After
    ``forget`` nobody gets a value whose loading began before: so whoever changes the storage commits, then forgets.
    What ``get`` returns is what ``peek`` returns at that moment, so all who ask share one object.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        capacity: int,
        evicted: Callable[[K, V], None] | None = None,
    ) -> None:
        """``evicted`` is told what had to go because the cache was full."""
        self._load = load
        self._capacity = max(1, capacity)
        self._evicted = evicted
        self._values: dict[K, V] = {}
        self._loading: dict[K, asyncio.Future[None]] = {}

    def peek(self, key: K) -> V | None:
        """The value if it is here; loads nothing."""
        return self._values.get(key)

    async def get(self, key: K) -> V:
        """The value, loaded if need be; raises what loading raises."""
        while (value := self._values.get(key)) is None:
            loading = self._loading.get(key)
            if loading is None:
                await self._fetch(key)
                continue
            await asyncio.wait((loading,))
            # Cancelled: it was forgotten, or who loaded it was cancelled. Then we look, and if need be load, again.
            if not loading.cancelled() and (error := loading.exception()) is not None:
                raise error
        return value

    async def _fetch(self, key: K) -> None:
        """Load the value and keep it, unless it was forgotten meanwhile: then what we read may be what is no more."""
        future = self._loading[key] = asyncio.get_running_loop().create_future()
        try:
            value = await self._load(key)
        except Exception as err:
            if self._is_over(key, future):
                return
            future.set_exception(err)
            future.exception()  # whether or not somebody waits for it, it is not lost: we raise it
            raise
        except BaseException:
            self._is_over(key, future)
            future.cancel()
            raise
        if not self._is_over(key, future):
            self._keep(key, value)
            future.set_result(None)

    def _is_over(self, key: K, future: asyncio.Future[None]) -> bool:
        """Whether the load that ``future`` stands for was forgotten; else it ends here."""
        if self._loading.get(key) is not future:
            return True
        del self._loading[key]
        return False

    def _keep(self, key: K, value: V) -> None:
        if len(self._values) >= self._capacity:
            oldest = next(iter(self._values))
            gone = self._values.pop(oldest)
            if self._evicted is not None:
                self._evicted(oldest, gone)
        self._values[key] = value

    def forget(self, key: K) -> V | None:
        """The value has changed in the storage; what was here of it."""
        loading = self._loading.pop(key, None)
        if loading is not None:
            loading.cancel()
        return self._values.pop(key, None)

    def values(self) -> tuple[V, ...]:
        """All that is here."""
        return tuple(self._values.values())

    def __len__(self) -> int:
        return len(self._values)
