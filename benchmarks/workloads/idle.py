"""What an idle session costs in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.workloads.base import Bench, Measurement, Options

_WARM = 100
"""Sessions before the first reading, so that what a server loads or caches once is not charged to the rest."""
_SETTLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """KiB of resident memory per session over TLS that has sent presence and then nothing more."""

    name: str = "idle"
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "KiB/session"
    mechanism: str = "SCRAM-SHA-1"
    postgres: bool = False

    def accounts(self, options: Options) -> int:
        return _WARM + options.sessions

    def run(self, bench: Bench) -> Measurement:
        meter, count = bench.running.meter, bench.options.sessions
        gate = bench.gate(tls=True)
        gate.settle_all(gate.login_all(bench.accounts[:_WARM]))
        before = _settled_rss(bench)
        gate.settle_all(gate.login_all(bench.accounts[_WARM : _WARM + count]))
        after = _settled_rss(bench)
        cpu, began = meter.cpu(), time.perf_counter()
        bench.loop.run(2.0)
        busy = (meter.cpu() - cpu) / (time.perf_counter() - began)
        cost = (after - before) / count / 1024
        note = f"{after / 2**20:.0f} MiB with {_WARM + count} sessions, {before / 2**20:.0f} MiB with {_WARM}"
        return Measurement(figure=cost, rounds=(cost,), busy=busy, note=note)


def _settled_rss(bench: Bench) -> int:
    """Resident bytes once they have moved less than 0.2 % in 2 s, or after 20 s."""
    rss = bench.running.meter.rss()
    deadline = time.perf_counter() + _SETTLE_SECONDS
    while True:
        bench.loop.run(2.0)
        before, rss = rss, bench.running.meter.rss()
        if abs(rss - before) < 0.002 * rss or time.perf_counter() > deadline:
            return rss
