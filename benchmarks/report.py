"""Results as a table for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import platform
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.workloads.base import Measurement, Options, Workload

_DISTURBED = 0.05
"""An idle machine shows less than this."""


@dataclass(frozen=True, slots=True)
class Result:
    """One workload on one server; `error` says why there is no measurement."""

    server: str
    workload: Workload
    measurement: Measurement | None
    error: str = ""
    part: str = ""
    """Of the workload; empty where it has none."""
    machine: float | None = None
    """How slow the machine was: `Yardstick.measure` around it, 1 where the budgets were set."""

    @property
    def name(self) -> str:
        """Workload and part."""
        return f"{self.workload.name} {self.part}".rstrip()

    @property
    def budget(self) -> float | None:
        """The budget is a promise about xmppd only."""
        return self.workload.budget if self.server == "xmppd" else None

    @property
    def ratio(self) -> float | None:
        """Measured over budget: up to 1 is within."""
        if self.measurement is None or self.budget is None:
            return None
        return self.measurement.figure / self.budget

    @property
    def database_budget(self) -> float | None:
        return self.workload.database_budget if self.server == "xmppd" else None

    @property
    def database_ratio(self) -> float | None:
        """The same of the database's share."""
        if self.measurement is None or self.measurement.database is None or self.database_budget is None:
            return None
        return self.measurement.database / self.database_budget


def disturbances(results: Sequence[Result]) -> list[str]:
    """A remark about the measurements that other programs on the two cores took part in, if there are any."""
    disturbed = {
        f"{result.name}, {result.server}": result.measurement.disturbed
        for result in results
        if result.measurement and (result.measurement.disturbed or 0) > _DISTURBED
    }
    if not disturbed:
        return []
    worst = max(disturbed.values(), key=lambda share: share or 0) or 0
    return [
        f"disturbed, figures are too high: other programs had up to {worst:.0%} of the server's core during "
        f"{'; '.join(disturbed)}. Run it again on an idle machine."
    ]


def print_table(results: Sequence[Result], remarks: Sequence[str]) -> None:
    """Print one row per workload and server, in the order given."""
    table = Table(title="xmppd benchmark: server cost per unit", title_justify="left")
    for column in ("workload", "server"):
        table.add_column(column, no_wrap=True)
    for column in (
        "cost",
        "budget",
        "ratio",
        "xmppd/peer",
        "database",
        "per second",
        "busy",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "machine",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    before = ""
    for result in results:
        if before and before != result.workload.name:
            table.add_section()
        before = result.workload.name
        table.add_row(result.name, result.server, *_cells(result, results))
    # Neither a pipe's 80 columns nor a narrow terminal may cut the figures.
    console = Console(highlight=False)
    console = Console(highlight=False, width=max(console.width, 166))
    console.print(table)
    for result in results:
        text = result.error or (result.measurement.note if result.measurement else "")
        if text:
            console.print(f"{result.name}, {result.server}: {text}", markup=False)
    for remark in remarks:
        console.print(remark, markup=False)


def write_json(
    file: Path, results: Sequence[Result], versions: dict[str, str], options: Options, remarks: Sequence[str]
) -> None:
    """Write everything measured; README.md describes the fields."""
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "python": platform.python_version(),
            "openssl": ssl.OPENSSL_VERSION,
        },
        "servers": versions,
        "options": dataclasses.asdict(options),
        "remarks": list(remarks),
        "results": [
            {
                "workload": result.workload.name,
                "part": result.part,
                "server": result.server,
                "unit": result.workload.unit,
                "budget": result.budget,
                "ratio": result.ratio,
                "database_budget": result.database_budget,
                "database_ratio": result.database_ratio,
                "error": result.error,
                "machine": result.machine,
                **(dataclasses.asdict(result.measurement) if result.measurement else {}),
            }
            for result in results
        ],
    }
    file.write_text(json.dumps(document, indent=2) + "\n")


def _cells(result: Result, results: Sequence[Result]) -> list[str]:
    measured, unit = result.measurement, result.workload.unit
    if measured is None:
        return ["failed" if result.error else "-", *[""] * 10]
    latency = measured.latency
    return [
        f"{_short(measured.figure)} {unit}",
        "" if result.budget is None else _short(result.budget),
        "" if result.ratio is None else f"{result.ratio:.2f}",
        _against(result, results),
        "" if measured.database is None else f"{_short(measured.database)} µs{_share(result)}",
        "" if measured.throughput is None else f"{measured.throughput:,.0f}",
        "" if measured.busy is None else f"{measured.busy:.0%}",
        *(
            ["", "", ""]
            if latency is None
            else [_short(value) for value in (latency.p50, latency.p95, latency.p99)]
        ),
        "" if result.machine is None else f"{result.machine:.2f}",
    ]


def _share(result: Result) -> str:
    """How much of its budget the database used, where it has one."""
    return "" if result.database_ratio is None else f" ({result.database_ratio:.2f})"


def _against(peer: Result, results: Sequence[Result]) -> str:
    """What xmppd costs in the same workload, as a multiple of what `peer` does; empty for xmppd itself."""
    for ours in results:
        same = ours is not peer and (ours.server, ours.name) == ("xmppd", peer.name)
        if same and ours.measurement and peer.measurement:
            return f"{ours.measurement.figure / peer.measurement.figure:.2f}"
    return ""


def _short(value: float) -> str:
    """Three significant digits, as many as a repeated run confirms."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _processor() -> str:
    """The processor's model; `platform.processor()` knows it only on macOS."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
