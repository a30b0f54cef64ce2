"""Lines: what is owed to an account is read from its archive and given to its clients, row by row, to the end.

An account gets a line when somebody comes (XEP-0160), when there is a hole before what is to be delivered (DESIGN I3),
and when a session is gone that had not acknowledged everything. What comes meanwhile stands behind it. There is at most
one line of an account on a node; ``Lines`` owns them, and whoever finds one tells it what came.
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
from xmppd.im.takers import box_of, can_take, sleeps, taker, takers
from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import ArchiveStore, Row
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.im")

RETRY: Final = 30.0  # seconds after which a storage that failed is asked again

_PAGE: Final = 25
_CHUNK: Final = 65_536  # bytes that a client is given before it has to read: more would overflow its buffer
# Seconds for which others of the account wait until a client has read a chunk, and for which one that acknowledges
# nothing waits for the next.
_PATIENCE: Final = 10.0
_MOST_LIVE: Final = 10_000  # rows that came meanwhile, of which it is remembered whom they are for
_CLOSE: Final = b"</message>"

PassOn = Callable[[Message, Account, Session | None], None]


@dataclass(slots=True)
class Line:
    """What is being given to the clients of one account."""

    taker: Session  # gets what was kept
    box: Mailbox
    everyone: bool  # there was somebody all the time: nothing was kept, and each client gets it
    gone: set[Session] = field(default_factory=set)  # they were the taker and did not take everything
    slow: set[Session] = field(default_factory=set)  # they were the taker for too long
    reading: asyncio.Task[None] | None = None  # ends when the taker has read what it was given
    newest: int = 0  # row that is known to be there
    again: bool = False  # there is one more, of which only that is known
    back: bool = False  # something that was given is owed again
    live: dict[int, str | None] = field(
        default_factory=dict
    )  # rows that came meanwhile: to which resource, or to all
    passing: Passing = field(default_factory=Passing)  # what came meanwhile and is not stored

    def came(self, row: int, resource: str | None) -> None:
        """``row`` came, for ``resource``, or for all who can take it."""
        self.known(row)
        if len(self.live) < _MOST_LIVE:
            self.live[row] = resource
        else:
            self.everyone = True  # then it need not be remembered which rows are for all

    def known(self, row: int) -> None:
        """``row`` is there; nobody is, or it is not owed."""
        self.newest = max(self.newest, row)

    def comes(self, session: Session) -> None:
        """``session`` can take what is left."""
        self.gone.discard(session)  # it may be the taker again
        self.again = True
        if sleeps(self.taker) and not sleeps(session):
            self._wait_no_more()

    def leaves(self, session: Session) -> None:
        """``session`` is over."""
        if session is self.taker:
            self._wait_no_more()

    def _wait_no_more(self) -> None:
        if self.reading is not None:
            self.reading.cancel()


class Lines:
    """The lines of this node."""

    def __init__(
        self,
        archive: ArchiveStore,
        archiver: Archiver,
        cursors: Cursors,
        accounts: Accounts,
        ids: StanzaIds,
        clock: Clock,
        tasks: Tasks,
        pass_on: PassOn,
    ) -> None:
        """``pass_on`` delivers a message that is not stored, once what stood before it has gone: to a session, or to
        whoever is there.
        """
        self._archive = archive
        self._archiver = archiver
        self._cursors = cursors
        self._accounts = accounts
        self._ids = ids
        self._clock = clock
        self._tasks = tasks
        self._pass_on = pass_on
        self._lines: dict[int, Line] = {}  # by account id

    def of(self, account: Account) -> Line | None:
        """The line of ``account``; None where nothing is being given."""
        return self._lines.get(account.id)

    def start(self, first: Session, *, everyone: bool) -> Line:
        """Give what is owed to ``first``, or with ``everyone`` to all who can take it. There is no line yet."""
        account = first.account
        box = box_of(account)
        box.open = True
        line = self._lines[account.id] = Line(first, box, everyone, newest=box.newest)
        self._tasks.start(f"messages for {account.jid}", self._run(line))
        return line

    def look_again(self, account: Account, *, everyone: bool = False) -> None:
        """There may be something in the archive of ``account`` that is not known of here."""
        line = self._lines.get(account.id)
        if line is not None:
            line.again = True
        elif (first := taker(account)) is not None:
            self.start(first, everyone=everyone)

    async def _run(self, line: Line) -> None:
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
                    account = self._accounts.current(account)
                    if not can_take(line.taker) or sleeps(line.taker) or line.taker in line.gone:
                        other = taker(account, line.gone)
                        if other is None:
                            await self._give_named(line, account)
                            account = self._accounts.current(account)
                            if taker(account, line.gone) is None:
                                return
                            break  # somebody has come meanwhile
                        line.taker = other
                    first = line.taker
                    if not await self._give(chunk, line, account, box):
                        if line.taker is first:
                            line.gone.add(first)
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
            self._clock.call_later(RETRY, partial(self._try_again, account.jid))
        finally:
            del self._lines[box.owner]
            account = self._accounts.current(account)
            if done:
                box.waiting = 0
            else:
                box.lose_count()
            box.open = taker(account, line.gone) is not None
            for message, session in line.passing.rest():
                self._pass_on(message, account, session)

    def _try_again(self, jid: Jid) -> None:
        """The storage failed while what is kept for ``jid`` was being given; who took it may still be there."""
        account = self._accounts.peek(jid)
        if account is not None and account.id not in self._lines and (first := taker(account)) is not None:
            self.start(first, everyone=False)

    async def _give(self, rows: Sequence[Row], line: Line, account: Account, box: Mailbox) -> bool:
        """Deliver ``rows``, as fast as the taker reads; False if it does not take them any more."""
        unsure: list[int] = []  # what the taker, which does not acknowledge, may not have
        for row in rows:
            for message, session in line.passing.before(row.id):
                self._pass_on(message, account, session)
            if row.stanza and not box.is_done(row.id):
                came = row.id in line.live
                sessions: Sequence[Session] = (line.taker,)
                if came or line.everyone:
                    named = account.resources.get(line.live.pop(row.id, None) or "")
                    if named is None:
                        sessions = takers(account) or sessions
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

    async def _has_read(self, line: Line, account: Account) -> bool:
        """Wait until the taker has read what it was given, and acknowledged enough, however long it sleeps in between.
        False: its connection was lost, its session is over, or there is another client that is awake and waited for too
        long, which is the taker then.
        """
        first, drained, asked = line.taker, False, False
        acknowledged = _acknowledged(first)
        timer: Timer

        async def read() -> None:
            nonlocal drained, asked
            drained = await first.link.drained()
            asked = True
            await first.caught_up()

        def look() -> None:
            nonlocal acknowledged, timer
            before, acknowledged = acknowledged, _acknowledged(first)
            other = taker(self._accounts.current(account), {first, *line.gone, *line.slow})
            if other is not None and not sleeps(other):
                line.slow.add(first)
                line.taker = other
                reading.cancel()
            elif asked and acknowledged == before and not sleeps(first):
                reading.cancel()  # it never acknowledges, perhaps; its queue is bounded
            else:
                timer = self._clock.call_later(_PATIENCE, look)

        reading = line.reading = self._tasks.start(f"{first.jid} reads", read())
        timer = self._clock.call_later(_PATIENCE, look)
        try:
            await asyncio.wait((reading,))
        finally:
            timer.cancel()
        return drained and not reading.cancelled()

    async def _give_named(self, line: Line, account: Account) -> None:
        """Nobody takes what is for all. What came for one resource alone, and stood in line, goes to that one
        (RFC 6121#8.5.3.1); what there is beyond a page stays owed.
        """
        named_rows = [row for row, name in line.live.items() if name in account.resources]
        if not named_rows:
            return
        rows, _ = await self._archive.owed(account.id, after=min(named_rows) - 1, limit=_PAGE)
        for row in rows:
            named = account.resources.get(line.live.get(row.id) or "")
            if isinstance(named, Session) and row.stanza and not line.box.is_done(row.id):
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


def _acknowledged(session: Session) -> int:
    """How many stanzas the client of ``session`` has acknowledged."""
    return 0 if session.sm is None else session.sm.acknowledged


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
