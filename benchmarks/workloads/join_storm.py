"""Everybody enters a room at once, as after the start of a server or of a meeting."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.client import Connection
from benchmarks.errors import BenchmarkError
from benchmarks.markers import MarkerCounter
from benchmarks.workloads import seats
from benchmarks.workloads.base import Bench, Measurement, Options, Stopwatch, no_collector

_ROOM = seats.room(0)
_LEAVE = b"<presence type='unavailable' to='%b/nick%d'/>"
_SECONDS = 30.0


class Views:
    """Counts of how many occupants each one has seen, itself included."""

    def __init__(self, occupants: Sequence[Connection], latencies: array[float], *, but_first: int) -> None:
        """The first of `occupants` is in the room already, and has seen `but_first` of all before."""
        self.complete = 0
        self._people = len(occupants)
        self._latencies = latencies
        self._began = time.perf_counter()
        for number, occupant in enumerate(occupants):
            occupant.on_data = self._view(0 if number else but_first)

    def _view(self, seen: int) -> Callable[[bytes], None]:
        count = MarkerCounter(b"</presence>").feed

        def on_data(chunk: bytes) -> None:
            nonlocal seen
            if not (came := count(chunk)):
                return
            before = seen
            seen += came
            if before < self._people <= seen:
                self.complete += 1
                self._latencies.append(time.perf_counter() - self._began)

        return on_data


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStorm:
    """Server CPU µs per join, when all but the owner enter within the same moment; then they leave, and again."""

    name: str = "join-storm"
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/join"
    mechanism: str = "SCRAM-SHA-1"
    postgres: bool = False

    def accounts(self, options: Options) -> int:
        return options.occupants

    def run(self, bench: Bench) -> Measurement:
        connections = bench.online(True, bench.options.occupants)
        gate = bench.gate(tls=True)
        seats.make(gate, {_ROOM: connections[0]})
        seats.settle(gate, connections)
        joining = [
            (connection.write, seats.entering(_ROOM, f"nick{number}"), _LEAVE % (_ROOM.encode(), number))
            for number, connection in enumerate(connections)
        ][1:]
        latencies = array("d")
        costs: list[float] = []
        times: list[float] = []

        def storm(watch: Stopwatch) -> None:
            views = Views(connections, latencies, but_first=1)
            with watch.window():
                for write, enter, _ in joining:
                    write(enter)
                if not bench.loop.run(_SECONDS, lambda: views.complete == len(connections)):
                    raise BenchmarkError(
                        f"{views.complete} of {len(connections)} see everybody {_SECONDS:.0f} s after they came"
                    )
            for connection in connections:
                connection.on_data = _ignore
            for write, _, leave in joining:
                write(leave)
            seats.settle(gate, connections)

        storm(Stopwatch(bench.running, bench.cores))  # warms everything up
        del latencies[:]
        watch = Stopwatch(bench.running, bench.cores)
        began = time.perf_counter()
        with no_collector():
            while len(costs) < bench.options.rounds or time.perf_counter() - began < bench.options.seconds:
                storm(watch)
                costs.append(watch.last.server / len(joining) * 1e6)
                times.append(watch.last.wall)
        note = f"all {len(connections)} saw each other after {statistics.median(times):.3f} s"
        return watch.measurement(costs, len(joining) * len(costs), latencies, note)


def _ignore(chunk: bytes) -> None:
    """Who leaves is seen by those who are still there; nobody counts it."""
