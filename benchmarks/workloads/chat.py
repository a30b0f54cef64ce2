"""One-to-one chat: pairs of accounts, one of each sends and the other receives."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.client import Connection
from benchmarks.errors import BenchmarkError
from benchmarks.markers import MarkerCounter
from benchmarks.workloads.base import Bench, Measurement, Options

REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"
_NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"
BODY = ("All the world's a stage, and all the men and women merely players. " * 3)[:150]


class Pair:
    """A sender and a receiver.

    Messages of a pair arrive in the order they were sent, so the oldest send time belongs to the next arrival.
    """

    __slots__ = (
        "_acknowledge",
        "_arrived",
        "_ask_every",
        "_clock",
        "_count",
        "_count_requests",
        "_head",
        "_sent",
        "_serial",
        "_tail",
        "_write",
        "received",
        "refill",
    )

    def __init__(
        self,
        sender: Connection,
        receiver: Connection,
        to: str,
        arrived: Callable[[float], None],
        *,
        stored: bool,
        ask_every: int,
    ) -> None:
        """`stored`: the messages go into the archive. `ask_every`: after how many the sender asks for an
        acknowledgement (XEP-0198); both sides have enabled that. 0: they have not.
        """
        self.received = 0
        self.refill = True
        """Closed loop: what arrives makes the sender send as many again."""
        self._arrived = arrived
        self._clock = time.perf_counter
        self._count = MarkerCounter(b"</message>").feed
        self._head = f"<message to='{to}' type='chat' id='m".encode()
        self._tail = f"'><body>{BODY}</body>{'' if stored else _NO_STORE}</message>".encode()
        self._ask_every = ask_every
        self._count_requests = MarkerCounter(REQUEST).feed if ask_every else None
        self._acknowledge = receiver.write
        self._serial = 0
        self._sent: deque[float] = deque()
        self._write = sender.write
        receiver.on_data = self._on_receiver
        sender.on_data = _on_sender

    @property
    def in_flight(self) -> int:
        return len(self._sent)

    def send(self, count: int, when: float) -> None:
        """Send `count` messages in one write; their latency counts from `when`."""
        head, tail = self._head, self._tail
        data = b""
        for _ in range(count):
            self._serial += 1
            data += b"%b%d%b" % (head, self._serial, tail)
            self._sent.append(when)
            if self._ask_every and self._serial % self._ask_every == 0:
                data += REQUEST
        self._write(data)

    def _on_receiver(self, chunk: bytes) -> None:
        count = self._count(chunk)
        self.received += count
        if self._count_requests is not None and self._count_requests(chunk):
            # Within one chunk the request may be in front of messages; a number that is too high by these would be an
            # error, so it is asked for only what was complete before.
            self._acknowledge(b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (self.received - count))
        if not count:
            return
        now = self._clock()
        for _ in range(count):
            self._arrived(now - self._sent.popleft())
        if self.refill:
            self.send(count, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Closed loop with `window` messages in flight per pair, or open loop at `rate` messages a second.

    With a window of 1 the server finds one message per readable socket; with 4, mostly four. What is `stored` costs a
    row in the archives of both; else a hint keeps the messages out of these.
    """

    name: str
    tls: bool
    stored: bool = False
    ask_every: int = 0
    postgres: bool = False
    window: int = 1
    rate: float | None = None
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/message"
    mechanism: str = "SCRAM-SHA-1"

    def accounts(self, options: Options) -> int:
        return 2 * options.pairs

    def run(self, bench: Bench) -> Measurement:
        latencies = array("d")
        pairs = self._pairs(bench, latencies.append)
        if self.rate is None:
            for pair in pairs:
                pair.send(self.window, time.perf_counter())
            drive: Callable[[float], object] = bench.loop.run
        else:
            drive = OpenLoop(bench, pairs, self.rate).run
        measurement = bench.measure(drive, lambda: sum(pair.received for pair in pairs), latencies)
        for pair in pairs:
            pair.refill = False
        if not bench.loop.run(10, lambda: not any(pair.in_flight for pair in pairs)):
            missing = sum(pair.in_flight for pair in pairs)
            raise BenchmarkError(f"{missing} messages did not arrive within 10 s of the last one sent")
        return measurement

    def _pairs(self, bench: Bench, arrived: Callable[[float], None]) -> list[Pair]:
        half = bench.options.pairs
        connections = bench.online(self.tls, 2 * half, acknowledged=bool(self.ask_every))
        pairs = [
            Pair(sender, receiver, account.jid, arrived, stored=self.stored, ask_every=self.ask_every)
            for sender, receiver, account in zip(
                connections[:half], connections[half:], bench.accounts[half : 2 * half], strict=True
            )
        ]
        for pair in pairs:
            pair.refill = self.rate is None
        return pairs


class OpenLoop:
    """Sends on a schedule whatever the answers do; latency counts from the scheduled time, late sends included."""

    def __init__(self, bench: Bench, pairs: list[Pair], rate: float) -> None:
        self._loop = bench.loop
        self._pairs = pairs
        self._interval = 1 / rate
        self._next = 0

    def run(self, seconds: float) -> None:
        clock, step, pairs, interval = time.perf_counter, self._loop.step, self._pairs, self._interval
        due = clock()
        end = due + seconds
        while due < end:
            # The generator has a core of its own: it polls rather than sleeps, as epoll's wait has 1 ms steps.
            while due <= clock() and due < end:
                pairs[self._next].send(1, due)
                self._next = (self._next + 1) % len(pairs)
                due += interval
            step(0)


def _on_sender(chunk: bytes) -> None:
    """Senders receive nothing, unless the server has a complaint."""
    if b"<error" in chunk or b"<stream:error" in chunk:
        raise BenchmarkError(f"the server answered a message with an error: {chunk[:500]!r}")
