"""Rosters on the wire (RFC 6121#2): what clients ask and set, what they are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.routing.iq import Name
from xmppd.storage.interfaces import RosterItem, RosterUpdate
from xmppd.xml.element import Element, text_element


@dataclass(frozen=True, slots=True)
class RosterGet:
    """The client wants its roster; ``version`` is the one that it has, "" for none, None where it has no use for it."""

    TAG: ClassVar[Name] = Name(ns.ROSTER, "query")
    version: str | None

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(element.get("ver"))


@dataclass(frozen=True, slots=True)
class RosterSet:
    """The client adds or changes a contact, or removes it. Nothing is said yet about too many or too long groups."""

    TAG: ClassVar[Name] = Name(ns.ROSTER, "query")
    jid: Jid
    name: str
    groups: tuple[str, ...]
    remove: bool

    @classmethod
    def parse(cls, element: Element) -> Self:
        items = list(element.each("item"))
        if len(items) != 1:
            # RFC 6121#2.3.3
            raise StanzaError("bad-request", "a roster set has exactly one item")
        item = items[0]
        jid = item.get("jid")
        if jid is None:
            raise StanzaError("bad-request", "a roster item has a jid")
        if item.get("subscription") == "remove":
            return cls(Jid.of(jid), "", (), remove=True)
        # RFC 6121#2.1.2: any other subscription, ask and approved are the server's to say and are ignored
        groups = tuple(group.text() for group in item.each("group"))
        if "" in groups:
            # RFC 6121#2.3.3: no group is said by no element
            raise StanzaError("not-acceptable", "a group has a name")
        if len(set(groups)) != len(groups):
            # RFC 6121#2.3.3
            raise StanzaError("bad-request", "the contact is in a group twice")
        return cls(Jid.of(jid), item.get("name") or "", groups, remove=False)


def version(owner: int, number: int) -> str:
    """The ``ver`` of a roster (RFC 6121#2.6.1).

    It holds the account's id: a client that remembers the roster of an account that was deleted must not take that of a
    new one with the same address for it.
    """
    return f"{owner}-{number}"


def query(items: Iterable[Element], ver: str) -> Element:
    """``<query xmlns='jabber:iq:roster'/>`` with ``items``."""
    return Element("query", ns.ROSTER, {"ver": ver}, list(items))


def item_element(item: RosterItem) -> Element:
    """``item``, which is listed, as clients see it (RFC 6121#2.1.2)."""
    attrs = {"jid": str(item.jid), "subscription": item.subscription.value}
    if item.name:
        attrs["name"] = item.name
    if item.ask:
        attrs["ask"] = "subscribe"
    if item.approved:
        attrs["approved"] = "true"
    return Element(
        "item", ns.ROSTER, attrs, [text_element("group", ns.ROSTER, group) for group in item.groups]
    )


def push(update: RosterUpdate) -> Element:
    """What tells interested resources of ``update``, which is visible (RFC 6121#2.1.6)."""
    after = update.after
    if after is not None and after.listed:
        item = item_element(after)
    else:
        item = Element("item", ns.ROSTER, {"jid": str(update.contact), "subscription": "remove"})
    return query((item,), version(update.owner, update.version))
