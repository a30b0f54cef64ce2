"""An account as this node knows it: its resources, here or elsewhere, and what extensions keep in memory
about it.
"""

from __future__ import annotations

from enum import Flag, auto
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from xmppd.jid import Jid
from xmppd.stanza import Presence, Stanza

if TYPE_CHECKING:
    from xmppd.im.mailbox import Mailbox

T = TypeVar("T")


class Trait(Flag):
    """What other parts of the server, on any node, must know about a resource."""

    NONE = 0
    ROSTER = auto()  # it asked for the roster: an "interested resource" (RFC 6121#2.1.6)
    BLOCKLIST = auto()  # it asked for the block list (XEP-0191#block)
    CARBONS = auto()  # XEP-0280


class Resource(Protocol):
    """One connected resource of an account; on this node it is a ``Session``, else a stand-in that uses the
    bus.
    """

    @property
    def jid(self) -> Jid:
        """Its full JID."""

    @property
    def presence(self) -> Presence | None:
        """What it broadcast last, stamped with when (XEP-0203); None while it is not available."""

    @property
    def priority(self) -> int:
        """-128 to 127; meaningless while ``presence`` is None."""

    @property
    def traits(self) -> Trait: ...

    def deliver(self, stanza: Stanza) -> None:
        """Give it ``stanza``, as it is."""


class Account:
    """One local account. ``id`` is the storage's ``owner``; ``resources`` has all connected resources by
    name. ``mailbox`` says what of its archive its clients have; it is there before anybody sees the account.
    ``elsewhere``: it has, or had since it came into memory, resources on other nodes.
    """

    __slots__ = ("_data", "elsewhere", "id", "jid", "mailbox", "resources")

    def __init__(self, id: int, jid: Jid) -> None:
        self.id = id
        self.jid = jid
        self.resources: dict[str, Resource] = {}
        self.mailbox: Mailbox | None = None
        self.elsewhere = False
        self._data: dict[type[Any], Any] | None = None

    def available(self) -> list[Resource]:
        """The resources that have sent available presence (RFC 6121#4.2)."""
        return [resource for resource in self.resources.values() if resource.presence is not None]

    def reachable(self) -> list[Resource]:
        """The available resources whose priority is not negative (RFC 6121#8.5.2.1)."""
        return [
            resource
            for resource in self.resources.values()
            if resource.presence is not None and resource.priority >= 0
        ]

    def with_trait(self, trait: Trait) -> list[Resource]:
        return [resource for resource in self.resources.values() if resource.traits & trait]

    def get(self, kind: type[T]) -> T | None:
        """What an extension keeps under its own class; None where it keeps nothing."""
        data = self._data
        return None if data is None else data.get(kind)

    def put(self, value: object) -> None:
        """Keep ``value`` under its class while the account is in memory."""
        if self._data is None:
            self._data = {}
        self._data[type(value)] = value

    def drop(self, kind: type[Any]) -> None:
        if self._data is not None:
            self._data.pop(kind, None)
            self._data = self._data or None

    def __repr__(self) -> str:
        return f"<Account {self.jid}: {', '.join(self.resources)}>"
