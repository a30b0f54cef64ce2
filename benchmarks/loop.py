"""The generator's event loop: ready descriptors and a handler each, nothing more.

asyncio would cost more per message than some of the servers measured here.
"""

from __future__ import annotations

import select
import selectors
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

Handler = Callable[[], None]


class _Poller(Protocol):
    """Level-triggered readiness of descriptors."""

    def register(self, fd: int, write: bool) -> None: ...
    def modify(self, fd: int, write: bool) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def poll(self, timeout: float) -> list[int]: ...
    def close(self) -> None: ...


class _SelectorPoller:
    """kqueue or whatever the platform has."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, write: bool) -> None:
        self._selector.register(fd, _selector_mask(write))

    def modify(self, fd: int, write: bool) -> None:
        self._selector.modify(fd, _selector_mask(write))

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float) -> list[int]:
        return [key.fd for key, _ in self._selector.select(timeout)]

    def close(self) -> None:
        self._selector.close()


if sys.platform == "linux":

    class _EpollPoller:
        """`select.epoll` itself: `selectors` adds about 1 µs per ready descriptor."""

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def register(self, fd: int, write: bool) -> None:
            self._epoll.register(fd, _epoll_mask(write))

        def modify(self, fd: int, write: bool) -> None:
            self._epoll.modify(fd, _epoll_mask(write))

        def unregister(self, fd: int) -> None:
            self._epoll.unregister(fd)

        def poll(self, timeout: float) -> list[int]:
            return [fd for fd, _ in self._epoll.poll(timeout, 1024)]

        def close(self) -> None:
            self._epoll.close()

    def _epoll_mask(write: bool) -> int:
        return select.EPOLLIN | select.EPOLLOUT if write else select.EPOLLIN

    def _make_poller() -> _Poller:
        return _EpollPoller()

else:

    def _make_poller() -> _Poller:
        return _SelectorPoller()


class Loop:
    """Calls the handler of each descriptor that is ready; whatever a handler raises comes out of `run`.

    As a context manager it closes on leaving whatever was added and not removed.
    """

    def __init__(self) -> None:
        self._poller = _make_poller()
        self._handlers: dict[int, Handler] = {}
        self._closers: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for close in list(self._closers.values()):
            close()
        self._poller.close()

    def add(self, fd: int, handler: Handler, close: Handler) -> None:
        """Call `handler` whenever `fd` is readable, or writable if `want_write` asked for that.

        `close` closes it and calls `remove`.
        """
        self._handlers[fd] = handler
        self._closers[fd] = close
        self._poller.register(fd, write=False)

    def want_write(self, fd: int, wanted: bool) -> None:
        self._poller.modify(fd, write=wanted)

    def remove(self, fd: int) -> None:
        del self._handlers[fd], self._closers[fd]
        self._poller.unregister(fd)

    def step(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for something to be ready and handle all that is."""
        handlers = self._handlers
        for fd in self._poller.poll(timeout):
            handler = handlers.get(fd)  # an earlier handler of this round may have closed it
            if handler is not None:
                handler()

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Run for `seconds`, or until `until()` is true; the result says whether it became true."""
        deadline = time.perf_counter() + seconds
        while until is None or not until():
            left = deadline - time.perf_counter()
            if left <= 0:
                return False
            self.step(min(left, 0.05))
        return True


def _selector_mask(write: bool) -> int:
    return selectors.EVENT_READ | selectors.EVENT_WRITE if write else selectors.EVENT_READ
