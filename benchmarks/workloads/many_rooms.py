"""Group chat as most of it is: many small rooms, everybody in some of them."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.client import Connection
from benchmarks.errors import BenchmarkError
from benchmarks.markers import MarkerCounter
from benchmarks.workloads import seats
from benchmarks.workloads.base import Bench, Measurement, Options
from benchmarks.workloads.chat import BODY

PEOPLE: Final = 20  # in each room
_EACH: Final = 10  # rooms that each account is in
_SHIFT: Final = PEOPLE // _EACH  # by so many accounts two rooms that follow one another differ
_SECONDS: Final = 10.0


class Rounds:
    """In a round somebody speaks in every tenth room; these rooms have no account in common, and together all. When
    everybody has what was said, the next rooms speak.
    """

    def __init__(self, connections: Sequence[Connection], latencies: array[float]) -> None:
        self.received = 0
        self._connections = connections
        self._latencies = latencies
        self._round = 0
        self._messages = 0
        self._groups = len(connections) // PEOPLE
        self._missing = [0] * self._groups
        self._left = 0
        self._began = 0.0
        for number, connection in enumerate(connections):
            connection.on_data = self._occupant(number)

    def speak(self, seconds: float, step: Callable[[float], None]) -> None:
        """Rounds for so long; `step` lets the loop handle what has come."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._say()
            deadline = self._began + _SECONDS
            while self._left:
                step(0.05)
                if time.perf_counter() > deadline:
                    raise BenchmarkError(
                        f"{self._left} deliveries are missing {_SECONDS:.0f} s after a round"
                    )

    def _say(self) -> None:
        """One message in each room of this round, from an occupant whose turn it is."""
        self._round += 1
        self._missing[:] = [PEOPLE] * self._groups
        self._left = PEOPLE * self._groups
        self._began = time.perf_counter()
        first, speaker = self._round % _EACH, self._round // _EACH % PEOPLE
        for group in range(self._groups):
            number = first + group * _EACH
            sender = self._connections[(number * _SHIFT + speaker) % len(self._connections)]
            self._messages += 1
            sender.write(
                f"<message to='{seats.room(number)}' type='groupchat' id='m{self._messages}'>"
                f"<body>{BODY}</body><no-store xmlns='urn:xmpp:hints'/></message>".encode()
            )

    def _occupant(self, number: int) -> Callable[[bytes], None]:
        count = MarkerCounter(b"</message>").feed
        accounts = len(self._connections)

        def on_data(chunk: bytes) -> None:
            if not (came := count(chunk)):
                return
            if came > 1 or b"</error>" in chunk:
                raise BenchmarkError(f"more than the one message of this round: {chunk[-500:]!r}")
            self.received += 1
            self._left -= 1
            group = (number - self._round % _EACH * _SHIFT) % accounts // PEOPLE
            left = self._missing[group] = self._missing[group] - 1
            if not left:
                self._latencies.append(time.perf_counter() - self._began)

        return on_data


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyRooms:
    """CPU per delivery in `rooms` rooms of 20 occupants, each account in ten of them, over TLS."""

    name: str = "muc-20x1000"
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/delivery"
    mechanism: str = "SCRAM-SHA-1"
    postgres: bool = False

    def accounts(self, options: Options) -> int:
        return _SHIFT * _rooms(options)

    def run(self, bench: Bench) -> Measurement:
        rooms = _rooms(bench.options)
        connections = bench.online(True, self.accounts(bench.options))
        gate = bench.gate(tls=True)
        nicks = {connection: f"nick{number}" for number, connection in enumerate(connections)}
        began = time.perf_counter()
        seats.make(gate, {seats.room(number): connections[number * _SHIFT] for number in range(rooms)})
        inside: dict[Connection, list[str]] = {}
        for number in range(rooms):
            for place in range(1, PEOPLE):
                guest = connections[(number * _SHIFT + place) % len(connections)]
                inside.setdefault(guest, []).append(seats.room(number))
        seats.enter(gate, inside, nicks)
        filled = time.perf_counter() - began
        latencies = array("d")
        rounds = Rounds(connections, latencies)
        measurement = bench.measure(
            lambda seconds: rounds.speak(seconds, bench.loop.step), lambda: rounds.received, latencies
        )
        people = f"{len(connections):,} accounts in {rooms:,} rooms, {PEOPLE * rooms:,} places"
        note = f"{people}; all were in after {filled:.1f} s"
        return replace(measurement, note=note)


def _rooms(options: Options) -> int:
    """In tens, so that each round has everybody once."""
    return max(options.rooms // _EACH, 1) * _EACH
