"""IQ requests to the server or on behalf of an account: dispatched by exact type and payload, parsed before
the handler sees them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from xmppd.errors import TakenTwice
from xmppd.routing.outbox import Outbox
from xmppd.sessions.account import Account
from xmppd.stanza import Iq
from xmppd.xml.element import Element

if TYPE_CHECKING:
    from xmppd.jid import Jid
    from xmppd.sessions.session import Session


class Name(NamedTuple):
    """An element's qualified name."""

    ns: str
    name: str


class Payload(Protocol):
    """A payload type: what stands in an IQ, parsed whole or not at all."""

    TAG: ClassVar[Name]

    @classmethod
    def parse(cls, element: Element) -> Self:
        """The value that ``element`` (whose name is ``TAG``) stands for, or a ``StanzaError``."""


class At(Enum):
    """Whom a request is addressed to; the value is for people."""

    SERVER = "the server"  # to='domain'
    OWN = "the sender's own account"  # no 'to', or the own bare JID
    ACCOUNT = "another account"  # somebody else's bare JID, answered by the server on the account's behalf
    NOBODY = "an address without account"  # for answers that must not tell whether there is one


P = TypeVar("P", bound=Payload)
P_co = TypeVar("P_co", bound=Payload, covariant=True)


@dataclass(frozen=True, slots=True)
class Request(Generic[P_co]):
    """One request. ``account`` is whose account is meant (None at the server or nobody); ``session`` the
    sender's if it is one of ours.
    """

    iq: Iq
    payload: P_co
    at: At
    account: Account | None
    session: Session | None

    @property
    def sender(self) -> Jid:
        return self.iq.sender

    @property
    def own(self) -> Account:
        """The sender's account; only for handlers that are registered at ``At.OWN`` or ask for ``session``
        first.
        """
        if self.session is None:
            raise RuntimeError("a request from outside reached a handler for own accounts")
        return self.session.account


Handler = Callable[[Request[P], Outbox], Awaitable[Element | None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered handler and who registered it."""

    payload: type[Payload]
    handler: Handler[Any]
    owner: str


class IqTable:
    """The handlers; a second one for the same request refuses to start: ``TakenTwice``."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str, At], Entry] = {}

    def add(
        self, type: Literal["get", "set"], payload: type[P], handler: Handler[P], at: Iterable[At], owner: str
    ) -> None:
        for where in at:
            key = (type, payload.TAG.ns, payload.TAG.name, where)
            if (other := self._entries.get(key)) is not None:
                tag = f"<{payload.TAG.name} xmlns='{payload.TAG.ns}'/>"
                raise TakenTwice(owner, other.owner, f"iq {type} {tag} to {where.value}")
            self._entries[key] = Entry(payload, handler, owner)

    def find(self, iq: Iq, at: At) -> Entry | None:
        """The handler for ``iq``, a request, addressed to ``at``."""
        payload = iq.payload
        return None if payload is None else self._entries.get((iq.type, payload.ns, payload.name, at))

    def describe(self) -> list[tuple[str, Name, At, str]]:
        """All registrations as (type, payload name, at, owner), sorted."""
        return sorted(
            (
                (kind, Name(space, name), at, entry.owner)
                for (kind, space, name, at), entry in self._entries.items()
            ),
            key=lambda row: (row[1], row[0], row[2].name),
        )
