"""Presence subscriptions (RFC 6121#3 and appendix A) as pure functions over roster items.

The theory. RFC 6121 names nine states and prints eight tables of nine rows. But a state is a pair of two independent
halves: ``to``, our right to see the contact's presence, and ``from``, the contact's right to see ours. Each half is
not there, asked for, or granted; three times three are the nine states:

    =========  =====================  =======================  =======
    to \\ from  nothing                asked (a request waits)  granted
    =========  =====================  =======================  =======
    nothing    None                   None + Pending In        From
    asked      None + Pending Out     None + Pending Out+In    From + Pending Out
    granted    To                     To + Pending In          Both
    =========  =====================  =======================  =======

A stanza touches one half only: what we send to get presence (``subscribe``, ``unsubscribe``) and the contact's answers
(``subscribed``, ``unsubscribed``) touch ``to``; what the contact sends to get ours, and our answers, touch ``from``. So
each of the eight tables has three rows, and they stand below as one line each. The tests spell out all seventy-two.

Beside the state, an item has two flags: ``approved``, a consent given before the request (RFC 6121#3.4; it is used up
by the request that it answers), and ``listed``: an item that only carries a request is not shown to the user until she
answers ``subscribed``, asks for a subscription herself, or puts the contact into her roster; a denial removes it.

The functions run inside ``RosterChange.change``. Where an item does not change they return the same object. Who calls
them sends what is to be sent after the commit, in this order: the presence of ``send_unavailable``, the stanza itself,
the roster push, the ``reply``, the presence of ``send_presence`` (RFC 6121#3.1.6, #3.2.2, #3.2.3, #3.3.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterItem, Subscription


class Kind(Enum):
    """The four subscription stanzas; the value is the ``type`` of the presence stanza."""

    SUBSCRIBE = "subscribe"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBE = "unsubscribe"
    UNSUBSCRIBED = "unsubscribed"


@dataclass(frozen=True, slots=True)
class Outbound:
    """What a stanza from the user to the contact does on the user's side.

    ``item``: the contact's item afterwards, None for none. ``route``: the stanza goes on to the contact.
    ``send_presence``: then tell the contact the current presence of each available resource (RFC 6121#3.1.5).
    ``send_unavailable``: before the stanza, tell the contact that each available resource is gone (RFC 6121#3.2.2).
    """

    item: RosterItem | None
    route: bool
    send_presence: bool = False
    send_unavailable: bool = False


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a stanza from the contact to the user does on the user's side.

    ``item``: the contact's item afterwards, None for none. ``deliver``: the user's clients get the stanza. ``reply``:
    the server answers the contact with it in the user's name. ``send_presence`` and ``send_unavailable``: tell the
    contact the current presence of each available resource (RFC 6121#3.1.5), or that each is gone (RFC 6121#3.3.3).
    """

    item: RosterItem | None
    deliver: bool
    reply: Kind | None = None
    send_presence: bool = False
    send_unavailable: bool = False


class _Half(Enum):
    """How far one direction of a subscription has come."""

    NOTHING = 0
    ASKED = 1
    GRANTED = 2


_N, _A, _G = _Half.NOTHING, _Half.ASKED, _Half.GRANTED
_Row = dict[_Half, tuple[_Half, bool]]

# For each kind and what its half is before: what the half becomes, and whether the stanza passes, that is, whether it
# is routed to the contact or delivered to the user.
_OUTBOUND_TO: Final[dict[Kind, _Row]] = {
    Kind.SUBSCRIBE: {_N: (_A, True), _A: (_A, True), _G: (_G, True)},  # RFC 6121#A.2.1
    Kind.UNSUBSCRIBE: {_N: (_N, True), _A: (_N, True), _G: (_N, True)},  # RFC 6121#A.2.2
}
_OUTBOUND_FROM: Final[dict[Kind, _Row]] = {
    Kind.SUBSCRIBED: {_N: (_N, False), _A: (_G, True), _G: (_G, False)},  # RFC 6121#A.2.3
    Kind.UNSUBSCRIBED: {_N: (_N, False), _A: (_N, True), _G: (_N, True)},  # RFC 6121#A.2.4
}
_INBOUND_FROM: Final[dict[Kind, _Row]] = {
    Kind.SUBSCRIBE: {_N: (_A, True), _A: (_A, False), _G: (_G, False)},  # RFC 6121#A.3.1
    Kind.UNSUBSCRIBE: {_N: (_N, False), _A: (_N, True), _G: (_N, True)},  # RFC 6121#A.3.2
}
_INBOUND_TO: Final[dict[Kind, _Row]] = {
    Kind.SUBSCRIBED: {_N: (_N, False), _A: (_G, True), _G: (_G, False)},  # RFC 6121#A.3.3
    Kind.UNSUBSCRIBED: {_N: (_N, False), _A: (_N, True), _G: (_N, True)},  # RFC 6121#A.3.4
}


def outbound(kind: Kind, item: RosterItem | None, contact: Jid) -> Outbound:
    """The user sends ``kind`` to ``contact``, whose item is ``item`` (None: not in the roster)."""
    before = item or _unlisted(contact)
    if (row := _OUTBOUND_TO.get(kind)) is not None:
        half, route = row[_to(before)]
        after = _with_to(before, half)
        if kind is Kind.SUBSCRIBE:
            after = _change(after, listed=True)
        return Outbound(_kept(after), route)
    had = _from(before)
    half, route = _OUTBOUND_FROM[kind][had]
    after = _with_from(before, half, before.request)
    if kind is Kind.SUBSCRIBED:
        # RFC 6121#3.4.2: without a request it approves the one to come, and the contact must not hear of it
        after = _change(after, approved=had is _Half.NOTHING, listed=True)
        return Outbound(_kept(after), route, send_presence=route)
    after = _change(after, approved=False)  # RFC 6121#3.2.2: takes a pre-approval back
    return Outbound(_kept(after), route, send_unavailable=had is _Half.GRANTED)


def inbound(kind: Kind, item: RosterItem | None, contact: Jid, stanza: bytes | None) -> Inbound:
    """``contact``, whose item in the user's roster is ``item``, sends ``kind``.

    ``stanza`` is the stanza as it is to be delivered until the user answers; only ``subscribe`` needs it, and raises
    ``ValueError`` without.
    """
    before = item or _unlisted(contact)
    if (row := _INBOUND_TO.get(kind)) is not None:
        half, deliver = row[_to(before)]
        return Inbound(_kept(_with_to(before, half)), deliver)
    had = _from(before)
    half, deliver = _INBOUND_FROM[kind][had]
    if kind is Kind.UNSUBSCRIBE:
        after = _with_from(before, half, None)
        return Inbound(_kept(after), deliver, send_unavailable=had is _Half.GRANTED)
    if had is _Half.GRANTED or before.approved:
        # RFC 6121#3.1.3 and #3.4.2: the user said yes already, so the server repeats it for her
        after = _change(_with_from(before, _Half.GRANTED, None), approved=False)
        return Inbound(_kept(after), deliver=False, reply=Kind.SUBSCRIBED, send_presence=True)
    if stanza is None:
        raise ValueError("a subscription request is kept until it is answered: give inbound() its stanza")
    request = (
        before.request if before.request is not None else stanza
    )  # RFC 6121#3.1.3: one request, the first
    return Inbound(_kept(_with_from(before, half, request)), deliver)


def removal(item: RosterItem) -> tuple[Kind, ...]:
    """What goes out to the contact, in order, when the user removes ``item`` from her roster (RFC 6121#2.5.2, #2.5.3).

    Requests in either direction are withdrawn and denied as well, so that nothing half done is left at the contact's
    side. Where ``item.sees_us``, tell the contact before ``unsubscribed`` that each available resource is gone.
    """
    kinds = []
    if _to(item) is not _Half.NOTHING:
        kinds.append(Kind.UNSUBSCRIBE)
    if _from(item) is not _Half.NOTHING:
        kinds.append(Kind.UNSUBSCRIBED)
    return tuple(kinds)


def farewell(items: Iterable[RosterItem]) -> Iterator[tuple[Jid, tuple[Kind, ...]]]:
    """What goes out when the account is deleted: for each contact that has to hear of it, as in ``removal``."""
    for item in items:
        if kinds := removal(item):
            yield item.jid, kinds


# A roster item as two halves, and back.


def _to(item: RosterItem) -> _Half:
    if item.sees_them:
        return _Half.GRANTED
    return _Half.ASKED if item.ask else _Half.NOTHING


def _from(item: RosterItem) -> _Half:
    if item.sees_us:
        return _Half.GRANTED
    return _Half.ASKED if item.request is not None else _Half.NOTHING


def _with_to(item: RosterItem, half: _Half) -> RosterItem:
    subscription = _SUBSCRIPTIONS[half is _Half.GRANTED, item.sees_us]
    return _change(item, subscription=subscription, ask=half is _Half.ASKED)


def _with_from(item: RosterItem, half: _Half, request: bytes | None) -> RosterItem:
    subscription = _SUBSCRIPTIONS[item.sees_them, half is _Half.GRANTED]
    return _change(item, subscription=subscription, request=request if half is _Half.ASKED else None)


_SUBSCRIPTIONS: Final = {
    (False, False): Subscription.NONE,
    (True, False): Subscription.TO,
    (False, True): Subscription.FROM,
    (True, True): Subscription.BOTH,
}


def _unlisted(contact: Jid) -> RosterItem:
    """Stands for a contact that is not in the roster: state None."""
    return RosterItem(contact.bare, listed=False)


def _change(item: RosterItem, **changes: object) -> RosterItem:
    """``item`` with ``changes``; itself when they change nothing."""
    changed = replace(item, **changes)  # type: ignore[arg-type]  # mypy cannot see through **
    return item if changed == item else changed


def _kept(item: RosterItem) -> RosterItem | None:
    """What is stored: an item that is not listed lives only as long as it carries a request."""
    return item if item.listed or item.request is not None else None
