"""Who keeps the event loop busy rests; who waits for the storage does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from tests.support.clock import ManualClock
from xmppd.jid import Jid
from xmppd.routing.ticket import Ticket
from xmppd.sessions.account import Account
from xmppd.sessions.fairness import Fairness
from xmppd.sessions.link import Link
from xmppd.sessions.session import Session
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

STANZA = Element("iq", "jabber:client")


JID = Jid.parse("juliet@capulet.lit/balcony")


class Silence:
    """A link that nothing is written to here."""

    def write(self, data: bytes) -> None:
        raise AssertionError(data)

    pause_reading = resume_reading = drained = fail = release = write


def handle(clock: ManualClock, work: Callable[[], Awaitable[None] | None]) -> Awaitable[None] | None:
    inbound = Fairness(lambda session, element: work(), clock)
    session = Session(Account(1, JID.bare), JID, cast(Link, Silence()), inbound, Tasks())
    return inbound(session, STANZA)


async def pass_by() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_done_at_once_and_quickly_costs_nothing() -> None:
    clock = ManualClock()
    assert handle(clock, lambda: clock.advance(0.001)) is None


async def test_who_takes_long_at_once_rests() -> None:
    clock = ManualClock()
    await rests(clock, handle(clock, lambda: clock.advance(0.1)), 0.4)


async def test_who_takes_long_behind_a_wait_rests_as_long() -> None:
    """The time in which somebody else could work does not count."""
    clock = ManualClock()
    stored = asyncio.get_running_loop().create_future()

    async def work() -> None:
        clock.advance(0.02)
        await stored
        clock.advance(0.08)

    task = asyncio.ensure_future(started(handle(clock, work)))
    await pass_by()
    clock.advance(5.0)
    stored.set_result(None)
    await rests(clock, task, 0.4)


async def test_who_only_waits_does_not_rest() -> None:
    clock = ManualClock()
    stored = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await stored

    task = asyncio.ensure_future(started(handle(clock, work)))
    await pass_by()
    clock.advance(5.0)
    stored.set_result(None)
    await asyncio.wait_for(task, 5)


async def test_errors_and_cancellations_reach_whom_they_concern() -> None:
    clock = ManualClock()
    ended: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await started(handle(clock, fails))

    async def cancelled() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    task = asyncio.ensure_future(started(handle(clock, cancelled)))
    await pass_by()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_what_becomes_of_a_message_that_took_long_is_told_once() -> None:
    """Whoever gave the ticket tells the client; the session goes on as with one that took no time."""
    clock = ManualClock()
    ticket = Ticket()

    def work() -> Ticket:
        clock.advance(0.1)
        return ticket

    waiting = handle(clock, work)
    ticket.settle(ValueError("not stored"))
    await rests(clock, waiting, 0.4)


async def started(waiting: Awaitable[None] | None) -> None:
    assert waiting is not None
    await waiting


async def rests(clock: ManualClock, waiting: Awaitable[None] | None, seconds: float) -> None:
    task = asyncio.ensure_future(started(waiting))
    await pass_by()
    clock.advance(seconds - 0.001)
    await pass_by()
    assert not task.done()
    clock.advance(0.002)
    await asyncio.wait_for(task, 5)
