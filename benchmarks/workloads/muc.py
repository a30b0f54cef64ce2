"""Group chat: one room in which everybody gets what a few say."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from benchmarks.client import Connection
from benchmarks.errors import BenchmarkError
from benchmarks.login import enable
from benchmarks.markers import MarkerCounter
from benchmarks.workloads import seats
from benchmarks.workloads.base import Bench, Measurement, Options
from benchmarks.workloads.chat import BODY, REQUEST

_NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"
_ROOM = seats.room(0)


class Conversation:
    """Closed loop: when the last occupant has a message, the sender whose turn it is says the next.

    A room has one order for all, so the nth message that an occupant gets is the nth for everybody. Which of several
    senders it came from does not matter: the oldest send time belongs to it.
    """

    def __init__(
        self,
        occupants: Sequence[Connection],
        senders: int,
        latencies: array[float],
        *,
        stored: bool,
        acknowledged: bool,
    ) -> None:
        """The first `senders` of `occupants` speak. `stored`: what they say goes into the archive of the room.
        `acknowledged`: all have stream management (XEP-0198) on, and got no stanza since they turned it on.
        """
        self.received = 0
        """Deliveries: one message at one occupant."""
        self.running = True
        self._people = len(occupants)
        self._senders = cycle([occupant.write for occupant in occupants[:senders]])
        self._latencies = latencies
        self._acknowledged = acknowledged
        self._head = f"<message to='{_ROOM}' type='groupchat' id='m".encode()
        self._tail = f"'><body>{BODY}</body>{'' if stored else _NO_STORE}</message>".encode()
        self._sent: list[float] = []
        self._missing: dict[int, int] = {}
        for occupant in occupants:
            occupant.on_data = self._occupant(occupant)

    @property
    def in_flight(self) -> int:
        """Messages that not all have."""
        return len(self._missing)

    def say(self) -> None:
        """Let the next sender speak."""
        number = len(self._sent)
        self._missing[number] = self._people
        self._sent.append(time.perf_counter())
        next(self._senders)(b"%b%d%b" % (self._head, number, self._tail))

    def _occupant(self, connection: Connection) -> Callable[[bytes], None]:
        count = MarkerCounter(b"</message>").feed
        requests = MarkerCounter(REQUEST).feed if self._acknowledged else None
        acknowledge, missing, sent = connection.write, self._missing, self._sent
        seen = 0

        def on_data(chunk: bytes) -> None:
            nonlocal seen
            came = count(chunk)
            if requests is not None and requests(chunk):
                acknowledge(
                    b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % seen
                )  # as in chat.py: not what came with it
            if not came:
                return
            if b"</error>" in chunk or seen + came > len(sent):
                raise BenchmarkError(f"this is no message that somebody said: {chunk[-500:]!r}")
            self.received += came
            for number in range(seen, seen + came):
                left = missing[number] = missing[number] - 1
                if not left:
                    del missing[number]
                    self._latencies.append(time.perf_counter() - sent[number])
                    if self.running:
                        self.say()
            seen += came

        return on_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Muc:
    """CPU per delivery in a room with `occupants` occupants, of which `senders` keep a message each in flight."""

    name: str
    tls: bool = True
    senders: int = 1
    stored: bool = False
    acknowledged: bool = False
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/delivery"
    mechanism: str = "SCRAM-SHA-1"
    postgres: bool = False

    def accounts(self, options: Options) -> int:
        return options.occupants

    def run(self, bench: Bench) -> Measurement:
        connections = bench.online(self.tls, bench.options.occupants)
        seat(bench, connections)
        if self.acknowledged:
            bench.gate(self.tls).play_all(connections, enable)
        latencies = array("d")
        talk = Conversation(
            connections, self.senders, latencies, stored=self.stored, acknowledged=self.acknowledged
        )
        for _ in range(self.senders):
            talk.say()
        measurement = bench.measure(bench.loop.run, lambda: talk.received, latencies)
        talk.running = False
        if not bench.loop.run(10, lambda: not talk.in_flight):
            raise BenchmarkError(f"{talk.in_flight} messages did not get to all within 10 s of the last one")
        return measurement


def seat(bench: Bench, connections: Sequence[Connection]) -> None:
    """One room, made by the first of `connections`, with all of them in it."""
    owner, *others = connections
    gate = bench.gate(tls=True)
    seats.make(gate, {_ROOM: owner})
    nicks = {connection: f"nick{number}" for number, connection in enumerate(connections)}
    seats.enter(gate, {other: [_ROOM] for other in others}, nicks)
