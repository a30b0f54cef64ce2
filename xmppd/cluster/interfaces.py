"""What a node needs of the others: a registry that knows every connected resource, and a bus that brings
stanzas to the right node.

One process has the in-memory implementation (``local.py``); rules above this floor do not know how many nodes
there are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from xmppd.errors import StreamCondition
from xmppd.jid import Jid
from xmppd.stanza import Presence, Stanza


@dataclass(frozen=True, slots=True)
class ResourceEntry:
    """One connected resource: ``jid`` is full, ``connection`` tells two sessions of one JID apart, ``traits``
    is opaque here.
    """

    jid: Jid
    node: str
    connection: str
    presence: Presence | None = None
    priority: int = 0
    traits: int = 0


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give ``stanza`` to the resource ``to`` (full)."""

    to: Jid
    stanza: Stanza


@dataclass(frozen=True, slots=True)
class Displace:
    """The session ``connection`` of ``jid`` has lost its name to a newer one elsewhere: end it with
    ``conflict``.
    """

    jid: Jid
    connection: str


@dataclass(frozen=True, slots=True)
class End:
    """End the session ``connection`` of ``jid`` with the stream error ``condition``; ``text`` may be empty."""

    jid: Jid
    connection: str
    condition: StreamCondition
    text: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A resource of an account that the receiving node has loaded was bound or has changed."""

    entry: ResourceEntry


@dataclass(frozen=True, slots=True)
class Gone:
    """Such a resource is no more."""

    entry: ResourceEntry


@dataclass(frozen=True, slots=True)
class Forget:
    """What is cached about ``account`` (bare) is out of date."""

    account: Jid


@dataclass(frozen=True, slots=True)
class Kept:
    """A message for ``account`` (bare) was kept, though a resource on the receiving node could take it by now."""

    account: Jid


Envelope = Deliver | Displace | End | Changed | Gone | Forget | Kept


class Bus(Protocol):
    """Brings envelopes to nodes; between two nodes their order is kept."""

    @abstractmethod
    def join(self, node: str, receive: Callable[[Envelope], None]) -> None:
        """From now on ``receive`` gets what is sent to ``node``."""

    @abstractmethod
    def leave(self, node: str) -> None:
        """``node`` is no more; what is sent to it is lost."""

    @abstractmethod
    def send(self, node: str, envelope: Envelope) -> None:
        """Send ``envelope``; never waits. It arrives later, or never if ``node`` is gone."""


class Registry(Protocol):
    """Account → resources, on all nodes. Nodes that loaded an account hear of every later change by the bus, except
    of those that they made themselves; what they hear of one JID comes in the order in which it happened.
    """

    @abstractmethod
    async def bind(self, entry: ResourceEntry) -> None:
        """Register ``entry``. The newest wins: whoever held the JID before is told to end by ``Displace``."""

    @abstractmethod
    def update(self, entry: ResourceEntry) -> None:
        """``entry`` has other presence, priority or traits. Without effect when the JID belongs to another
        connection.
        """

    @abstractmethod
    def unbind(self, entry: ResourceEntry) -> None:
        """The resource is gone. Without effect when the JID belongs to another connection by now."""

    @abstractmethod
    async def load(self, account: Jid, node: str) -> Sequence[ResourceEntry]:
        """All resources of ``account`` (bare); from now on ``node`` hears of changes."""

    @abstractmethod
    def may_know(self, account: Jid) -> bool:
        """Whether ``account`` (bare) may have resources, on whatever node; True where it takes a question to find
        out. Costs next to nothing: it is asked of each contact who is not in memory.
        """

    @abstractmethod
    def release(self, account: Jid, node: str) -> None:
        """``node`` has forgotten ``account`` and need not hear of it any more."""

    @abstractmethod
    def tell(self, account: Jid, envelope: Envelope, *, but: str) -> None:
        """Send ``envelope`` to every node that has loaded ``account`` (bare), except the node ``but``."""
