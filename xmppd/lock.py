"""Who may open the storage: one process per data folder, through a lock that the system takes back when it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from xmppd.errors import UserError

LOCK_NAME: Final = "lock"


class Locked(UserError):
    """Another process holds the lock."""


class DataLock:
    """The lock of a data folder, held until ``release``. The file stays: removing it would let two hold it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @staticmethod
    def acquire(data_dir: Path, holder: str) -> DataLock:
        """Take the lock of ``data_dir``, which is made when it is not there.

        ``holder`` says what this process is, for the message of others. ``Locked`` names the process that has it,
        ``UserError`` says why the folder cannot be used.
        """
        path = data_dir / LOCK_NAME
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as err:
            raise UserError(
                f"{path} cannot be written: {err.strerror}; data_dir has to be a folder of the user who runs xmppd"
            ) from err
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            held = _holder(descriptor)
            os.close(descriptor)
            raise Locked(f"{path} is held by {held}; two processes cannot use one data_dir") from err
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {holder}\n".encode(), 0)
        return DataLock(descriptor)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DataLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(descriptor: int) -> str:
    pid, _, what = os.pread(descriptor, 200, 0).decode(errors="replace").strip().partition(" ")
    return f"process {pid} ({what})" if pid.isdigit() else "another process"
