"""What a login costs: fresh TLS 1.3 connection, SCRAM, bind, presence."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from benchmarks.workloads.base import REST_SECONDS, Bench, Measurement, Options, Stopwatch, no_collector

_CONCURRENCY = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Server CPU ms per login. Batches log in and out again; only the logging in is charged."""

    name: str
    mechanism: str
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "ms/login"
    postgres: bool = False

    def accounts(self, options: Options) -> int:
        return options.logins

    def run(self, bench: Bench) -> Measurement:
        meter, accounts = bench.running.meter, bench.accounts[: bench.options.logins]
        gate = bench.gate(tls=True)
        gate.concurrency = _CONCURRENCY
        # Warms up the server, and fills the cache of salted passwords: from here on the generator hashes none.
        bench.log_out(gate.login_all(accounts))
        gate.durations.clear()
        watch = Stopwatch(bench.running, bench.cores)
        costs: list[float] = []
        departures: list[float] = []
        began = time.perf_counter()
        with no_collector():
            while len(costs) < bench.options.rounds or time.perf_counter() - began < bench.options.seconds:
                with watch.window():
                    connections = gate.login_all(accounts)
                    bench.loop.run(REST_SECONDS)  # the last initial presences
                costs.append(watch.last.server / len(accounts) * 1e3)
                before = meter.cpu()
                bench.log_out(connections)
                departures.append((meter.cpu() - before) / len(accounts) * 1e3)
        note = f"logging out costs {statistics.median(departures):.2f} ms more"
        return watch.measurement(costs, len(accounts) * len(costs), gate.durations, note)
