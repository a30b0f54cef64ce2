"""From an account's archive to its clients: the archive is the queue (DESIGN I3).

A message comes here once it is durable. Where somebody can take it, and it follows the last one that was delivered on
this node, it goes out at once. Otherwise the account gets a line (``lines.py``): what is owed is read from the archive,
row by row, until nothing is left, and whatever comes meanwhile is behind it. That is how kept messages reach whoever
comes first (XEP-0160), how a hole is filled that another writer or a lost answer left (``Place.prev``), and how what a
lost session did not acknowledge reaches another one: one way for all.

Order is kept (I5): messages that are not stored wait in memory behind what was stored before them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from xmppd.clock import Clock
from xmppd.im.archiver import Archiver
from xmppd.im.cursors import Cursors
from xmppd.im.lines import RETRY, Lines
from xmppd.im.stanza_ids import StanzaIds
from xmppd.im.takers import box_of, hand, taker, takers
from xmppd.routing.router import Router
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import (
    BecameAvailable,
    Facts,
    KeptElsewhere,
    PriorityRaised,
    ReachableElsewhere,
    SessionGone,
)
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Place
from xmppd.storage.archive import ArchiveStore
from xmppd.tasks import Tasks

Received = Callable[[Message, Account, Sequence[Resource]], None]


class _Kept:
    """Stands in an account for which this node kept a message: the node where somebody comes may have looked before."""

    __slots__ = ()


class Delivery:
    """Delivers messages to local accounts, and keeps count of what their clients have."""

    def __init__(
        self,
        archive: ArchiveStore,
        archiver: Archiver,
        cursors: Cursors,
        accounts: Accounts,
        directory: Directory,
        router: Router,
        ids: StanzaIds,
        clock: Clock,
        tasks: Tasks,
        facts: Facts,
    ) -> None:
        self._cursors = cursors
        self._accounts = accounts
        self._directory = directory
        self._router = router
        self._ids = ids
        self._clock = clock
        self._tasks = tasks
        self._lines = Lines(archive, archiver, cursors, accounts, ids, clock, tasks, self._pass)
        self._received: list[Received] = []
        accounts.add_loader(self._load)
        facts.on(BecameAvailable, self._on_available)
        facts.on(PriorityRaised, self._on_available)
        facts.on(SessionGone, self._on_gone)
        facts.on(KeptElsewhere, self._on_kept)
        facts.on(ReachableElsewhere, self._on_reachable)

    def after_received(self, hook: Received) -> None:
        """Call ``hook`` with each message to a local account and the resources that get it, with none where it waits
        for somebody to come.
        """
        self._received.append(hook)

    async def _load(self, account: Account) -> None:
        if account.mailbox is None:
            # While something is given, the account may leave the memory and come back.
            line = self._lines.of(account)
            account.mailbox = line.box if line is not None else await self._cursors.load(account.id)

    # Messages that are stored

    def identified(self, message: Message, account: Account, place: Place) -> Message:
        """The copy of ``message`` that ``account`` has at ``place`` of its archive."""
        return message.identified(account.jid, self._ids.text(account.id, place.id), place)

    def arrive(self, message: Message, account: Account, place: Place) -> None:
        """``message`` is at ``place`` in the archive of ``account``, to which it is owed."""
        account = self._accounts.current(account)
        copy = self.identified(message, account, place)
        resources = self._resources(copy, account)
        box = box_of(account)
        box.newest = max(box.newest, place.id)
        if resources:
            here = [each for each in resources if type(each) is Session]
            if len(here) < len(resources):
                for resource in resources:
                    if type(resource) is not Session:
                        resource.deliver(copy)
            self._bring(copy, account, here)
        else:
            box.open = False
            box.waiting += 1
            if (line := self._lines.of(account)) is not None:
                line.known(place.id)  # somebody may come before it is over
        for hook in self._received:
            hook(copy, account, resources)
        if not resources:
            account.put(_Kept())
            self._directory.tell_kept(account)

    def sent(self, account: Account, place: Place) -> None:
        """A message that a client of ``account`` sent is at ``place`` in its archive."""
        box = self._accounts.current(account).mailbox
        if box is None or not box.open:
            return
        line = self._lines.of(account)
        if line is not None:
            line.known(place.id)
        elif place.prev <= box.seen < place.id:
            box.seen = place.id
        # Where something is missing before it, the next row that is owed tells so.

    def _bring(self, message: Message, account: Account, sessions: Sequence[Session]) -> None:
        """Give ``message`` to ``sessions``, or let it stand in line."""
        place = message.place
        assert place is not None
        row = place.id
        box = box_of(account)
        line = self._lines.of(account)
        if line is not None:
            line.came(row, _resource(message))
            return
        if box.open and place.prev > box.seen:
            first = taker(account)
            if first is not None:
                self._lines.start(first, everyone=True).came(row, _resource(message))
                return
            box.open = False
        if not box.open or row <= box.seen:
            # For a resource that is there, while nobody takes what is for all. Or the archive was read before its
            # writer heard from it, and everybody has it.
            if sessions and not box.is_done(row):
                if (acknowledging := hand(message, sessions)) > 0:
                    box.give(row, acknowledging)
                elif not acknowledging:
                    box.settle(row)
        elif not sessions and taker(account) is None:
            box.open = False  # those who get it are on other nodes
        elif (acknowledging := hand(message, sessions)) > 0:
            box.give(row, acknowledging)
            box.advance(row)
        elif not acknowledging:
            box.take(row)
        else:
            box.open = False  # it is owed to whoever comes
            box.waiting += 1

    # Messages that are not stored

    def pass_by(self, message: Message, account: Account, resources: Sequence[Resource]) -> None:
        """Give ``message``, which is not stored, to ``resources``, behind what stands in line for them (I5)."""
        line = self._lines.of(account)
        if line is not None and line.passing.add(line.newest, message, None):
            return
        self._deliver(message, account, resources)

    def pass_late(self, message: Message, account: Account) -> None:
        """As ``pass_by``, for a message that had to wait: whoever is there by now gets it."""
        account = self._accounts.current(account)
        if resources := self._resources(message, account):
            self.pass_by(message, account, resources)

    def _deliver(self, message: Message, account: Account, resources: Sequence[Resource]) -> None:
        for resource in resources:
            resource.deliver(message)
        for hook in self._received:
            hook(message, account, resources)

    def _pass(self, message: Message, account: Account, session: Session | None) -> None:
        """What stood in line before ``message`` has gone."""
        if session is None:
            resources = self._resources(message, account)
            if resources:
                self._deliver(message, account, resources)
        elif not session.over:
            session.deliver(message)
        else:
            self._tasks.start(f"what came for {account.jid} meanwhile", self._router.send(message))

    # What other nodes tell

    def hold(self, session: Session, message: Message) -> bool:
        """Whether ``message``, which another node sent to ``session``, is delivered from here."""
        account = session.account
        if message.place is not None:
            box = box_of(account)
            box.newest = max(box.newest, message.place.id)
        else:
            line = self._lines.of(account)
            return line is not None and line.passing.add(line.newest, message, session)
        name = _resource(message)
        here = [session] if name is not None and session.jid.resource == name else takers(account)
        self._bring(message, account, here or [session])
        return True

    def missed(self, account: Account) -> None:
        """A message in the archive of ``account`` came for a session that is gone."""
        self._lines.look_again(account)

    def look_again(self, account: Account) -> None:
        """There may be a message in the archive of ``account`` of which its writer did not hear (I3)."""
        account = self._accounts.current(account)
        self._lines.look_again(account, everyone=box_of(account).open)

    def look_again_later(self, account: Account) -> None:
        """As ``look_again``, for a message whose writer was told that the storage is away."""
        self._clock.call_later(RETRY, partial(self.look_again, account))

    def _on_kept(self, fact: KeptElsewhere) -> None:
        self.missed(fact.account)

    def _on_reachable(self, fact: ReachableElsewhere) -> None:
        if fact.account.get(_Kept) is not None:
            fact.account.drop(_Kept)
            self._directory.tell_kept(fact.account)

    # Who comes and goes

    def _on_available(self, fact: BecameAvailable | PriorityRaised) -> None:
        session = fact.session
        if session.priority < 0:
            return  # XEP-0160#flow: only a resource that can get messages gets the kept ones
        line = self._lines.of(session.account)
        if line is not None:
            line.comes(session)
        elif not box_of(session.account).open or takers(session.account) == [session]:
            self._lines.start(session, everyone=False)

    def _on_gone(self, fact: SessionGone) -> None:
        """What a session did not acknowledge is owed again, unless another one has it."""
        session = fact.session
        account = session.account
        box = box_of(account)
        again = box.lost(session.unacknowledged_rows())
        line = self._lines.of(account)
        if line is not None:
            line.back = line.back or again > 0
            line.leaves(session)
        other = taker(account)
        if other is None:
            box.open = box.open and line is not None
            box.waiting += again
            self._cursors.save_now(box)
        elif again and line is None:
            self._lines.start(other, everyone=False)

    def _resources(self, message: Message, account: Account) -> Sequence[Resource]:
        """Who gets ``message``: the resource that it names, if that is there, else all who can (RFC 6121#8.5)."""
        assert message.to is not None
        named = account.resources.get(message.to.resource or "")
        return account.reachable() if named is None else (named,)


def _resource(message: Message) -> str | None:
    return None if message.to is None else message.to.resource
