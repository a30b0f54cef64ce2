"""Nobody keeps the others waiting: a client whose stanza took long to handle rests before its next one is.

Rates count bytes and stanzas, but some stanzas cost a thousand times as much as others of their size: an address of
2,000 rare letters takes 6 ms to prepare, a roster of 5,000 contacts 40 ms to write. So what counts here is the time
itself: that in which nobody else had a turn, not that in which the storage was waited for.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any, Final

from xmppd.clock import Clock
from xmppd.routing.ticket import Ticket
from xmppd.sessions.session import Inbound, Session
from xmppd.xml.element import Element

_LONG_SECONDS: Final = 0.003  # an ordinary stanza takes 0.03 ms
_REST: Final = 4  # times as long as it worked: one client alone takes no more than a fifth of a core
_LONGEST_REST: Final = (
    2.0  # seconds: it was not the client that worked for so long, but the machine that slept
)


class Fairness:
    """An ``Inbound`` around another one. What a client sends while it rests waits in its session, and then outside."""

    def __init__(self, inbound: Inbound, clock: Clock) -> None:
        self._inbound = inbound
        self._clock = clock
        self._monotonic = clock.monotonic

    def __call__(self, session: Session, element: Element) -> Awaitable[None] | None:
        began = self._monotonic()
        waiting = self._inbound(session, element)
        took = self._monotonic() - began
        if took < _LONG_SECONDS and (waiting is None or type(waiting) is Ticket):
            return waiting
        return self._rest(session, waiting, took)

    async def _rest(self, session: Session, waiting: Awaitable[None] | None, took: float) -> None:
        if waiting is not None:
            # As the session does it: what became of a message was told to its client by whoever gave the ticket.
            waiting = waiting.settled() if type(waiting) is Ticket else waiting
            took += await _worked(waiting, self._clock)
        if took >= _LONG_SECONDS and not session.over:
            rested = asyncio.Event()
            timer = self._clock.call_later(min(took * _REST, _LONGEST_REST), rested.set)
            try:
                await rested.wait()
            finally:
                timer.cancel()


@types.coroutine
def _worked(waiting: Awaitable[None], clock: Clock) -> Generator[Any, Any, float]:
    """Await ``waiting``; the seconds that it held the event loop."""
    monotonic = clock.monotonic
    steps = waiting.__await__()
    took = 0.0
    thrown: BaseException | None = None
    while True:
        began = monotonic()
        try:
            future = next(steps) if thrown is None else steps.throw(thrown)
        except StopIteration:
            return took + monotonic() - began
        took += monotonic() - began
        thrown = None
        try:
            yield future
        except BaseException as err:  # we are cancelled: so is what we wait for
            thrown = err
