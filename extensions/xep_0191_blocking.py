"""XEP-0191: Blocking Command. A blocked address gets nothing from the user and reaches the user with nothing.

To the blocked one the user looks offline (XEP-0191#block): messages and requests come back as
``service-unavailable``, presence is not answered at all. Subscriptions stay as they are ("polite blocking",
XEP-0191#impl), so that unblocking is all it takes to be seen again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

import msgspec

from xmppd.config.values import bound
from xmppd.errors import StanzaError
from xmppd.extension import Core, Extension, Setup
from xmppd.jid import Jid
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.routing.pipeline import PASS, Bounce, Drop, Inbound, Outbound, Verdict
from xmppd.sessions.account import Account, Trait
from xmppd.sessions.session import Session
from xmppd.stanza import Presence, Stanza
from xmppd.storage.interfaces import BlocklistFull, RosterItem
from xmppd.xml.element import Element

NS: Final = "urn:xmpp:blocking"
ERRORS: Final = "urn:xmpp:blocking:errors"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.blocking]``."""

    max_items: Annotated[int, bound(1_000_000, "Most addresses that one account may block.")] = 1_000


@dataclass(frozen=True, slots=True)
class Items:
    """The payloads: addresses in the order in which they came."""

    TAG: ClassVar[Name]
    jids: tuple[Jid, ...] = ()

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(tuple(dict.fromkeys(_jid_of(item) for item in element.each("item"))))

    def xml(self) -> Element:
        items: list[Element | str] = [Element("item", NS, {"jid": str(jid)}) for jid in self.jids]
        return Element(self.TAG.name, NS, children=items)


def _jid_of(item: Element) -> Jid:
    text = item.get("jid")
    if text is None:
        raise StanzaError("bad-request", "an <item/> has a jid")
    return Jid.of(text)


class ListOfBlocked(Items):
    TAG: ClassVar = Name(NS, "blocklist")


class Block(Items):
    TAG: ClassVar = Name(NS, "block")

    @classmethod
    def parse(cls, element: Element) -> Self:
        block = super().parse(element)
        if not block.jids:  # XEP-0191#block
            raise StanzaError("bad-request", "<block/> has at least one <item/>")
        return block


class Unblock(Items):
    """Without addresses: all of them (XEP-0191#unblockall)."""

    TAG: ClassVar = Name(NS, "unblock")


class Blocked:
    """The addresses that one account has blocked, as its ``Account`` keeps them; never empty there."""

    __slots__ = ("_domains", "jids")

    def __init__(self, jids: Iterable[Jid]) -> None:
        self.jids = frozenset(jids)
        self._domains = frozenset(
            jid.domain for jid in self.jids if jid.local is None and jid.resource is None
        )

    def covers(self, jid: Jid) -> bool:
        """Whether ``jid`` is blocked: itself, all its resources, or its whole domain (XEP-0191#matching)."""
        return jid in self.jids or jid.bare in self.jids or jid.domain in self._domains


class Blocking:
    """Keeps the lists and judges stanzas by them. Who blocks nobody costs one look into a dict per stanza."""

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._store = core.stores.blocklists
        self._options = options

    async def load(self, account: Account) -> None:
        _keep(account, await self._store.load(account.id))

    # Requests

    async def on_list(self, request: Request[ListOfBlocked], outbox: Outbox) -> Element:
        session = request.session
        assert session is not None
        self._core.directory.add_trait(session, Trait.BLOCKLIST)
        return ListOfBlocked(tuple(sorted(_blocked(session.account)))).xml()

    async def on_block(self, request: Request[Block], outbox: Outbox) -> None:
        account, jids = request.own, request.payload.jids
        most = self._options.max_items
        # Before anything changes: if they cannot be read, nobody is blocked who still sees the user online.
        contacts = await self._contacts(account)
        try:
            added = await self._store.add(account.id, jids, limit=most)
        except BlocklistFull as err:
            raise StanzaError("resource-constraint", f"you can block {most} addresses") from err
        _keep(account, _blocked(account).union(jids))
        self._core.accounts.forget(account.jid)
        outbox.push(
            account, request.payload.xml(), Trait.BLOCKLIST
        )  # first: pushes must not overtake one another
        for presence in _farewells(account, Blocked(added), contacts):
            outbox.send(presence)

    async def on_unblock(self, request: Request[Unblock], outbox: Outbox) -> None:
        account, jids = request.own, request.payload.jids
        contacts = await self._contacts(account)
        removed = await self._store.remove(account.id, jids or None)
        _keep(account, _blocked(account) - removed)
        self._core.accounts.forget(account.jid)
        outbox.push(account, request.payload.xml(), Trait.BLOCKLIST)
        for presence in _greetings(account, Blocked(removed), contacts):
            outbox.send(presence)

    async def _contacts(self, account: Account) -> list[RosterItem]:
        roster = await self._core.stores.rosters.load(account.id)
        return [roster.items[jid] for jid in sorted(roster.items)]

    # Stages

    def on_outbound(self, stanza: Stanza, sender: Account) -> Verdict:
        blocked = sender.get(Blocked)
        to = stanza.to
        if blocked is None or to is None or not blocked.covers(to) or to.bare == sender.jid:
            return PASS
        if to.local is None and to.domain == sender.jid.domain:
            return PASS  # whoever blocks the own server still has to reach it, to unblock it for one
        # XEP-0191#block
        return Bounce(
            StanzaError("not-acceptable", "you have blocked them", type="cancel", extra=("blocked", ERRORS))
        )

    def on_inbound(self, stanza: Stanza, recipient: Account) -> Verdict:
        blocked = recipient.get(Blocked)
        # XEP-0191#privacy: never between one's own resources
        if blocked is None or not blocked.covers(stanza.sender) or stanza.sender.bare == recipient.jid:
            return PASS
        if isinstance(stanza, Presence) or stanza.type in ("error", "result"):
            return Drop("the recipient blocks the sender")
        return Bounce(StanzaError("service-unavailable"))  # XEP-0191#block; no text: it would tell


def _blocked(account: Account) -> frozenset[Jid]:
    blocked = account.get(Blocked)
    return frozenset() if blocked is None else blocked.jids


def _keep(account: Account, jids: frozenset[Jid]) -> None:
    """Most accounts block nobody, and then nothing is kept of that."""
    if jids:
        account.put(Blocked(jids))
    else:
        account.drop(Blocked)


def _farewells(account: Account, added: Blocked, contacts: Iterable[RosterItem]) -> Iterator[Presence]:
    """What those who see the user's presence are told when they are blocked (XEP-0191#block)."""
    watching = _affected(added, [item.jid.bare for item in contacts if item.sees_us])
    for resource in account.available():
        directed = resource.directed if isinstance(resource, Session) else None
        watching_it = watching.union(jid for jid in directed or () if added.covers(jid))
        for jid in sorted(watching_it):
            yield Presence(type="unavailable", sender=resource.jid, to=jid)


def _greetings(account: Account, removed: Blocked, contacts: Iterable[RosterItem]) -> Iterator[Presence]:
    """What those who may see the user's presence are told when they are unblocked (XEP-0191#unblock).

    What they sent meanwhile was dropped, so they are asked for their own presence too (RFC 6121#4.3).
    """
    blocked = account.get(Blocked)
    items = [item for item in contacts if blocked is None or not blocked.covers(item.jid)]
    for jid in sorted(_affected(removed, [item.jid.bare for item in items if item.sees_us])):
        for resource in account.available():
            assert resource.presence is not None
            yield resource.presence.with_to(jid)
    if account.available():
        for jid in sorted(_affected(removed, [item.jid.bare for item in items if item.sees_them])):
            yield Presence(type="probe", sender=account.jid, to=jid.bare)


def _affected(listed: Blocked, contacts: list[Jid]) -> frozenset[Jid]:
    """Whom of ``contacts`` the list concerns; where it names a single resource, only that."""
    whole = frozenset(jid for jid in contacts if listed.covers(jid))
    return whole.union(jid for jid in listed.jids if jid.bare in contacts)


def setup(s: Setup, options: Options) -> None:
    blocking = Blocking(s.core, options)
    s.feature(NS)
    s.account_data(blocking.load)
    s.iq("get", ListOfBlocked, blocking.on_list, at=(At.OWN,))
    s.iq("set", Block, blocking.on_block, at=(At.OWN,))
    s.iq("set", Unblock, blocking.on_unblock, at=(At.OWN,))
    s.stage(Outbound.BLOCK, blocking.on_outbound)
    s.stage(Inbound.BLOCK, blocking.on_inbound)


EXTENSION: Final = Extension(
    name="blocking",
    xep="0191",
    version="1.3",
    summary="Users block addresses: nothing comes from them, and to them the user is offline.",
    config=Options,
    setup=setup,
)
