"""The stages a stanza passes between two people, in the one order there is, with the reason beside each.

A stage belongs to the sender's or the recipient's side and sees each stanza once. Its handlers judge:
``PASS``, ``Replace``, ``Drop`` or ``Bounce``. Handlers of one stage are independent of each other; where
order matters, there is a stage for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from xmppd.errors import StanzaError
from xmppd.sessions.account import Account
from xmppd.stanza import Iq, Message, Presence, Stanza

S = TypeVar("S", bound=Stanza)


class Outbound(Enum):
    """The sender's side, for stanzas that a client of ours sent."""

    VALIDATE = "is it well-formed and allowed at all? before anything acts on it"
    LIMITS = "may this account send so much? before it costs anybody else"
    BLOCK = "does the sender block the recipient? then sending is a mistake (XEP-0191#blocked)"
    ANNOTATE = "what does the server add for the sender? last, so that only what goes out is touched"


class Inbound(Enum):
    """The recipient's side, for stanzas to a local account, wherever they come from."""

    BLOCK = "does the recipient block the sender? first, so that the sender learns nothing else"
    FILTER = "does the recipient want it? (spam, anonymous strangers)"
    QUOTA = "is there room for it? last, because what comes later keeps it: no bounce after this point"


@dataclass(frozen=True, slots=True)
class Pass:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Go on with another stanza of the same kind."""

    stanza: Stanza


@dataclass(frozen=True, slots=True)
class Drop:
    """Silently end here; ``reason`` is for operators."""

    reason: str


@dataclass(frozen=True, slots=True)
class Bounce:
    """Answer the sender with ``error``."""

    error: StanzaError


Verdict = Pass | Replace | Drop | Bounce
PASS: Final = Pass()
Stage = Outbound | Inbound
Handler = Callable[[S, Account], Verdict]
KINDS: Final[tuple[type[Stanza], ...]] = (Message, Presence, Iq)


@dataclass(frozen=True, slots=True)
class Registration:
    """``handler`` of the extension ``owner`` stands at ``stage`` for one ``kind`` of stanza."""

    stage: Stage
    kind: type[Stanza]
    handler: Handler[Any]
    owner: str


class Pipeline:
    """The registered handlers, flattened at start to one tuple per side and kind of stanza."""

    def __init__(self) -> None:
        self.registrations: list[Registration] = []
        self._outbound: dict[type[Stanza], tuple[Handler[Any], ...]] = {}
        self._inbound: dict[type[Stanza], tuple[Handler[Any], ...]] = {}

    def add(self, stage: Stage, kind: type[S], handler: Handler[S], owner: str) -> None:
        self.registrations.append(Registration(stage, kind, handler, owner))
        side = type(stage)
        flat = self._outbound if side is Outbound else self._inbound
        flat[kind] = tuple(
            registration.handler
            for each in side
            for registration in self.registrations
            if registration.stage is each and registration.kind is kind
        )

    def outbound(self, stanza: S, sender: Account) -> S | None:
        """What is left of ``stanza`` behind the sender's stages; None: dropped. A bounce raises its
        ``StanzaError``.
        """
        return _judged(self._outbound.get(type(stanza), ()), stanza, sender)

    def inbound(self, stanza: S, recipient: Account) -> S | None:
        """The same behind the recipient's stages."""
        return _judged(self._inbound.get(type(stanza), ()), stanza, recipient)


def _judged(handlers: Sequence[Handler[Any]], stanza: S, account: Account) -> S | None:
    for handler in handlers:
        verdict = handler(stanza, account)
        if verdict is PASS:
            continue
        match verdict:
            case Replace(stanza=other):
                stanza = other  # type: ignore[assignment]  # the same kind, by Replace's contract
            case Drop():
                return None
            case Bounce(error=error):
                raise error
    return stanza
