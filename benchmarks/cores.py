"""Which core the server runs on and which the generator, and how many files both may open."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError


@dataclass(frozen=True, slots=True)
class Cores:
    """The two cores, None where they cannot be told apart; `note` then says why."""

    server: int | None
    generator: int | None
    note: str
    usable: frozenset[int] = frozenset()
    """All that this process was given."""

    @contextlib.contextmanager
    def for_server(self) -> Iterator[None]:
        """Processes started inside run on the server's core (a child inherits the affinity)."""
        with self._moved(_only(self.server)):
            yield

    @contextlib.contextmanager
    def on_server(self) -> Iterator[None]:
        """This process runs on the server's core."""
        with self._moved(_only(self.server)):
            yield

    @contextlib.contextmanager
    def for_preparation(self) -> Iterator[None]:
        """Processes started inside run on all cores."""
        with self._moved(self.usable):
            yield

    @contextlib.contextmanager
    def for_database(self) -> Iterator[None]:
        """Processes started inside run on all cores but the server's; with the generator where there are no others."""
        with self._moved(self.usable - _only(self.server)):
            yield

    @contextlib.contextmanager
    def _moved(self, cores: Set[int]) -> Iterator[None]:
        _pin(cores)
        try:
            yield
        finally:
            _pin(_only(self.generator))


def busy_seconds(core: int) -> float:
    """CPU seconds that `core` has spent on all programs since the machine started (Linux; steps of 10 ms)."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq = map(int, ticks[:7])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    raise BenchmarkError(f"/proc/stat has no cpu{core}")


def choose_cores() -> Cores:
    """Two of the cores that this process may use; pins the generator (this process) to its one."""
    usable = _usable()
    if not usable:
        return Cores(None, None, f"{sys.platform} cannot pin a process to a core: expect more noise")
    if len(usable) < 2:
        return Cores(None, None, "only one core: server and generator share it, latencies mean little")
    # The last one for the server: the first usually handles the interrupts.
    server, generator = usable[-1], usable[0]
    _pin({generator})
    note = f"server on core {server}, generator on core {generator}"
    return Cores(server, generator, note, frozenset(usable))


def raise_file_limit(needed: int) -> str | None:
    """Allow this process and its children `needed` open files; returns a complaint where that is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    if hard != resource.RLIM_INFINITY and hard < needed:
        return (
            f"{needed} open files are needed, at most {hard} allowed: raise `ulimit -Hn` or lower --sessions"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return None


def _usable() -> list[int]:
    """The cores that this process may use, in order; none where the platform does not say."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    else:
        return []


def _only(core: int | None) -> Set[int]:
    return frozenset() if core is None else {core}


def _pin(cores: Set[int]) -> None:
    """Move this process to `cores`; none means that there is nothing to choose."""
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, cores)
