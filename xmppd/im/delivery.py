"""From an account's archive to its clients: the archive is the queue (DESIGN I3).

A message comes here once it is durable. Where somebody can take it, and it follows the last one that was delivered on
this node, it goes out at once. Otherwise the account gets a *line*: what is owed is read from the archive, row by row,
until nothing is left, and whatever comes meanwhile is behind it. That is how kept messages reach whoever comes first
(XEP-0160), how a hole is filled that another writer or a lost answer left (``Place.prev``), and how what a lost session
did not acknowledge reaches another one: one way for all.

Order is kept (I5): messages that are not stored wait in memory behind what was stored before them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from xmppd import ns
from xmppd.clock import Clock, Timer, stamp
from xmppd.im.archiver import Archiver
from xmppd.im.cursors import Cursors
from xmppd.im.mailbox import Mailbox
from xmppd.im.passing import Passing
from xmppd.im.stanza_ids import StanzaIds
from xmppd.jid import Jid
from xmppd.routing.router import Router
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.asleep import Asleep
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
from xmppd.storage.archive import ArchiveStore, Row
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

_PAGE: Final = 25
_CHUNK: Final = (
    65_536  # bytes given to a client before it has to read: many large messages would overflow its buffer
)
_PATIENCE: Final = 10.0  # seconds for which others of the account wait until a client has read a chunk
_RETRY: Final = 30.0  # seconds after which a storage that failed is asked again
_CLOSE: Final = b"</message>"

Received = Callable[[Message, Account, Sequence[Resource]], None]


class _Kept:
    """Stands in an account for which this node kept a message: the node where somebody comes may have looked before."""

    __slots__ = ()


@dataclass(slots=True)
class _Line:
    """What is being given to the clients of one account."""

    taker: Session  # gets what was kept
    box: Mailbox
    everyone: bool  # there was somebody all the time: nothing was kept, and each client gets it
    gone: set[Session] = field(default_factory=set)  # they were the taker and did not take everything
    newest: int = 0  # row that is known to be there
    again: bool = False  # there is one more, of which only that is known
    back: bool = False  # something that was given is owed again
    live: dict[int, str | None] = field(
        default_factory=dict
    )  # rows that came meanwhile: to which resource, or to all
    passing: Passing = field(default_factory=Passing)


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
        self._archive = archive
        self._archiver = archiver
        self._cursors = cursors
        self._accounts = accounts
        self._directory = directory
        self._router = router
        self._ids = ids
        self._clock = clock
        self._tasks = tasks
        self._lines: dict[int, _Line] = {}  # by account id
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
            line = self._lines.get(account.id)
            account.mailbox = line.box if line is not None else await self._cursors.load(account.id)

    def _current(self, account: Account) -> Account:
        """``account`` may have left the memory meanwhile, and come back as another object. Or it was deleted, and its
        address is somebody else's.
        """
        other = self._accounts.peek(account.jid)
        return account if other is None or other.id != account.id else other

    # Messages that are stored

    def identified(self, message: Message, account: Account, place: Place) -> Message:
        """The copy of ``message`` that ``account`` has at ``place`` of its archive."""
        return message.identified(account.jid, self._ids.text(account.id, place.id), place)

    def arrive(self, message: Message, account: Account, place: Place) -> None:
        """``message`` is at ``place`` in the archive of ``account``, to which it is owed."""
        account = self._current(account)
        copy = self.identified(message, account, place)
        resources = self._resources(copy, account)
        box = _box(account)
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
            if (line := self._lines.get(account.id)) is not None:
                line.newest = max(line.newest, place.id)  # somebody may come before it is over
        for hook in self._received:
            hook(copy, account, resources)
        if not resources:
            account.put(_Kept())
            self._directory.tell_kept(account)

    def sent(self, account: Account, place: Place) -> None:
        """A message that a client of ``account`` sent is at ``place`` in its archive."""
        box = self._current(account).mailbox
        if box is None or not box.open:
            return
        line = self._lines.get(account.id)
        if line is not None:
            line.newest = max(line.newest, place.id)
        elif place.prev <= box.seen < place.id:
            box.seen = place.id
        # Where something is missing before it, the next row that is owed tells so.

    def _bring(self, message: Message, account: Account, sessions: Sequence[Session]) -> None:
        """Give ``message`` to ``sessions``, or let it stand in line."""
        place = message.place
        assert place is not None
        row = place.id
        box = _box(account)
        line = self._lines.get(account.id)
        if line is not None:
            line.newest = max(line.newest, row)
            line.live[row] = _resource(message)
            return
        if box.open and place.prev > box.seen:
            taker = _taker(account)
            if taker is not None:
                self._start(taker, everyone=True).live[row] = _resource(message)
                return
            box.open = False
        if not box.open or row <= box.seen:
            # For a resource that is there, while nobody takes what is for all. Or the archive was read before its
            # writer heard from it, and everybody has it.
            if sessions and not box.is_done(row):
                if acknowledging := _hand(message, sessions):
                    box.give(row, acknowledging)
                else:
                    box.settle(row)
        elif not sessions and _taker(account) is None:
            box.open = False  # those who get it are on other nodes
        elif acknowledging := _hand(message, sessions):
            box.give(row, acknowledging)
            box.advance(row)
        else:
            box.take(row)

    # Messages that are not stored

    def pass_by(self, message: Message, account: Account, resources: Sequence[Resource]) -> None:
        """Give ``message``, which is not stored, to ``resources``, behind what stands in line for them (I5)."""
        line = self._lines.get(account.id)
        if line is not None and line.passing.add(line.newest, message, None):
            return
        self._deliver(message, account, resources)

    def pass_late(self, message: Message, account: Account) -> None:
        """As ``pass_by``, for a message that had to wait: whoever is there by now gets it."""
        account = self._current(account)
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
            box = _box(account)
            box.newest = max(box.newest, message.place.id)
        else:
            line = self._lines.get(account.id)
            return line is not None and line.passing.add(line.newest, message, session)
        name = _resource(message)
        here = [session] if name is not None and session.jid.resource == name else _takers(account)
        self._bring(message, account, here or [session])
        return True

    def missed(self, account: Account) -> None:
        """A message in the archive of ``account`` came for a session that is gone."""
        line = self._lines.get(account.id)
        if line is not None:
            line.again = True
        elif (taker := _taker(account)) is not None:
            self._start(taker, everyone=False)

    def look_again(self, account: Account) -> None:
        """There may be a message in the archive of ``account`` of which its writer did not hear (I3)."""
        account = self._current(account)
        line = self._lines.get(account.id)
        if line is not None:
            line.again = True
        elif (taker := _taker(account)) is not None:
            self._start(taker, everyone=_box(account).open)

    def look_again_later(self, account: Account) -> None:
        """As ``look_again``, for a message whose writer was told that the storage is away."""
        self._clock.call_later(_RETRY, partial(self.look_again, account))

    def _on_kept(self, fact: KeptElsewhere) -> None:
        self.missed(fact.account)

    def _on_reachable(self, fact: ReachableElsewhere) -> None:
        if fact.account.get(_Kept) is not None:
            fact.account.drop(_Kept)
            self._directory.tell_kept(fact.account)

    # Lines

    def _on_available(self, fact: BecameAvailable | PriorityRaised) -> None:
        session = fact.session
        if session.priority < 0:
            return  # XEP-0160#flow: only a resource that can get messages gets the kept ones
        line = self._lines.get(session.account.id)
        if line is not None:
            line.gone.discard(session)  # it may be the taker again
            line.again = True
        elif not _box(session.account).open or _takers(session.account) == [session]:
            self._start(session, everyone=False)

    def _on_gone(self, fact: SessionGone) -> None:
        """What a session did not acknowledge is owed again, unless another one has it."""
        session = fact.session
        account = session.account
        box = _box(account)
        again = box.lost(session.unacknowledged_rows())
        line = self._lines.get(account.id)
        if line is not None and again:
            line.back = True
        taker = _taker(account)
        if taker is None:
            box.open = box.open and line is not None
            box.waiting += again
            self._cursors.save_now(box)
        elif again and line is None:
            self._start(taker, everyone=False)

    def _start(self, taker: Session, *, everyone: bool) -> _Line:
        account = taker.account
        box = _box(account)
        box.open = True
        line = self._lines[account.id] = _Line(taker, box, everyone, newest=box.newest)
        self._tasks.start(f"messages for {account.jid}", self._run(line))
        return line

    async def _run(self, line: _Line) -> None:
        """Give what is owed to the taker, or if that goes away, to the next one."""
        account, box = line.taker.account, line.box
        done = False
        try:
            if account.elsewhere and not line.everyone:
                await self._cursors.refresh(box)
            while True:
                line.again = line.back = False
                known = line.newest
                after = max(box.seen, self._cursors.oldest())
                rows, newest = await self._archive.owed(box.owner, after=after, limit=_PAGE)
                if rows and rows[-1].id > box.newest:
                    await self._archiver.heard()  # else what is not stored would come behind what is newer
                for chunk in _chunks(rows):
                    if line.back:
                        break
                    account = self._current(account)
                    if not _can_take(line.taker) or _sleeps(line.taker):
                        taker = _taker(account, line.gone)
                        if taker is None:
                            await self._give_named(line, account)
                            account = self._current(account)
                            if _taker(account, line.gone) is None:
                                return
                            break  # somebody has come meanwhile
                        line.taker = taker
                    taker = line.taker
                    if not await self._give(chunk, line, account, box):
                        if line.taker is taker:
                            line.gone.add(taker)
                        break
                else:
                    if len(rows) < _PAGE and not line.back:
                        box.advance(newest)
                        # What was known before the archive was read and is not there was removed.
                        if line.newest <= max(known, box.seen) and not line.again:
                            done = True
                            return
        except StorageUnavailable as err:
            log.error("what is kept for %s waits: %s", account.jid, err)
            self._clock.call_later(_RETRY, partial(self._try_again, account.jid))
        finally:
            del self._lines[box.owner]
            account = self._current(account)
            if done:
                box.waiting = 0
            else:
                box.lose_count()
            box.open = _taker(account, line.gone) is not None
            for message, session in line.passing.rest():
                self._pass(message, account, session)

    def _try_again(self, jid: Jid) -> None:
        """The storage failed while what is kept for ``jid`` was being given; who took it may still be there."""
        account = self._accounts.peek(jid)
        if account is not None and account.id not in self._lines and (taker := _taker(account)) is not None:
            self._start(taker, everyone=False)

    async def _give(self, rows: Sequence[Row], line: _Line, account: Account, box: Mailbox) -> bool:
        """Deliver ``rows``, as fast as the taker reads; False if it does not take them any more."""
        unsure: list[int] = []  # what the taker, which does not acknowledge, may not have
        for row in rows:
            for message, session in line.passing.before(row.id):
                self._pass(message, account, session)
            if not box.is_done(row.id):
                came = row.id in line.live
                sessions: Sequence[Session] = (line.taker,)
                if came or line.everyone:
                    named = account.resources.get(line.live.pop(row.id, None) or "")
                    if named is None:
                        sessions = _takers(account) or sessions
                    else:
                        sessions = (
                            (named,) if isinstance(named, Session) else ()
                        )  # else another node brings it
                # What an earlier version kept says itself when that was, and tells no peer.
                data = self._data(row, account, delayed=not came and row.peer != 0)
                for session in sessions:
                    session.write(data, row.id)
                acknowledging = sum(session.acknowledges for session in sessions)
                if acknowledging and acknowledging == len(sessions):
                    box.give(row.id, acknowledging)
                elif came or line.everyone:
                    box.settle(row.id)
                else:
                    box.give(row.id, 1)
                    unsure.append(row.id)
            box.advance(row.id)
        drained = await self._has_read(line, account)
        if not unsure:
            return True
        if drained:
            for id in unsure:
                box.settle(id)
        else:
            box.lost(unsure)
        return drained

    async def _has_read(self, line: _Line, account: Account) -> bool:
        """Wait until the taker has read what it was given. False: its connection is lost, or there is another client
        that is awake and waits for too long, which is the taker then.
        """
        reading = self._tasks.start(f"{line.taker.jid} reads", line.taker.link.drained())
        timer: Timer

        def look() -> None:
            nonlocal timer
            other = _taker(self._current(account), {line.taker, *line.gone})
            if other is None or _sleeps(other):
                timer = self._clock.call_later(_PATIENCE, look)
            else:
                line.taker = other
                reading.cancel()

        timer = self._clock.call_later(_PATIENCE, look)
        try:
            await asyncio.wait((reading,))
        finally:
            timer.cancel()
        return not reading.cancelled() and reading.result()

    async def _give_named(self, line: _Line, account: Account) -> None:
        """Nobody takes what is for all. What came for one resource alone, and stood in line, goes to that one
        (RFC 6121#8.5.3.1); what there is beyond a page stays owed.
        """
        named_rows = [row for row, name in line.live.items() if name in account.resources]
        if not named_rows:
            return
        rows, _ = await self._archive.owed(account.id, after=min(named_rows) - 1, limit=_PAGE)
        for row in rows:
            named = account.resources.get(line.live.get(row.id) or "")
            if isinstance(named, Session) and not line.box.is_done(row.id):
                named.write(self._data(row, account, delayed=False), row.id)
                if named.acknowledges:
                    line.box.give(row.id, 1)
                else:
                    line.box.settle(row.id)

    def _data(self, row: Row, account: Account, *, delayed: bool) -> bytes:
        """The stanza in ``row`` as the account's client gets it."""
        name = self._ids.text(account.id, row.id).encode()
        more = b"<stanza-id xmlns='urn:xmpp:sid:0' by='%b' id='%b'/>" % (account.jid.wire, name)
        if delayed:
            # XEP-0203: when it was taken. A client's own word for that was taken out before.
            more += b"<delay xmlns='%b' from='%b' stamp='%b'/>" % (
                ns.DELAY.encode(),
                account.jid.domain.encode(),
                stamp(row.id / 1e6).encode(),
            )
        return row.stanza.removesuffix(_CLOSE) + more + _CLOSE

    def _resources(self, message: Message, account: Account) -> Sequence[Resource]:
        """Who gets ``message``: the resource that it names, if that is there, else all who can (RFC 6121#8.5)."""
        assert message.to is not None
        named = account.resources.get(message.to.resource or "")
        return account.reachable() if named is None else (named,)


def _box(account: Account) -> Mailbox:
    box = account.mailbox
    assert box is not None, f"{account} was not loaded"
    return box


def _hand(message: Message, sessions: Sequence[Session]) -> int:
    """Deliver ``message`` to ``sessions``; how many of them will acknowledge it. 0: one of them has it already, since
    who does not acknowledge has it when it is written (DESIGN 6), or somebody on another node.
    """
    settled = not sessions
    for session in sessions:
        session.deliver(message)
        if session.sm is None:
            settled = True
    return 0 if settled else len(sessions)


def _resource(message: Message) -> str | None:
    return None if message.to is None else message.to.resource


def _can_take(session: Session) -> bool:
    return session.presence is not None and session.priority >= 0 and not session.over


def _takers(account: Account) -> list[Session]:
    """The sessions of ``account`` on this node that can get messages."""
    return [each for each in account.reachable() if isinstance(each, Session)]


def _taker(account: Account, gone: frozenset[Session] | set[Session] = frozenset()) -> Session | None:
    """One of these that is not among ``gone``; one that sleeps (XEP-0198) only where nobody else is there."""
    left = [each for each in _takers(account) if each not in gone]
    return next((each for each in left if not _sleeps(each)), left[0] if left else None)


def _sleeps(session: Session) -> bool:
    return isinstance(session.link, Asleep)


def _chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """``rows`` in order, in pieces of little more than ``_CHUNK`` bytes."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row.stanza)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
