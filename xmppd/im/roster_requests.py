"""Answers roster requests of clients (RFC 6121#2, XEP-0237)."""

from __future__ import annotations

from dataclasses import replace

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.im import roster
from xmppd.im.roster import RosterGet, RosterSet
from xmppd.im.rosters import Change, Rosters
from xmppd.im.subscribing import Subscribing
from xmppd.routing.iq import At, IqTable, Request
from xmppd.routing.outbox import Outbox
from xmppd.sessions.account import Trait
from xmppd.sessions.directory import Directory
from xmppd.sessions.offers import Offers, StreamInfo
from xmppd.storage.interfaces import RosterFull, RosterItem
from xmppd.xml.element import Element


class RosterRequests:
    """IQs of ``jabber:iq:roster``. A set is answered when it is durable, and behind the answer the pushes go out."""

    def __init__(
        self,
        rosters: Rosters,
        subscribing: Subscribing,
        directory: Directory,
        *,
        items: int,
        groups: int,
        name_bytes: int,
        item_bytes: int,
    ) -> None:
        """``items``: contacts in a roster (as in ``rosters``, for the text of an error); ``groups`` of one contact,
        ``name_bytes`` of a name or a group, ``item_bytes`` of all of these together (0: any number).
        """
        self._rosters = rosters
        self._subscribing = subscribing
        self._directory = directory
        self._items = items
        self._groups = groups
        self._name_bytes = name_bytes
        self._item_bytes = item_bytes

    def register(self, iqs: IqTable, offers: Offers) -> None:
        owner = "roster"
        iqs.add("get", RosterGet, self.get, (At.OWN,), owner)
        iqs.add("set", RosterSet, self.set, (At.OWN,), owner)
        for refused in (At.ACCOUNT, At.NOBODY, At.SERVER):
            iqs.add("get", RosterGet, self.refuse, (refused,), owner)
            iqs.add("set", RosterSet, self.refuse, (refused,), owner)
        offers.add(_versioning)
        offers.add(_pre_approval)

    async def get(self, request: Request[RosterGet], outbox: Outbox) -> Element | None:
        """The whole roster, or nothing when the client's is up to date (RFC 6121#2.6.3)."""
        session, account = request.session, request.own
        assert session is not None
        # RFC 6121#2.2: from now on it gets pushes. Those of changes behind what we read come behind our answer.
        self._directory.add_trait(session, Trait.ROSTER)
        known = self._rosters.peek(account) or await self._rosters.get(account)
        ver = roster.version(account.id, known.version)
        if request.payload.version == ver:
            return None
        return roster.query((roster.item_element(item) for item in known.items.values() if item.listed), ver)

    async def set(self, request: Request[RosterSet], outbox: Outbox) -> None:
        """Add, change or remove one contact."""
        account, asked = request.own, request.payload
        if asked.remove:
            await self._subscribing.remove(account, asked.jid, outbox)
            return
        if asked.jid.bare == account.jid:
            # RFC 6121#2.3.3, interoperability note
            raise StanzaError("not-allowed", "nobody is a contact of their own")
        self._check_sizes(asked)

        def change(item: RosterItem | None) -> RosterItem:
            return replace(item or RosterItem(asked.jid), name=asked.name, groups=asked.groups, listed=True)

        try:
            (update,) = await self._rosters.update([Change(account, asked.jid, change)])
        except RosterFull as err:
            raise StanzaError(
                "resource-constraint", f"a roster holds at most {self._items} contacts"
            ) from err
        if update.visible:
            outbox.push(account, roster.push(update), Trait.ROSTER)

    def _check_sizes(self, asked: RosterSet) -> None:
        # RFC 6121#2.3.3
        sizes = [len(text.encode()) for text in (asked.name, *asked.groups)]
        if self._name_bytes and max(sizes) > self._name_bytes:
            raise StanzaError("not-acceptable", f"a name has at most {self._name_bytes} bytes")
        if self._item_bytes and sum(sizes) > self._item_bytes:
            raise StanzaError(
                "not-acceptable", f"name and groups have at most {self._item_bytes} bytes together"
            )
        if self._groups and len(asked.groups) > self._groups:
            raise StanzaError("not-acceptable", f"a contact is in at most {self._groups} groups")

    async def refuse(self, request: Request[RosterGet] | Request[RosterSet], outbox: Outbox) -> Element:
        """The roster of somebody else (RFC 6121#2.3.3)."""
        raise StanzaError("forbidden", "a roster is its owner's")


def _versioning(info: StreamInfo) -> Element | None:
    return Element("ver", ns.ROSTER_VERSIONING) if info.user is not None else None


def _pre_approval(info: StreamInfo) -> Element | None:
    return Element("sub", ns.PRE_APPROVAL) if info.user is not None else None
