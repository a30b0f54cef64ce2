"""How many connections there are from each address, and who is told when there are too many."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from xmppd.clock import Clock
from xmppd.logs import fields
from xmppd.networks import network_of

log = logging.getLogger("xmppd.net")

_TELL_SECONDS: Final = 60.0  # between two lines about one address
_TOLD: Final = 1_024  # addresses in that time; whoever refuses more than these is under attack, and knows it


class ConnectionCounter:
    """The connections of each IPv4 address or IPv6 /64; shared by all listeners of a node. ``refused``: in all.

    ``bound`` names what they are counted for, such as the setting, in the log: one line for an address and minute.
    """

    def __init__(self, bound: str, clock: Clock) -> None:
        self._bound = bound
        self._clock = clock
        self._held: dict[str, int] = {}
        self._told: OrderedDict[str, float] = OrderedDict()  # when each was logged, in that order
        self.refused = 0

    @property
    def held(self) -> int:
        """The connections of all addresses."""
        return sum(self._held.values())

    def acquire(self, address: str, limit: int) -> bool:
        """Count one more from ``address``; False, and nothing is counted, where it has ``limit`` (0: any number)."""
        key = network_of(address)
        held = self._held.get(key, 0)
        if limit and held >= limit:
            self.refused += 1
            self._tell(key, limit)
            return False
        self._held[key] = held + 1
        return True

    def release(self, address: str) -> None:
        key = network_of(address)
        held = self._held.get(key, 0) - 1
        if held > 0:
            self._held[key] = held
        else:
            self._held.pop(key, None)

    def _tell(self, network: str, limit: int) -> None:
        told, now = self._told, self._clock.monotonic()
        while told and now - next(iter(told.values())) >= _TELL_SECONDS:
            told.popitem(last=False)
        if network in told or len(told) >= _TOLD:
            return
        told[network] = now
        log.warning(
            "a connection is refused, its address has too many",
            extra=fields(address=network, bound=self._bound, most=limit, refused=self.refused),
        )
