"""Password hashing, off the event loop and never without limit (DESIGN I9).

Only PLAIN, registration and password changes hash here; SCRAM leaves it to the client. ``hashlib`` releases
the interpreter lock meanwhile, so threads do.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from xmppd.auth.saslprep import PasswordError
from xmppd.auth.scram import derive_keys, make_credentials
from xmppd.storage.interfaces import Credentials, ScramHash

T = TypeVar("T")

# Any of an account's keys tells whether a password is right; SHA-512 costs twice as much as the others.
_CHEAPEST_FIRST: Final = (ScramHash.SHA256, ScramHash.SHA1, ScramHash.SHA512)


class TooBusy(Exception):
    """As many passwords wait to be hashed as may; the asker is to come back later."""


class Passwords:
    """Makes and checks credentials in ``threads`` threads.

    Besides those that run, at most ``waiting`` requests wait; the next one gets ``TooBusy``. 0: as many
    threads as there are cores; any number waits.

    10,000 iterations take about 3 ms of CPU with SHA-1 or SHA-256 and 7 ms with SHA-512. So a check takes 3
    ms, a new password 13 ms, and the default queue is a fifth of a second long.
    """

    def __init__(self, iterations: int, *, threads: int = 1, waiting: int = 64) -> None:
        self.iterations = iterations
        threads = threads or os.cpu_count() or 1
        self._limit = threads + waiting if waiting else math.inf
        self._pending = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")

    @property
    def pending(self) -> int:
        """How many requests wait or run."""
        return self._pending

    async def hash(self, password: str) -> Credentials:
        """Keys for a new password. ``PasswordError`` if it can be none, ``TooBusy`` as above."""
        return await self._run(lambda: make_credentials(password, self.iterations))

    async def verify(self, password: str, credentials: Credentials) -> bool:
        """Whether ``credentials`` were made of ``password``; the time does not depend on the answer.

        ``TooBusy`` as above.
        """
        return await self._run(lambda: _matches(password, credentials))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._limit:
            raise TooBusy("too many passwords wait to be hashed; try again in a moment")
        self._pending += 1
        try:
            # Cancelling takes back what has not begun, so no more than `threads` run for askers who have gone.
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1

    def close(self) -> None:
        """Forget what waits. What runs ends by itself, within milliseconds."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _matches(password: str, credentials: Credentials) -> bool:
    for hash in _CHEAPEST_FIRST:
        if (keys := credentials.get(hash)) is not None:
            try:
                derived = derive_keys(password, hash, keys.salt, keys.iterations)
            except PasswordError:  # known from the password alone, so its speed tells nothing of the account
                return False
            return hmac.compare_digest(derived.stored_key, keys.stored_key)
    return False
