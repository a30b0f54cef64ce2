"""The two sides of a subscription stanza as changes of a roster that remember what they found (RFC 6121#3).

Each step is the ``change`` of one roster item; several stand in one transaction, and a later one may look at what an
earlier one of the same transaction did. When it has committed, ``effect`` says what is to be told.
"""

from __future__ import annotations

from collections.abc import Callable

from xmppd.errors import StanzaError
from xmppd.im.subscriptions import Inbound, Kind, Outbound, inbound, outbound, removal
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterItem


class OutboundStep:
    """The user sends ``kind`` to ``contact``; a change of the user's roster."""

    __slots__ = ("_contact", "_kind", "effect")

    def __init__(self, kind: Kind, contact: Jid) -> None:
        self._kind = kind
        self._contact = contact
        self.effect = Outbound(None, route=False)

    def __call__(self, item: RosterItem | None) -> RosterItem | None:
        self.effect = outbound(self._kind, item, self._contact)
        return self.effect.item


class InboundStep:
    """``contact`` sends what ``arriving`` says, or nothing; a change of the roster of whoever gets it.

    ``request``: a subscription request as it is to be kept.
    """

    __slots__ = ("_arriving", "_contact", "_request", "effect", "kind")

    def __init__(
        self, arriving: Callable[[], Kind | None], contact: Jid, request: bytes | None = None
    ) -> None:
        self._arriving = arriving
        self._contact = contact
        self._request = request
        self.kind: Kind | None = None
        self.effect = Inbound(None, deliver=False)

    def __call__(self, item: RosterItem | None) -> RosterItem | None:
        self.kind = self._arriving()
        if self.kind is None:
            self.effect = Inbound(item, deliver=False)
        else:
            self.effect = inbound(self.kind, item, self._contact, self._request)
        return self.effect.item


class RemovalStep:
    """The user removes a contact from the roster (RFC 6121#2.5); ``kinds`` go out to it, ``seen_us``: it saw us.

    ``item-not-found`` for a contact that the user does not see, unless ``unlisted`` ones are meant as well.
    """

    __slots__ = ("_unlisted", "kinds", "seen_us")

    def __init__(self, *, unlisted: bool) -> None:
        self._unlisted = unlisted
        self.kinds: tuple[Kind, ...] = ()
        self.seen_us = False

    def __call__(self, item: RosterItem | None) -> None:
        if item is None or not (item.listed or self._unlisted):
            # RFC 6121#2.5.3
            raise StanzaError("item-not-found", "there is no such contact in the roster")
        self.kinds = removal(item)
        self.seen_us = item.sees_us

    def kind(self, position: int) -> Kind | None:
        """What goes out as number ``position``."""
        return self.kinds[position] if position < len(self.kinds) else None
