"""What a stream offers besides TLS, SASL and binding: contributions of extensions to ``<stream:features/>``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from xmppd.errors import TakenTwice
from xmppd.jid import Jid
from xmppd.xml.element import Element


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A client's stream: the ``domain`` it opened, its IP ``address``, ``user`` (bare) once it is logged in."""

    domain: Jid
    address: str
    secure: bool
    user: Jid | None


Offer = Callable[[StreamInfo], Element | None]
EarlyHandler = Callable[[StreamInfo, Element], Awaitable[Element]]


class Offers:
    """Filled at start by extensions, read by every stream."""

    def __init__(self) -> None:
        self._offers: list[Offer] = []
        self._early: dict[tuple[str, str], EarlyHandler] = {}
        self._owners: dict[tuple[str, str], str] = {}

    def add(self, offer: Offer) -> None:
        """``offer`` returns the feature for a stream, or None where it has none."""
        self._offers.append(offer)

    def add_early_iq(self, name: str, ns: str, handler: EarlyHandler, owner: str) -> None:
        """Let ``handler`` answer IQs with the payload ``name`` of strangers; it gets the whole IQ and returns
        the reply IQ. ``TakenTwice`` where there is a handler already.
        """
        if (other := self._owners.get((name, ns))) is not None:
            raise TakenTwice(owner, other, f"an IQ with <{name} xmlns='{ns}'/> before login")
        self._owners[name, ns] = owner
        self._early[name, ns] = handler

    def features(self, info: StreamInfo) -> list[Element]:
        return [feature for offer in self._offers if (feature := offer(info)) is not None]

    @property
    def early_iqs(self) -> bool:
        """Whether strangers may send any IQ at all."""
        return bool(self._early)

    def early_handler(self, iq: Element) -> EarlyHandler | None:
        payload = next(iq.elements(), None)
        return None if payload is None else self._early.get((payload.name, payload.ns))
