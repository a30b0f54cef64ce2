"""The one exception of the benchmark program."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A workload could not run. The message says what happened, where, and what to do about it."""
