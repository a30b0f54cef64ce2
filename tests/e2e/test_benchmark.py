"""The benchmark program runs against the server as it is now; whether its figures are good is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = "--seconds 0.3 --warmup 0.1 --rounds 1 --pairs 3 --contacts 3 --logins 4 --rate 100"


@pytest.mark.slow
def test_each_kind_of_load_runs_and_is_reported(tmp_path: Path) -> None:
    report, profile = tmp_path / "report.json", tmp_path / "profile"
    workloads = ["chat-plain-1", "chat-tls-4", "chat-tls-open", "presence", "login-sha-256"]
    arguments = ["--only", ",".join(workloads), "--json", str(report), "--profile", str(profile)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", *SMALL.split(), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    results = {result["workload"]: result for result in json.loads(report.read_text())["results"]}
    assert sorted(results) == sorted(workloads)
    for name, result in results.items():
        assert result["figure"] > 0, name
        assert 0 < result["latency"]["p50"] <= result["latency"]["p99"], name
        assert name in run.stdout
        assert (tmp_path / f"profile-{name}").stat().st_size > 0, "SIGTERM ends the server as it should"
