"""Sessions that outlive their connections (XEP-0198#resumption): which of them wait, for how long, and who may go on
with one.

    a connection ─ lost ─▶ Asleep ─ resume ─▶ another connection, on which first everything is written again
                             └──── too late, or ended by others ───▶ over
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from typing import Final

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.asleep import Asleep, Sleepers
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import Facts, SessionGone
from xmppd.sessions.link import Gate, Link
from xmppd.sessions.session import Session
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.stream.management import Management
from xmppd.tasks import Tasks

log = logging.getLogger("xmppd.sessions")

Rows = Callable[[Account, Sequence[int]], Awaitable[Mapping[int, bytes]]]

_CONFLICT: Final = "the stream was resumed on another connection"
_REMEMBERED: Final = 10_000  # sessions that are over, of which is known how many stanzas they had handled
_CHUNK: Final = (
    32_768  # bytes that are written again before the client has to read: well below its smallest buffer
)
_AT_ONCE: Final = 25  # stanzas, likewise; so many are read from the archive at a time
_LATE: Final = 5.0  # seconds after which a message says when it was sent first
_CLOSE: Final = b"</message>"


class NotResumable(Exception):
    """There is no such session. ``handled``: the number of its client's stanzas, if there was one (XEP-0198)."""

    def __init__(self, handled: int | None) -> None:
        super().__init__(handled)
        self.handled = handled


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that is about to go on: ``handled`` of its client's stanzas are done with."""

    session: Session
    handled: int


class Resumption:
    """Puts sessions to sleep and wakes them up."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        tasks: Tasks,
        facts: Facts,
        rows: Rows,
        *,
        sleeping_bytes: int,
    ) -> None:
        """``rows`` reads messages of an account's archive again, as they were delivered; those that are not there any
        more are left out. Sessions that sleep hold at most ``sleeping_bytes`` that are in no archive (0: any number).
        """
        self._directory = directory
        self._clock = clock
        self._tasks = tasks
        self._rows = rows
        self._sleepers = Sleepers(self.end, sleeping_bytes)
        self._closed = False
        self._handled: dict[tuple[Jid, str], int] = {}  # by account and id, the oldest first
        self._gate: Callable[[Session], Gate] | None = None
        self.offered = False  # whether streams offer it
        facts.on(SessionGone, self._on_gone)

    def hold_back(self, gate: Callable[[Session], Gate]) -> None:
        """Let a ``gate`` hold back what need not wait in full for a session that sleeps. Called once at most."""
        self._gate = gate

    # Connections are lost

    def lost(self, session: Session) -> None:
        """The connection of ``session`` is gone, but its client has not said goodbye."""
        sm = session.sm
        if sm is None or not sm.id or self._closed or session.ending:
            self.end(session)
        else:
            self._put_to_sleep(session, sm)

    def end(self, session: Session) -> None:
        """``session`` is over as soon as all that its client sent has been handled."""
        session.finish(lambda: self._directory.end(session))

    def close(self, error: StreamError) -> None:
        """The node stops: nobody sleeps any more."""
        self._closed = True
        for session in self._directory.sessions:
            if isinstance(session.link, Asleep):
                session.link.fail(error)

    def _put_to_sleep(self, session: Session, sm: Management) -> Asleep:
        sm.lose()
        end = partial(self.end, session)
        asleep = Asleep(end, self._clock.monotonic())
        asleep.timer = self._clock.call_later(sm.seconds, end)
        session.link = asleep
        if session.gate is None and self._gate is not None:
            session.gate = self._gate(session)
        self._sleepers.add(session, sm)
        return asleep

    def _on_gone(self, fact: SessionGone) -> None:
        session = fact.session
        self._sleepers.remove(session)
        if isinstance(session.link, Asleep):
            session.link.release(StreamError("connection-timeout"))
            session.gate = None
        sm = session.sm
        if sm is not None and sm.id and not session.busy:  # else it is not known
            self._handled[session.account.jid, sm.id] = session.handled - sm.base
            if len(self._handled) > _REMEMBERED:
                del self._handled[next(iter(self._handled))]

    # Others take their place

    async def take(self, account: Account, previd: str, h: int) -> Resumed:
        """The session of ``account`` with the id ``previd``, whose client says that it has handled ``h`` stanzas. It
        has lost its connection, if it had one, and sleeps until ``go_on``, which has to come at once.

        ``NotResumable``; ``StreamError`` when the client has handled more than it was sent, or another connection
        takes the session in the same moment.
        """
        session = self._find(account, previd)
        if session is None or session.sm is None or session.ending:
            raise NotResumable(self._handled.get((account.jid, previd)))
        sm = session.sm
        former = session.link
        asleep = self._put_to_sleep(session, sm)
        former.release(StreamError("conflict", _CONFLICT))
        await _turn(session)
        if session.link is not asleep and not session.ending:
            raise StreamError("conflict", _CONFLICT)
        if session.gate is not None:
            # XEP-0352#stream-resumption: the client counts as active
            session.gate.flush()
            session.gate = None
        handled = session.handled - sm.base
        if session.ending:
            raise NotResumable(handled)
        try:
            rows = sm.resume(h)
        except StreamError:
            self.end(session)
            raise
        if rows is None:
            self.end(session)
            raise NotResumable(handled)
        session.settle(rows)
        return Resumed(session, handled)

    def _find(self, account: Account, previd: str) -> Session | None:
        """Only sessions of the account are looked at, so no id is worth anything to others."""
        wanted = previd.encode()
        for resource in account.resources.values():
            sm = resource.sm if isinstance(resource, Session) else None
            if sm is not None and sm.id and compare_digest(sm.id.encode(), wanted):
                assert isinstance(resource, Session)
                return resource
        return None

    def go_on(self, session: Session, link: Link) -> None:
        """``session`` has the connection ``link``, on which nothing but ``<resumed/>`` was written."""
        session.link.release(StreamError("conflict", _CONFLICT))
        session.link = link
        self._sleepers.remove(session)
        self._write_again(session, link, {})

    def _write_again(self, session: Session, link: Link, contents: Mapping[int, bytes]) -> None:
        """Write what is not acknowledged, and is at hand or in ``contents``, by rows; the rest follows later."""
        sm = session.sm
        assert sm is not None
        size = count = 0
        while (entry := sm.next()) is not None:
            data, row, at = entry
            data = data or contents.get(row)
            if data is None or (size and size + len(data) > _CHUNK) or count >= _AT_ONCE:
                self._tasks.start(f"stanzas again for {session.jid}", self._write_later(session, link, sm))
                return
            data = self._dated(data, row / 1e6 if row else at or sm.since, session.jid.domain)
            link.write(data)
            sm.wrote()
            size += len(data)
            count += 1
        sm.wake()
        if sm.may_ask():
            link.write(sm.request())

    async def _write_later(self, session: Session, link: Link, sm: Management) -> None:
        """Go on as soon as the client has read what it was sent so far."""
        if not await link.drained():
            return
        try:
            wanted = sm.upcoming(_AT_ONCE)
            contents = await self._rows(session.account, wanted) if wanted else {}
        except StorageUnavailable as err:
            log.error("a stream cannot be resumed: %s", err)
            if session.link is link and not session.ending:
                self._put_to_sleep(session, sm)
                link.release(StreamError("internal-server-error", "the storage does not answer; try again"))
            return
        if session.link is not link or session.ending:
            return
        missing = set(wanted).difference(contents)
        while missing and (entry := sm.next()) is not None and entry[1] in missing and entry[0] is None:
            sm.skip()
            session.settle((entry[1],))  # or all that comes behind it would count as owed for good
        self._write_again(session, link, contents)

    def _dated(self, data: bytes, at: float, domain: str) -> bytes:
        """``data``, and if it is a message that comes late, when it was sent (XEP-0203)."""
        if not data.endswith(_CLOSE) or self._clock.now() - at < _LATE or ns.DELAY.encode() in data:
            return data
        delay = f"<delay xmlns='{ns.DELAY}' from='{domain}' stamp='{stamp(at)}'/>".encode()
        return data.removesuffix(_CLOSE) + delay + _CLOSE


async def _turn(session: Session) -> None:
    """Wait until everything that the client of ``session`` sent has been handled."""
    turn = asyncio.get_running_loop().create_future()

    def come() -> None:
        if not turn.done():
            turn.set_result(None)

    session.in_turn(come)
    await turn
