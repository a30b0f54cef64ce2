"""The lock of a data folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xmppd.errors import UserError
from xmppd.lock import DataLock, Locked


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with DataLock.acquire(tmp_path, "serve"):
        with pytest.raises(
            Locked, match=re.escape(f"{tmp_path}/lock is held by process {os.getpid()} (serve);")
        ):
            DataLock.acquire(tmp_path, "a command")
    with DataLock.acquire(tmp_path, "a command"), pytest.raises(Locked, match=r"\(a command\)"):
        DataLock.acquire(tmp_path, "serve")


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    DataLock.acquire(tmp_path / "a" / "data", "serve").release()
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "data" / "lock").stat().st_mode & 0o777 == 0o600


def test_a_process_that_dies_gives_it_back(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib\nfrom xmppd.lock import DataLock\n"
        "lock = DataLock.acquire(pathlib.Path(sys.argv[1]), 'serve')\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -9
    assert (tmp_path / "lock").read_text().endswith(" serve\n")
    DataLock.acquire(tmp_path, "serve").release()


def test_programs_that_it_starts_do_not_keep_it(tmp_path: Path) -> None:
    lock = DataLock.acquire(tmp_path, "serve")
    with subprocess.Popen(["sleep", "60"]) as child:
        lock.release()
        DataLock.acquire(tmp_path, "serve").release()
        child.kill()


def test_what_is_in_the_file_is_not_believed(tmp_path: Path) -> None:
    with DataLock.acquire(tmp_path, "serve"):
        (tmp_path / "lock").write_bytes(b"\xff\xfe nonsense")
        with pytest.raises(Locked, match="is held by another process"):
            DataLock.acquire(tmp_path, "serve")


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match=r"data/lock cannot be written: .*; data_dir has to be a folder"):
        DataLock.acquire(tmp_path / "data", "serve")
