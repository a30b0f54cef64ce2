"""What a workload is, what it is given, and what it hands back."""

from __future__ import annotations

import gc
import operator
import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import Any, Protocol, runtime_checkable

from benchmarks.accounts import Account
from benchmarks.client import Connection, client_tls
from benchmarks.cores import Cores, busy_seconds
from benchmarks.errors import BenchmarkError
from benchmarks.history import History
from benchmarks.login import Gate, enable
from benchmarks.loop import Loop
from benchmarks.scram import KeyCache
from benchmarks.server import Running

REST_SECONDS = 0.02
"""In which a server does what it puts off until its clients have been served."""


def _size(default: float, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much of everything. Each is an option of the command line, with its `help`."""

    seconds: float = _size(9.0, "measured seconds per workload")
    warmup: float = _size(2.0, "seconds of the same load before them")
    rounds: int = _size(3, "parts of the measured time; a figure is their median")
    pairs: int = _size(100, "pairs of the chat workloads")
    contacts: int = _size(100, "contacts of presence")
    logins: int = _size(200, "sessions per batch of the login workloads")
    sessions: int = _size(2000, "sessions of idle")
    history: int = _size(200_000, "rows of the archive in mam-page")
    catchups: int = _size(1000, "accounts of catch-up")
    occupants: int = _size(100, "occupants of muc-100 and join-storm")
    rooms: int = _size(1000, "rooms of muc-20x1000, in tens")


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds, from the generator's `send` to its `recv`."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one workload measured, in the workload's unit."""

    figure: float
    """The median of `rounds`."""
    rounds: tuple[float, ...]
    throughput: float | None = None
    """Units per second."""
    busy: float | None = None
    """Share of its core that the server used; well under 1 means that the generator was the limit."""
    disturbed: float | None = None
    """Share of the time that other programs ran on the server's core."""
    generator: float | None = None
    """CPU µs of the generator per unit."""
    database: float | None = None
    """CPU µs of PostgreSQL per unit; None where there is none."""
    latency: Latency | None = None
    note: str = ""


class Workload(Protocol):
    """A load and the unit its cost is given in."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def budget(self) -> float | None:
        """The figure of DESIGN 11, None where it has none."""
        ...

    @property
    def database_budget(self) -> float | None:
        """CPU µs of PostgreSQL per unit, None where there is no budget for it."""
        ...

    @property
    def mechanism(self) -> str:
        """The SASL mechanism its clients use."""
        ...

    @property
    def postgres(self) -> bool:
        """Whether the server keeps everything in PostgreSQL, with commits forced to the disk; else in SQLite."""
        ...

    def accounts(self, options: Options) -> int:
        """How many accounts it needs."""
        ...

    def run(self, bench: Bench) -> Measurement | Mapping[str, Measurement]:
        """Run it; several measurements by name where it has parts. Raises BenchmarkError where it cannot."""
        ...


@runtime_checkable
class Filled(Workload, Protocol):
    """One that reads what was written long before."""

    def history(self, options: Options) -> History: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and wall seconds; a difference or a sum of two is one again."""

    server: float = 0.0
    generator: float = 0.0
    database: float = 0.0
    core: float = 0.0
    """Of all programs on the server's core; 0 where it has none of its own."""
    wall: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*map(operator.sub, astuple(self), astuple(other)))


class Stopwatch:
    """Adds up measured windows."""

    def __init__(self, running: Running, cores: Cores) -> None:
        self.last = Usage()
        """The last window."""
        self._server = running.meter
        self._database = running.database
        self._cores = cores
        self._total = Usage()

    @contextmanager
    def window(self) -> Iterator[None]:
        before = self._read()
        yield
        self.last = self._read() - before
        self._total += self.last

    def measurement(
        self, figures: Sequence[float], units: int, latencies: Sequence[float], note: str = ""
    ) -> Measurement:
        """What the windows say about `units` units; `figures` has one cost per window."""
        total = self._total
        others = max(total.core - total.server, 0.0)
        return Measurement(
            figure=statistics.median(figures),
            rounds=tuple(figures),
            throughput=units / total.wall,
            busy=total.server / total.wall,
            disturbed=None if self._cores.server is None else others / total.wall,
            generator=total.generator / units * 1e6,
            database=None if self._database is None else total.database / units * 1e6,
            latency=percentiles(latencies),
            note=note,
        )

    def _read(self) -> Usage:
        core = self._cores.server
        return Usage(
            server=self._server.cpu(),
            generator=time.process_time(),
            database=0.0 if self._database is None else self._database.cpu(),
            core=0.0 if core is None else busy_seconds(core),
            wall=time.perf_counter(),
        )


@dataclass(slots=True, kw_only=True)
class Bench:
    """A freshly started server and the means to load it."""

    running: Running
    options: Options
    accounts: Sequence[Account]
    mechanism: str
    keys: KeyCache
    cores: Cores
    loop: Loop

    def gate(self, tls: bool) -> Gate:
        """The way in: the direct TLS port, or the other one left unencrypted."""
        address = self.running.tls if tls else self.running.plain
        return Gate(self.loop, address, client_tls() if tls else None, self.mechanism, self.keys)

    def online(self, tls: bool, count: int, *, acknowledged: bool = False) -> list[Connection]:
        """The first `count` accounts, logged in, available, and with nothing more to come from the server;
        `acknowledged`: with stream management (XEP-0198).
        """
        gate = self.gate(tls)
        connections = gate.login_all(self.accounts[:count])
        gate.settle_all(connections)
        if acknowledged:
            gate.play_all(connections, enable)
        return connections

    def log_out(self, connections: Sequence[Connection]) -> None:
        """Close all streams, and wait until the server has done so."""
        for connection in connections:
            connection.finish()
        if not self.loop.run(30, lambda: all(connection.closed for connection in connections)):
            left = sum(not connection.closed for connection in connections)
            raise BenchmarkError(
                f"{left} of {len(connections)} connections are open 30 s after </stream:stream>"
            )
        self.loop.run(REST_SECONDS)

    def measure(
        self, drive: Callable[[float], object], units: Callable[[], int], latencies: array[float]
    ) -> Measurement:
        """Warm up, then measure CPU µs per unit in rounds; `drive(seconds)` keeps the load going meanwhile.

        `latencies` is the array that the load appends seconds to.
        """
        drive(self.options.warmup)
        del latencies[:]
        watch = Stopwatch(self.running, self.cores)
        costs: list[float] = []
        first = units()
        with no_collector():
            for _ in range(self.options.rounds):
                before = units()
                with watch.window():
                    drive(self.options.seconds / self.options.rounds)
                if units() == before:
                    raise BenchmarkError("nothing was delivered: the server lost what was in flight")
                costs.append(watch.last.server / (units() - before) * 1e6)
        return watch.measurement(costs, units() - first, latencies)


def percentiles(seconds: Sequence[float]) -> Latency:
    """p50, p95 and p99 (nearest rank) of at least one latency, in milliseconds."""
    ordered = sorted(seconds)
    p50, p95, p99 = (
        ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.50, 0.95, 0.99)
    )
    return Latency(p50 * 1e3, p95 * 1e3, p99 * 1e3)


@contextmanager
def no_collector() -> Iterator[None]:
    """The generator makes no cycles on its hot path, and a pause of its collector would count as latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
