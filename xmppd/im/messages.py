"""Which resources get a message, and what becomes of one that none gets (RFC 6121#8.5, table 1).

===========================  =======  =======  =========  ========  ======
to                           normal   chat     groupchat  headline  error
===========================  =======  =======  =========  ========  ======
no such account              bounce   bounce   bounce     drop      drop
bare, nobody reachable       keep     keep     bounce     drop      drop
bare, somebody reachable     all      all      bounce     all       drop
full, resource connected     it       it       it         it        it
full, else: nobody reachable bounce   keep     bounce     drop      drop
full, else                   bounce   all      bounce     drop      drop
===========================  =======  =======  =========  ========  ======

*Reachable* resources are available with a priority that is not negative; *all* are all of these, not only the
most available: people expect a message on every device. *keep* is XEP-0160. The recipient's address is left
as the sender wrote it (RFC 6121#8.5.2.1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from xmppd.clock import Clock
from xmppd.errors import StanzaError
from xmppd.im.archivable import Storing, counts_as_unread, storing
from xmppd.im.archiver import Archiver
from xmppd.im.cursors import Cursors
from xmppd.im.delivery import Delivery, Received
from xmppd.im.mailbox import Mailbox
from xmppd.im.markers import displayed
from xmppd.im.resends import AlreadyTaken, Resends
from xmppd.jid import Jid
from xmppd.routing.router import Waiting
from xmppd.routing.ticket import Ticket
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Stanza
from xmppd.storage.archive import Kind, Mark, NewMessage, NewRow, Placed, peer_key

# Plain values: they are looked at for each message.
_HISTORY: Final = Storing.HISTORY
_NOTHING: Final = Storing.NOTHING
_OWED: Final = int(Kind.OWED)
_NO_HISTORY: Final = int(Kind.OWED | Kind.HIDDEN)
_SENT: Final = int(Mark.SENT)
_UNREAD: Final = int(Mark.UNREAD)
_MARKER: Final = int(Kind.MARKER)
_PENDING: Final = int(Kind.PENDING)
_MANY: Final = 2**62
_COUNT_AGAIN: Final = 60.0  # seconds after which those that wait are counted again, if they seem too many

Keeps = Callable[[Account, Jid], bool]
Asks = Callable[[Message], bool]


class Messages:
    """The ``AccountHandler`` for messages: bounces, stores (I1), then lets them be delivered."""

    def __init__(
        self,
        archiver: Archiver,
        resends: Resends,
        delivery: Delivery,
        cursors: Cursors,
        clock: Clock,
        *,
        limit: int,
        limit_bytes: int = 0,
        stanza_bytes: int = 0,
    ) -> None:
        """At most ``limit`` messages wait for an account, of ``limit_bytes`` together (0: any number); none is larger
        than ``stanza_bytes`` (0: some may be).
        """
        self._archiver = archiver
        self._resends = resends
        self._delivery = delivery
        self._cursors = cursors
        self._clock = clock
        self._limit = limit
        self._limit_bytes = limit_bytes
        # As many may wait, however large: what they take is asked for when there are more.
        self._any = min(
            limit or _MANY, max(1, limit_bytes // (stanza_bytes or _MANY)) if limit_bytes else _MANY
        )
        self._keeps: Keeps | None = None
        self._asks: Asks | None = None

    def after_received(self, hook: Received) -> None:
        """Call ``hook`` with each message to a local account and the resources that get it; with none where it waits
        for somebody to come.
        """
        self._delivery.after_received(hook)

    def set_keeps(self, keeps: Keeps) -> None:
        """Called once at most: whether an account wants messages from and to a peer in its history (XEP-0441)."""
        self._keeps = keeps

    def set_asks(self, asks: Asks) -> None:
        """Called once at most: whether something has to be done in the archives that a message comes into. Its rows
        there are ``Kind.PENDING``. Instant messages (``counts_as_unread``) ask for nothing.
        """
        self._asks = asks

    def accept(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        assert isinstance(stanza, Message)
        assert stanza.to is not None
        resource_name = stanza.to.resource
        type = stanza.type
        named = None if resource_name is None else account.resources.get(resource_name)
        resources: Sequence[Resource]
        if named is not None:
            resources = (named,)
        else:
            if type == "error":
                return None
            if resource_name is not None and type != "chat":
                if type == "headline":
                    return None
                raise StanzaError("service-unavailable")  # RFC 6121#8.5.3.2.1
            if type == "groupchat":
                # RFC 6121#8.5.2.1.1: only a room sends these, to full JIDs
                raise StanzaError("service-unavailable")
            resources = account.reachable()
        how = storing(stanza)
        if not resources:
            if how is _NOTHING:
                # Nobody is told that it is lost (XEP-0334#no-store): any answer would show strangers whether somebody
                # is there. The same goes for headlines (RFC 6121#8.5.2.2.3).
                return None
            box = account.mailbox
            assert box is not None
            if self._any <= box.waiting + box.coming:
                return self._if_there_is_room(stanza, account, box, session, how)
            return self._keep(stanza, account, box, session, how)
        if how is _NOTHING:
            return self._pass_by(stanza, account, resources, session)
        return self._store(stanza, account, session, how)

    def pass_on(self, message: Message, account: Account, sent: Message, session: Session) -> Waiting:
        """Bring ``message``, which is to a connected resource of ``account``, there, and into its history. It is what a
        service of ours made of ``sent``, which it got from the client of ``session``, and which is what that side's
        history has: neither sees the other's address. Both are settled when what is returned is; a resend of what one
        side has goes on to the other.
        """
        assert message.to is not None
        named = account.resources.get(message.to.resource or "")
        how = storing(message)
        if named is None or how is _NOTHING:
            return self._pass_by(message, account, () if named is None else (named,), session)
        ticket = self._store(message, account, session, how, passed_on=True)
        sender, to, keeps = session.account, sent.to, self._keeps
        assert to is not None
        if sender.id == account.id or how is not _HISTORY or not (keeps is None or keeps(sender, to)):
            return ticket
        mark = _UNREAD if counts_as_unread(sent) else 0
        row = NewRow(sender.id, peer_key(to) | _SENT | mark)
        origin, check = self._resends.of(sent, session)
        return self._archiver.add(
            NewMessage(sent.wire(), (row,), origin, check), partial(self._kept, sent, sender)
        )

    def _kept(self, sent: Message, sender: Account, placed: Placed | None) -> Exception | None:
        """``sent`` is in the history of ``sender``, or nobody knows."""
        if placed is not None:
            if placed.duplicate:
                return AlreadyTaken()
            sent.place = placed.places[0]
            self._delivery.sent(sender, sent.place)
        return None

    def accept_stranger(self, stanza: Stanza, session: Session | None) -> Waiting:
        if stanza.type in ("error", "headline"):
            return None
        raise StanzaError("service-unavailable")  # RFC 6121#8.5.1

    def accept_server(self, stanza: Stanza, session: Session | None) -> Waiting:
        if stanza.type in ("error", "headline"):
            return None
        raise StanzaError("service-unavailable", "nobody reads messages to the server itself")

    def _pass_by(
        self, message: Message, account: Account, resources: Sequence[Resource], session: Session | None
    ) -> Waiting:
        """Deliver ``message`` without storing it, behind what its sender has on the way (I5)."""
        if session is not None and session.storing:
            return self._archiver.add(None, lambda _: self._delivery.pass_late(message, account))
        self._delivery.pass_by(message, account, resources)
        return None

    async def _if_there_is_room(
        self, message: Message, account: Account, box: Mailbox, session: Session | None, how: Storing
    ) -> None:
        """As many messages wait as may, unless somebody has fetched some by other ways, or some are too old by now; or
        as many bytes.
        """
        now = self._clock.monotonic()
        if 0 < self._limit <= box.waiting + box.coming:
            if box.unsure or now - box.counted >= _COUNT_AGAIN:
                await self._cursors.recount(box)
            if box.waiting + box.coming >= self._limit:
                raise StanzaError(
                    "service-unavailable", "too many messages wait for this account"
                )  # XEP-0160
        if self._limit_bytes:
            if box.weighed is None or now - box.weighed >= _COUNT_AGAIN:
                await self._cursors.weigh(box)
            if box.bytes >= self._limit_bytes:
                raise StanzaError(
                    "service-unavailable", "too large messages wait for this account"
                )  # XEP-0160
            box.bytes += len(message.wire())
        await self._keep(message, account, box, session, how)

    def _keep(
        self, message: Message, account: Account, box: Mailbox, session: Session | None, how: Storing
    ) -> Ticket:
        """Store ``message`` for who comes. Until it is stored it counts as well: many may come in the meantime."""
        ticket = self._store(message, account, session, how)
        box.coming += 1
        ticket.then(box.came)
        return ticket

    def _store(
        self,
        message: Message,
        account: Account,
        session: Session | None,
        how: Storing,
        *,
        passed_on: bool = False,
    ) -> Ticket:
        to = message.to
        assert to is not None
        sender = None if session is None or passed_on else session.account
        peer, kind, mark, pending = peer_key(message.sender), _NO_HISTORY, 0, 0
        keeps = self._keeps
        if how is _HISTORY:
            mark = _UNREAD if counts_as_unread(message) else 0
            if not mark and self._asks is not None and self._asks(message):
                pending = _PENDING
            if keeps is None or keeps(account, message.sender):
                peer, kind = peer | mark, _OWED | pending
        rows: tuple[NewRow, ...]
        if sender is None:
            rows = (NewRow(account.id, peer, kind),)
        elif sender.id == account.id:
            sender = None  # a note to oneself is one row, and read (see Mark)
            rows = (NewRow(account.id, peer | _SENT, kind),)
        elif how is _HISTORY and (keeps is None or keeps(sender, to)):
            told = _MARKER if not mark and displayed(message.children) else 0
            rows = (
                NewRow(sender.id, peer_key(to) | _SENT | mark, told | pending),
                NewRow(account.id, peer, kind),
            )
        else:
            sender = None
            rows = (NewRow(account.id, peer, kind),)
        origin = check = 0
        if session is not None:
            origin, check = self._resends.of(message, session)
        return self._archiver.add(
            NewMessage(message.wire(), rows, origin, check),
            partial(self._stored, message, account, sender, session if check else None),
        )

    def _stored(
        self,
        message: Message,
        account: Account,
        sender: Account | None,
        checked: Session | None,
        placed: Placed | None,
    ) -> Exception | None:
        """``message`` is durable: ``sender``, if it is not None, has the first of its rows, ``account`` the last. Where
        ``placed`` is None, nobody knows. ``checked``: the session of its client, if it might have been a resend.
        """
        if placed is None:
            self._delivery.look_again_later(account)
            return None
        if placed.duplicate:
            self._delivery.look_again(account)  # nobody may have heard of the first try
            return AlreadyTaken()
        if checked is not None:
            self._resends.was_new(checked)
        places = placed.places
        if sender is not None:
            message.place = places[0]
            self._delivery.sent(sender, places[0])
        self._delivery.arrive(message, account, places[-1])
        return None
