"""Registry and bus in memory, for the nodes of one process: the only one in production, several in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from xmppd.cluster.interfaces import Bus, Changed, Displace, Envelope, Gone, Registry, ResourceEntry
from xmppd.jid import Jid


class LocalBus(Bus):
    """Envelopes arrive in the next tick of the loop, in order."""

    def __init__(self) -> None:
        self._nodes: dict[str, Callable[[Envelope], None]] = {}

    def join(self, node: str, receive: Callable[[Envelope], None]) -> None:
        self._nodes[node] = receive

    def leave(self, node: str) -> None:
        self._nodes.pop(node, None)

    def send(self, node: str, envelope: Envelope) -> None:
        if node in self._nodes:
            asyncio.get_running_loop().call_soon(self._arrive, node, envelope)

    def _arrive(self, node: str, envelope: Envelope) -> None:
        receive = self._nodes.get(node)
        if receive is not None:
            receive(envelope)


class LocalRegistry(Registry):
    """A dict of dicts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._entries: dict[Jid, dict[Jid, ResourceEntry]] = {}
        self._interested: dict[Jid, set[str]] = {}

    async def bind(self, entry: ResourceEntry) -> None:
        resources = self._entries.setdefault(entry.jid.bare, {})
        before = resources.get(entry.jid)
        resources[entry.jid] = entry
        if before is not None and before.node != entry.node:
            self._bus.send(before.node, Displace(before.jid, before.connection))
        self._tell(entry, Changed(entry))

    def update(self, entry: ResourceEntry) -> None:
        resources = self._entries.get(entry.jid.bare, {})
        before = resources.get(entry.jid)
        if before is not None and before.connection == entry.connection:
            resources[entry.jid] = entry
            self._tell(entry, Changed(entry))

    def unbind(self, entry: ResourceEntry) -> None:
        account = entry.jid.bare
        resources = self._entries.get(account, {})
        before = resources.get(entry.jid)
        if before is not None and before.connection == entry.connection:
            del resources[entry.jid]
            if not resources:
                del self._entries[account]
            self._tell(entry, Gone(entry))

    async def load(self, account: Jid, node: str) -> Sequence[ResourceEntry]:
        self._interested.setdefault(account, set()).add(node)
        return tuple(self._entries.get(account, {}).values())

    def may_know(self, account: Jid) -> bool:
        return account in self._entries

    def release(self, account: Jid, node: str) -> None:
        interested = self._interested.get(account)
        if interested is not None:
            interested.discard(node)
            if not interested:
                del self._interested[account]

    def tell(self, account: Jid, envelope: Envelope, *, but: str) -> None:
        for node in self._interested.get(account, ()):
            if node != but:
                self._bus.send(node, envelope)

    def _tell(self, entry: ResourceEntry, envelope: Envelope) -> None:
        self.tell(entry.jid.bare, envelope, but=entry.node)

    @property
    def known(self) -> frozenset[Jid]:
        """The accounts that it knows anything about: those with resources, and those that nodes want to hear of."""
        return frozenset(self._entries.keys() | self._interested.keys())
