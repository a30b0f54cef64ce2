"""Top-level elements of a bound stream that are no stanzas (XEP-0360): what extensions make of them."""

from __future__ import annotations

from collections.abc import Callable

from xmppd.errors import TakenTwice
from xmppd.sessions.session import Session
from xmppd.xml.element import Element

NonzaHandler = Callable[[Session, Element], None]


class Nonzas:
    """Filled at start by extensions, asked by every stream for what is no stanza."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str], NonzaHandler] = {}
        self._owners: dict[tuple[str, str], str] = {}

    def add(self, name: str, ns: str, handler: NonzaHandler, owner: str) -> None:
        """Let ``handler`` act on ``<name xmlns='ns'/>``, at once: stanzas before it may still be being handled.

        ``TakenTwice`` where there is a handler already.
        """
        if (other := self._owners.get((name, ns))) is not None:
            raise TakenTwice(owner, other, f"<{name} xmlns='{ns}'/> on a stream")
        self._owners[name, ns] = owner
        self._handlers[name, ns] = handler

    def handle(self, session: Session, element: Element) -> bool:
        """Act on ``element``; False where nobody knows it."""
        handler = self._handlers.get((element.name, element.ns))
        if handler is None:
            return False
        handler(session, element)
        return True
