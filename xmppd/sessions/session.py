"""A session: one bound resource on this node. It survives its connection in principle (stream management), so
it knows that only as something to write to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.routing.ticket import Ticket
from xmppd.sessions.account import Account, Trait
from xmppd.sessions.link import Gate, Link
from xmppd.stanza import Presence, Stanza, parse
from xmppd.stream.management import Management, QueueFull
from xmppd.tasks import Tasks
from xmppd.xml.element import Element
from xmppd.xml.fragment import from_bytes

T = TypeVar("T")

_MOST_WAITING: Final = 32  # stanzas that wait behind a slow one before reading pauses
_MOST_STORING: Final = 128  # messages on their way into the archive before further ones wait


Inbound = Callable[["Session", Element], Awaitable[None] | None]


class _Own:
    """An element that the server handles for the client."""

    __slots__ = ("element",)

    def __init__(self, element: Element) -> None:
        self.element = element


_Item = Element | _Own | Callable[[], None]


class Session:
    """One resource. Its state is touched only from its own stanzas and from the account's bookkeeping, all in
    the event loop.

    Stanzas are handled in the order they came: most at once, and while one has to wait (for the storage)
    those behind it queue. Messages may be in the archive's batches several at a time, which keep their order;
    everything else waits until they are stored.
    """

    __slots__ = (
        "_acknowledged", "_after", "_data", "_inbound", "_newest", "_paused", "_queue", "_slow", "_storing", "_tasks",
        "account", "address", "directed", "gate", "handled", "jid", "lang", "link", "over", "presence", "priority",
        "resends_until", "secure", "sm", "traits",
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
        self.sm: Management | None = None  # once the client has enabled stream management
        self.over = False  # it has lost its JID; what of its client is still being handled comes too late for presence
        # Until when (monotonic seconds) its messages may be those whose acknowledgement an earlier session missed (I2);
        # None: it has sent none yet. 0: that is over.
        self.resends_until: float | None = None
        self._inbound = inbound
        self._tasks = tasks
        # Stanzas of the client that are done with: delivered, durable or answered. To be read in turn.
        self.handled = 0
        self._storing = 0  # its messages that are on their way into the archive
        self._newest: Ticket  # of the last of them
        self._acknowledged: asyncio.Event | None = None  # somebody waits until the client acknowledges more
        self._slow = False  # a task handles one of its stanzas
        self._queue: deque[_Item] | None = None  # what waits behind these
        self._paused = False
        self._after: Callable[[], Awaitable[None] | None] | None = None
        self._data: dict[type[Any], Any] | None = None

    # Out

    def deliver(self, stanza: Stanza) -> None:
        """Send ``stanza`` to the client, or hold it while the client is inactive."""
        gate = self.gate
        if gate is not None and self._held_by(gate, stanza):
            return
        if self.sm is None:
            self.link.write(stanza.wire())
        else:
            self._send_counted(stanza.wire(), stanza.row, self.sm)

    def _held_by(self, gate: Gate, stanza: Stanza) -> bool:
        if stanza.row:
            gate.flush()  # it has to be acknowledged, and is held back by nobody
            return False
        return gate.hold(stanza)

    def send_now(self, stanza: Stanza) -> None:
        """Send ``stanza`` past the gate."""
        if self.sm is None:
            self.link.write(stanza.wire())
        else:
            self._send_counted(stanza.wire(), stanza.row, self.sm)

    def write(self, data: bytes, row: int = 0) -> None:
        """Send ``data``, a stanza that was written before, behind whatever is held. ``row``: where it is in the
        account's archive.
        """
        if self.gate is not None:
            self.gate.flush()
        if self.sm is None:
            self.link.write(data)
        else:
            self._send_counted(data, row, self.sm)

    def _send_counted(self, data: bytes, row: int, sm: Management) -> None:
        try:
            out = sm.put(data, row)
        except QueueFull:
            # DESIGN I6: nobody can go on from here. Not at once: whoever sends this is not done with it.
            asyncio.get_running_loop().call_soon(self._overflow)
            return
        if out is not None:
            self.link.write(out)

    def _overflow(self) -> None:
        if not self.over:
            self.link.fail(StreamError("resource-constraint", "too much was not acknowledged"))

    @property
    def acknowledges(self) -> bool:
        """Whether the client says what it has got (XEP-0198)."""
        return self.sm is not None

    def unacknowledged_rows(self) -> Sequence[int]:
        """The rows of the account's archive that the client got and did not acknowledge."""
        return () if self.sm is None else [row for _, row, _ in self.sm.unacknowledged() if row]

    def unacknowledged_stanzas(self) -> Iterator[tuple[Stanza, float]]:
        """What else the client did not acknowledge, presence aside, and when it was sent (seconds since the epoch; 0:
        just now).
        """
        sm = self.sm
        if sm is None:
            return
        for data, row, at in sm.unacknowledged():
            if data is not None and not row and not data.startswith(b"<presence"):
                element = from_bytes(data)
                yield parse(element, Jid.parse(element.attrs["from"])), at or sm.since

    def settle(self, rows: Sequence[int]) -> None:
        """The client has acknowledged ``rows``."""
        mailbox = self.account.mailbox
        if mailbox is not None:
            for row in rows:
                mailbox.settle(row)
        if self._acknowledged is not None:
            self._acknowledged.set()
            self._acknowledged = None

    async def caught_up(self) -> None:
        """Wait as long as the client has more to acknowledge than is kept for it with its content. It may be gone
        before it does: whoever waits has to look.
        """
        while self.sm is not None and self.sm.is_behind():
            if self.sm.may_ask():
                self.link.write(self.sm.request())
            if self._acknowledged is None:
                self._acknowledged = asyncio.Event()
            await self._acknowledged.wait()

    @property
    def storing(self) -> bool:
        """Whether messages of the client are on their way into the archive."""
        return self._storing > 0

    # In

    def receive(self, element: Element) -> None:
        """Handle what the client sent, behind whatever of it is still being handled."""
        if self._queue is None and (not self._storing or self._may_ride(element)):
            self._handle(element)
        else:
            self._line_up(element)

    def in_turn(self, action: Callable[[], None]) -> None:
        """Call ``action`` once everything that came from the client before has been handled, now if it has."""
        if self.busy:
            self._line_up(action)
        else:
            action()

    def once_handled(self, tell: Callable[[int], None]) -> None:
        """Call ``tell`` with the number of stanzas that came from the client before, once these have been handled. As
        ``in_turn``, but messages that come behind it need not wait for it.
        """
        if self._queue is None and self._storing:
            # Later ones may be done with sooner, such as one that is dropped: they are not among these.
            count = self.handled + self._storing
            self._newest.then(lambda _: tell(count))
        else:
            self.in_turn(lambda: tell(self.handled))

    def act(self, element: Element) -> None:
        """Handle ``element`` for the client, behind what it did send; nothing that counts what it sent counts it."""
        own = _Own(element)
        if self.busy:
            self._line_up(own)
        else:
            self._handle_own(own)

    @property
    def busy(self) -> bool:
        """Whether a stanza of this session is still being handled."""
        return self._queue is not None or self._storing > 0

    @property
    def ending(self) -> bool:
        """Whether the client is gone for good."""
        return self.over or self._after is not None

    @property
    def listens(self) -> bool:
        """Whether a client is there that reads what is sent now; not one that may resume later (XEP-0198)."""
        return not self.ending and (self.sm is None or self.sm.live)

    def finish(self, last: Callable[[], Awaitable[None] | None]) -> None:
        """The client is gone: call ``last`` once everything that it sent has been handled."""
        self._after = last
        if not self.busy:
            self._finished()
        elif self._queue is not None:
            # Of presence that nobody has heard of yet the newest will do: a flood of it would keep its sender online.
            newest = next(filter(_shows, reversed(self._queue)), None)
            dropped = [each for each in self._queue if each is not newest and _shows(each)]
            self._queue = deque(each for each in self._queue if each is newest or not _shows(each))
            self.handled += sum(isinstance(each, Element) for each in dropped)  # they are done with

    def _may_ride(self, element: Element) -> bool:
        """Whether ``element`` need not wait for what is being stored: it will be behind that in the archive."""
        return element.name == "message" and self._storing < _MOST_STORING

    def _line_up(self, item: _Item) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(item)
        if len(self._queue) >= _MOST_WAITING and not self._paused:
            self._paused = True
            self.link.pause_reading()

    def _handle(self, element: Element) -> None:
        waiting = self._inbound(self, element)
        if waiting is None:
            self.handled += 1
        elif type(waiting) is Ticket:
            self._storing += 1
            self._newest = waiting
            waiting.then(self._stored)
        else:
            self._wait_for(waiting, 1)

    def _handle_own(self, own: _Own) -> None:
        waiting = self._inbound(self, own.element)
        if waiting is not None:
            self._wait_for(waiting, 0)

    def _stored(self, error: Exception | None) -> None:
        """The archive has one of the messages, or the client was told that it has not."""
        self.handled += 1
        self._storing -= 1
        if self._queue is not None:
            if not self._slow:
                self._go_on()
        elif not self._storing and self._after is not None:
            self._finished()

    def _wait_for(self, waiting: Awaitable[None], counts: int) -> None:
        if self._queue is None:
            self._queue = deque()
        self._slow = True
        self._tasks.start(f"session {self.jid}", self._until_handled(waiting, counts))

    async def _until_handled(self, waiting: Awaitable[None], counts: int) -> None:
        try:
            await waiting
        except asyncio.CancelledError:
            self._queue = deque()  # the server stops: who began the next one would leave it unfinished
            raise
        finally:
            self.handled += counts
            self._slow = False
            self._go_on()

    def _go_on(self) -> None:
        """Handle what lined up, until one of it has to be waited for."""
        queue = self._queue
        while queue:
            item = queue[0]
            if self._storing and not (isinstance(item, Element) and self._may_ride(item)):
                return
            queue.popleft()
            if isinstance(item, Element):
                self._handle(item)
            elif isinstance(item, _Own):
                self._handle_own(item)
            else:
                item()
            if self._slow:
                return
            queue = self._queue
        self._queue = None
        if self._paused:
            self._paused = False
            self.link.resume_reading()
        if not self._storing and self._after is not None:
            self._finished()

    def _finished(self) -> None:
        last, self._after = self._after, None
        if last is not None and (waiting := last()) is not None:
            self._tasks.start(f"end of session {self.jid}", _ended(waiting))

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


def _shows(item: _Item) -> bool:
    """Whether ``item`` is the available presence of a client to all its contacts."""
    element = item.element if isinstance(item, _Own) else item
    if not isinstance(element, Element):
        return False
    return element.name == "presence" and "type" not in element.attrs and "to" not in element.attrs


async def _ended(waiting: Awaitable[None]) -> None:
    await waiting
