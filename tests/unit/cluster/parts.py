"""What the contracts of bus and registry run on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from xmppd.cluster.interfaces import Bus, Envelope, Registry


@dataclass
class Cluster:
    """Three nodes that note what they hear."""

    bus: Bus
    registry: Registry
    heard: dict[str, list[Envelope]] = field(default_factory=dict)

    def join(self, *nodes: str) -> None:
        for node in nodes:
            self.heard[node] = []
            self.bus.join(node, self.heard[node].append)

    async def settle(self) -> None:
        """Wait until everything that was sent has arrived; an implementation over a network needs more than this."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def take(self, node: str) -> list[Envelope]:
        """What ``node`` has heard since it was asked last."""
        await self.settle()
        taken, self.heard[node][:] = list(self.heard[node]), []
        return taken
