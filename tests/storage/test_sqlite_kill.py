"""kill -9: what was acknowledged is there when the database is opened again (invariant I1)."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.storage.acknowledge import ACCOUNT
from tests.storage.parts import SqliteFile
from xmppd.storage.interfaces import Stores

ROOT = Path(__file__).parent.parent.parent
ROUNDS, SOAK_ROUNDS = 10, 200


def run_and_kill(directory: Path, lines: int) -> list[tuple[str, int, str]]:
    """Let the program acknowledge `lines` times, kill it; everything that it had said until it was dead."""
    command = [sys.executable, "-m", "tests.storage.acknowledge", str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        said = [program.stdout.readline() for _ in range(lines)]
        program.kill()
        said += program.stdout.readlines()
    acknowledged = []
    for line in said:
        assert line.endswith("\n")  # os.write of less than a page: whole or not at all
        kind, number, text = line.split()
        acknowledged.append((kind, int(number), text))
    return acknowledged


async def check(stores: Stores, acknowledged: list[tuple[str, int, str]]) -> None:
    account = await stores.accounts.get(ACCOUNT)
    assert account is not None
    rows, _ = await stores.archive.owed(account.id, after=0, limit=10**9)
    assert {(id_, text) for kind, id_, text in acknowledged if kind == "archive"} <= {
        (row.id, row.stanza.decode()) for row in rows
    }
    roster = await stores.rosters.load(account.id)
    assert {text for kind, _, text in acknowledged if kind == "roster"} <= set(map(str, roster.items))
    assert roster.version == len(roster.items)  # one version for each item: nothing half done


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_nothing_acknowledged_is_lost_when_the_program_is_killed(tmp_path: Path, soak: bool) -> None:
    acknowledged: list[tuple[str, int, str]] = []
    engine = SqliteFile(tmp_path)
    for round_ in range(SOAK_ROUNDS if soak else ROUNDS):
        acknowledged += run_and_kill(tmp_path, random.randint(1, 400))
        if round_ % 3 == 0:  # otherwise the next program finds the write-ahead log as the last one left it
            stores = await engine.open()
            await check(stores, acknowledged)
            await stores.close()
    stores = await engine.open()
    await check(stores, acknowledged)
    assert len({number for kind, number, _ in acknowledged if kind == "archive"}) == sum(
        kind == "archive" for kind, _, _ in acknowledged
    )
    await stores.close()
