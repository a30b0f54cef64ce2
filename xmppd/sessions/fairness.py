"""Nobody keeps the others waiting: a client whose stanza took long to handle rests before its next one is.

Rates count bytes and stanzas, but some stanzas cost a thousand times as much as others of their size: an address of
2,000 rare letters takes 6 ms to prepare. So what counts here is the time itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from xmppd.clock import Clock
from xmppd.sessions.session import Inbound, Session
from xmppd.xml.element import Element

_LONG_SECONDS: Final = 0.003  # an ordinary stanza takes 0.03 ms
_REST: Final = 4  # times as long as it worked: one client alone takes no more than a fifth of a core


class Fairness:
    """An ``Inbound`` around another one. What a client sends while it rests waits in its session, and then outside."""

    def __init__(self, inbound: Inbound, clock: Clock) -> None:
        self._inbound = inbound
        self._clock = clock

    def __call__(self, session: Session, element: Element) -> Awaitable[None] | None:
        monotonic = self._clock.monotonic
        began = monotonic()
        waiting = self._inbound(session, element)
        took = monotonic() - began
        return waiting if took < _LONG_SECONDS else self._rest(session, waiting, took * _REST)

    async def _rest(self, session: Session, waiting: Awaitable[None] | None, seconds: float) -> None:
        if waiting is not None:
            await waiting
        if not session.over:
            rested = asyncio.Event()
            timer = self._clock.call_later(seconds, rested.set)
            try:
                await rested.wait()
            finally:
                timer.cancel()
