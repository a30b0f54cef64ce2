"""What a server's processes cost: CPU seconds and resident memory, read from outside."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from benchmarks.errors import BenchmarkError


class Meter(Protocol):
    """Cost of one process and its living descendants."""

    def cpu(self) -> float:
        """Seconds of CPU, user and system, of all threads, ended ones included. Ended processes are not."""
        ...

    def rss(self) -> int:
        """Resident bytes."""
        ...


def meter(pid: int) -> Meter:
    """The most exact meter this platform has."""
    return LinuxMeter(pid) if sys.platform == "linux" else PsMeter(pid)


class LinuxMeter:
    """The processes' CPU clocks: nanoseconds, where `/proc/PID/stat` counts ticks of 10 ms."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._page = os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        with _alive(self._pid):
            return sum(self._cpu(pid) for pid in _linux_tree(self._pid))

    def rss(self) -> int:
        with _alive(self._pid):
            pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in _linux_tree(self._pid))
            return sum(map(int, pages)) * self._page

    def _cpu(self, pid: int) -> float:
        clock = ctypes.c_int()
        error = self._libc.clock_getcpuclockid(pid, ctypes.byref(clock))
        if error:
            raise ProcessLookupError(error, os.strerror(error))
        return time.clock_gettime(clock.value)


class PsMeter:
    """`ps`, for macOS and the BSDs: hundredths of a second, so measure for several seconds."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def cpu(self) -> float:
        return sum(_ps_seconds(row[3]) for row in self._rows())

    def rss(self) -> int:
        return sum(int(row[2]) * 1024 for row in self._rows())

    def _rows(self) -> list[list[str]]:
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,rss=,time="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split() for line in listing.splitlines()]
        tree = {str(self._pid)}
        while grown := {row[0] for row in rows if row[1] in tree} - tree:
            tree |= grown
        return [row for row in rows if row[0] in tree]


@contextlib.contextmanager
def _alive(pid: int) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as error:
        raise BenchmarkError(
            f"the server (process {pid}), or a child of it, ended; see its log (--keep)"
        ) from error


def _linux_tree(root: int) -> list[int]:
    tree = [root]
    for pid in tree:  # grows while it is walked
        for task in Path(f"/proc/{pid}/task").iterdir():
            tree.extend(map(int, (task / "children").read_text().split()))
    return tree


def _ps_seconds(text: str) -> float:
    """`[[days-]hours:]minutes:seconds[.hundredths]` in seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return int(days or 0) * 86400 + seconds
