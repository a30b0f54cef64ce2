"""A session: one bound resource on this node. It survives its connection in principle (stream management), so
it knows that only as something to write to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.sessions.account import Account, Trait
from xmppd.stanza import Presence, Stanza
from xmppd.tasks import Tasks
from xmppd.xml.element import Element

T = TypeVar("T")

_MOST_WAITING: Final = 32  # stanzas that wait behind a slow one before reading pauses


class Link(Protocol):
    """The connection behind a session."""

    def write(self, data: bytes) -> None:
        """Send ``data``; never waits."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> bool:
        """Wait until the socket took everything that was written; False if the connection was lost before."""

    def fail(self, error: StreamError) -> None:
        """End the stream with ``error``, and the session with it."""


class Gate(Protocol):
    """May hold stanzas back for an inactive client (XEP-0352)."""

    def hold(self, stanza: Stanza) -> bool:
        """True: the gate keeps ``stanza`` and gives it to the link later. False: send it now, all that was
        held has been sent.
        """

    def flush(self) -> None:
        """Send all that is held."""


Inbound = Callable[["Session", Element], Awaitable[None] | None]


class Session:
    """One resource. Its state is touched only from its own stanzas and from the account's bookkeeping, all in
    the event loop.

    Stanzas are handled in the order they came: most at once, and while one has to wait (for the storage)
    those behind it queue.
    """

    __slots__ = (
        "_after", "_data", "_inbound", "_paused", "_queue", "_tasks", "account", "address", "directed", "gate",
        "jid", "lang", "link", "over", "presence",
        "priority", "secure", "traits",
    )  # fmt: skip

    def __init__(
        self,
        account: Account,
        jid: Jid,
        link: Link,
        inbound: Inbound,
        tasks: Tasks,
        *,
        lang: str | None = None,
        address: str = "",
        secure: bool = True,
    ) -> None:
        """``inbound`` handles each stanza element. ``address`` is the client's IP address, ``lang`` its
        stream's ``xml:lang``.
        """
        self.account = account
        self.jid = jid
        self.link = link
        self.lang = lang
        self.address = address
        self.secure = secure
        self.presence: Presence | None = None
        self.priority = 0
        self.traits = Trait.NONE
        self.directed: set[Jid] | None = None  # who got directed presence (RFC 6121#4.6)
        self.gate: Gate | None = None
        self.over = False  # it has lost its JID; what of its client is still being handled comes too late for presence
        self._inbound = inbound
        self._tasks = tasks
        self._queue: deque[Element] | None = None
        self._paused = False
        self._after: Callable[[], Awaitable[None] | None] | None = None
        self._data: dict[type[Any], Any] | None = None

    # Out

    def deliver(self, stanza: Stanza) -> None:
        """Send ``stanza`` to the client, or hold it while the client is inactive."""
        gate = self.gate
        if gate is None or not gate.hold(stanza):
            self.link.write(stanza.wire())

    def write(self, data: bytes) -> None:
        """Send ``data``, a stanza that was written before, behind whatever is held."""
        if self.gate is not None:
            self.gate.flush()
        self.link.write(data)

    # In

    def receive(self, element: Element) -> None:
        """Handle what the client sent, behind whatever of it is still being handled."""
        queue = self._queue
        if queue is not None:
            queue.append(element)
            if len(queue) >= _MOST_WAITING and not self._paused:
                self._paused = True
                self.link.pause_reading()
            return
        waiting = self._inbound(self, element)
        if waiting is not None:
            self._queue = deque()
            self._tasks.start(f"session {self.jid}", self._drain(waiting))

    def act(self, element: Element) -> None:
        """Handle ``element`` for the client, behind what it did send; nothing that counts what it sent counts it."""
        self.receive(element)

    async def _drain(self, waiting: Awaitable[None]) -> None:
        try:
            await waiting
            while self._queue:
                more = self._inbound(self, self._queue.popleft())
                if more is not None:
                    await more
        finally:
            self._queue = None
            if self._paused:
                self._paused = False
                self.link.resume_reading()
            if self._after is not None and (last := self._after()) is not None:
                await last

    def finish(self, last: Callable[[], Awaitable[None] | None]) -> None:
        """The client is gone: call ``last`` once everything that it sent has been handled."""
        if self._queue is not None:
            # Of presence that nobody has heard of yet the newest will do: a flood of it would keep its sender online.
            newest = next(filter(_shows, reversed(self._queue)), None)
            self._queue = deque(each for each in self._queue if each is newest or not _shows(each))
            self._after = last
        elif (waiting := last()) is not None:
            self._tasks.start(f"end of session {self.jid}", _ended(waiting))

    @property
    def busy(self) -> bool:
        """Whether a stanza of this session is still being handled."""
        return self._queue is not None

    # What extensions remember about it

    def get(self, kind: type[T]) -> T | None:
        """What an extension keeps under its own class."""
        data = self._data
        return None if data is None else data.get(kind)

    def put(self, value: object) -> None:
        """Keep ``value`` under its class as long as the session lives."""
        if self._data is None:
            self._data = {}
        self._data[type(value)] = value

    def __repr__(self) -> str:
        return f"<Session {self.jid}>"


def _shows(element: Element) -> bool:
    """Whether ``element`` is the available presence of a client to all its contacts."""
    return element.name == "presence" and "type" not in element.attrs and "to" not in element.attrs


async def _ended(waiting: Awaitable[None]) -> None:
    await waiting
