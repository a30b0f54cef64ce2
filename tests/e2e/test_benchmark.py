"""The benchmark program runs against the server as it is now; whether its figures are good is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SMALL = "--seconds 0.4 --warmup 0.1 --rounds 1 --pairs 3 --contacts 3 --logins 4 --rate 100 --catchups 4 --history 2400"
SECONDS = 150  # that it may take on cores that others use, too; alone it takes ten
KINDS = ["chat-plain-1", "chat-tls-4", "chat-tls-open", "presence", "login-sha-256"]
PAGES = ["first", "middle", "last", "with"]


pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 10)]


def test_each_kind_of_load_runs_and_is_reported(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    results, shown = measure(tmp_path, KINDS, "--profile", str(profile))
    assert sorted(results) == sorted(KINDS)
    for name, result in results.items():
        check(name, result)
        assert name in shown
        assert (tmp_path / f"profile-{name}").stat().st_size > 0, "SIGTERM ends the server as it should"


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_what_is_stored_is_measured_with_each_engine(tmp_path: Path, engine: str) -> None:
    loads = [f"archive-{engine}", f"archive-{engine}-open", f"catch-up-{engine}", f"mam-page-{engine}"]
    results, shown = measure(tmp_path, loads)
    assert sorted(results) == sorted([*loads[:3], *(f"mam-page-{engine} {page}" for page in PAGES)])
    for name, result in results.items():
        check(name, result)
        assert name in shown
        if engine == "postgres":
            assert result["database"] > 0, name
        else:
            assert result["database"] is None, name
    budget = results[f"mam-page-{engine} last"]["database_budget"]
    assert budget == (1_000 if engine == "postgres" else None), "1 ms of the database for a page"
    assert "1,200 of 2,400 rows are the reader's" in shown


def test_rooms_are_measured(tmp_path: Path) -> None:
    loads = ["muc-100-plain-1", "muc-100-archive-5", "muc-100-sm-1", "join-storm", "muc-20x1000"]
    results, shown = measure(tmp_path, loads, "--occupants", "4", "--rooms", "10")
    assert sorted(results) == sorted(loads)
    for name, result in results.items():
        check(name, result)
    assert "all 4 saw each other after" in shown
    assert "20 accounts in 10 rooms, 200 places" in shown


def measure(folder: Path, workloads: Sequence[str], *more: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Run the program; its results by name, and what it printed."""
    report = folder / "report.json"
    arguments = ["--only", ",".join(workloads), "--json", str(report), *more]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", *SMALL.split(), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    results = json.loads(report.read_text())["results"]
    return {f"{result['workload']} {result['part']}".rstrip(): result for result in results}, run.stdout


def check(name: str, result: dict[str, Any]) -> None:
    assert result["figure"] > 0, name
    assert 0 < result["latency"]["p50"] <= result["latency"]["p99"], name
