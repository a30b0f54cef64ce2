"""Facts: things that have happened, as types. Listeners have no order and no return value, and must not fail
each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterUpdate

if TYPE_CHECKING:
    from xmppd.sessions.account import Account
    from xmppd.sessions.session import Session

log = logging.getLogger("xmppd.facts")


@dataclass(frozen=True, slots=True)
class SessionBound:
    """A resource was bound."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionGone:
    """A session has ended; it is no longer among its account's resources."""

    session: Session


@dataclass(frozen=True, slots=True)
class BecameAvailable:
    """A resource sent its initial presence; ``priority`` is on the session."""

    session: Session


@dataclass(frozen=True, slots=True)
class BecameUnavailable:
    """A resource that was available is not any more."""

    session: Session


@dataclass(frozen=True, slots=True)
class PriorityRaised:
    """An available resource whose priority was negative has one that is not: from now on it gets messages."""

    session: Session


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """A roster item of ``account`` (bare) changed and is committed."""

    account: Jid
    update: RosterUpdate


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    """The account ``jid`` (bare) has new keys, which are committed; who logs in with the old ones is refused."""

    jid: Jid


@dataclass(frozen=True, slots=True)
class AccountDeleted:
    """The account ``jid`` (bare) is no more."""

    jid: Jid


@dataclass(frozen=True, slots=True)
class ChangedElsewhere:
    """Another node changed ``account``, its roster or what else is kept with it."""

    account: Account


@dataclass(frozen=True, slots=True)
class KeptElsewhere:
    """Another node kept a message for ``account``, which has a resource here that can take it."""

    account: Account


@dataclass(frozen=True, slots=True)
class ReachableElsewhere:
    """A resource of ``account`` on another node can get messages; before, it was not there or did not want them."""

    account: Account


F = TypeVar("F")


class Facts:
    """Tells listeners what happened."""

    def __init__(self) -> None:
        self._listeners: dict[type[Any], list[Callable[[Any], None]]] = {}
        self.failures = 0

    def on(self, kind: type[F], listener: Callable[[F], None]) -> None:
        self._listeners.setdefault(kind, []).append(listener)

    def tell(self, fact: object) -> None:
        for listener in self._listeners.get(type(fact), ()):
            try:
                listener(fact)
            except Exception:
                self.failures += 1
                log.exception("a listener failed on %s", type(fact).__name__)
