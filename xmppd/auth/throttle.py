"""Failed logins, counted, so that nobody guesses passwords for long.

Three counts, each a bucket that fills by one per failure and leaks until it is empty after
``window_seconds``:

- per address and account: the ordinary guesser, or a forgotten phone with an old password;
- per address: one guesser who tries many accounts;
- per account: many addresses that try one account. This one only stops addresses that have failed for the
  account themselves. The owner's has not, so an attack from everywhere does not lock the owner out; and each
  attacking address gets one guess.

A login that succeeds empties the account's buckets, not the address's: otherwise a guesser with an account of
their own would log in there after every few guesses. Accounts that do not exist are counted like those that
do.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

from xmppd.clock import Clock
from xmppd.errors import SaslError
from xmppd.networks import network_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleConfig:
    """How many failures are free within ``window_seconds``, and then one each window / number; 0: no bound.

    ``failures_per_login``: from one address for one account. ``remembered``: how many buckets of each kind are
    kept; beyond it, the one longest without a failure is forgotten.
    """

    failures_per_login: int = 10
    failures_per_address: int = 100
    failures_per_account: int = 100
    window_seconds: float = 900
    remembered: int = 65_536


class Throttle:
    """Asked before each attempt and told how it ended. ``address`` is the client's IP address as text."""

    def __init__(self, config: ThrottleConfig, clock: Clock) -> None:
        self._logins = Buckets(config.failures_per_login, config, clock)
        self._addresses = Buckets(config.failures_per_address, config, clock)
        self._accounts = Buckets(config.failures_per_account, config, clock)

    def check(self, address: str, account: str | None = None) -> None:
        """Raise ``SaslError`` ``temporary-auth-failure`` if ``address`` has to wait before it tries ``account``.

        None: before it tries any.
        """
        network = network_of(address)
        wait = self._addresses.wait(hash(network))
        if account is not None:
            login = hash((network, account))
            attacked = min(self._accounts.wait(hash(account)), self._logins.until(login, 0))
            wait = max(wait, self._logins.wait(login), attacked)
        if wait > 0:
            raise SaslError(
                "temporary-auth-failure", f"too many failed logins; try again in {ceil(wait)} seconds"
            )

    def failed(self, address: str, account: str | None = None) -> None:
        """Count a failure; ``account`` is None where the name can belong to none."""
        network = network_of(address)
        self._addresses.add(hash(network))
        if account is not None:
            self._logins.add(hash((network, account)))
            self._accounts.add(hash(account))

    def succeeded(self, address: str, account: str) -> None:
        """Forget the failures of ``account``, and those of ``address`` with it."""
        self._logins.forget(hash((network_of(address), account)))
        self._accounts.forget(hash(account))

    @property
    def remembered(self) -> int:
        """How many buckets are kept now."""
        return len(self._logins) + len(self._addresses) + len(self._accounts)


class Buckets:
    """Leaky buckets that hold ``size`` each (0: without bound), in order of what was added last.

    Keys are hashes: long names cost no more than short ones.
    """

    def __init__(self, size: int, config: ThrottleConfig, clock: Clock) -> None:
        self._size = size if config.window_seconds > 0 else 0
        self._leak = (size or 1) / (config.window_seconds or 1)  # per second
        self._most = config.remembered
        self._clock = clock
        self._levels: OrderedDict[int, tuple[float, float]] = OrderedDict()  # key: level, and when it was so

    def wait(self, key: int) -> float:
        """Seconds until there is room for one more failure."""
        return self.until(key, self._size - 1) if self._size else 0.0

    def until(self, key: int, level: float) -> float:
        """Seconds until no more than ``level`` failures are left."""
        return max(0.0, self._level(key) - level) / self._leak

    def add(self, key: int) -> None:
        self._levels[key] = (self._level(key) + 1, self._clock.monotonic())
        self._levels.move_to_end(key)
        while len(self._levels) > max(1, self._most) or self._level(next(iter(self._levels))) == 0:
            self._levels.popitem(last=False)

    def _level(self, key: int) -> float:
        entry = self._levels.get(key)
        if entry is None:
            return 0.0
        level, at = entry
        return max(0.0, level - (self._clock.monotonic() - at) * self._leak)

    def forget(self, key: int) -> None:
        self._levels.pop(key, None)

    def __len__(self) -> int:
        return len(self._levels)
