"""What SQLite says, for the person who has to mend it."""

from __future__ import annotations

import os
import sqlite3
from typing import Final, Literal

from xmppd.storage.interfaces import StorageUnavailable

# Primary result code (https://sqlite.org/rescode.html) -> cause, remedy. Other codes are bugs of the program.
_CAUSES: Final[dict[int, tuple[str, str]]] = {
    sqlite3.SQLITE_FULL: (
        "no space is left for it",
        "free space on its file system, or lift the quota; nothing needs a restart",
    ),
    sqlite3.SQLITE_IOERR: (
        "the operating system could not read or write it",
        "look for disk errors in the kernel's log, and for full disks, quotas and file size limits (ulimit -f)",
    ),
    sqlite3.SQLITE_READONLY: (
        "it may not be written",
        "make the file, those beside it that end in -wal and -shm, and its directory writable for user id {user}",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", "make the file and its directory writable for user id {user}"),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "see that its directory exists and that user id {user} may read and write it and what is in it",
    ),
    sqlite3.SQLITE_BUSY: (
        "another program keeps it locked",
        "end that program (`fuser {path}` names it); a database belongs to one running server",
    ),
    sqlite3.SQLITE_LOCKED: ("a table in it is locked", "end the program that uses it besides the server"),
    sqlite3.SQLITE_PROTOCOL: (
        "locking it does not work",
        "put it on a local file system, not on a network share",
    ),
    sqlite3.SQLITE_NOLFS: (
        "it has grown too large for its file system",
        "move it to one that holds larger files",
    ),
    sqlite3.SQLITE_NOMEM: ("no memory is left", "give the server more memory"),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "stop the server, then bring back a backup, or save what can be read: "
        "sqlite3 {path} .recover | sqlite3 NEW-FILE",
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is no SQLite database",
        "name another file in [storage] url, move this one away, or bring back a backup",
    ),
}


def explain(
    error: BaseException, path: str, verb: Literal["use", "open"] = "use"
) -> StorageUnavailable | None:
    """The error for people if ``error`` has a cause outside the program; None if it is a bug of the program."""
    if isinstance(error, StorageUnavailable):
        return error
    code = getattr(error, "sqlite_errorcode", None)  # extended; its low byte is the primary code
    if code is None or code & 0xFF not in _CAUSES:
        return None
    cause, remedy = _CAUSES[code & 0xFF]
    said = f"{error} ({getattr(error, 'sqlite_errorname', code)})"
    remedy = remedy.format(path=path, user=os.geteuid())
    return StorageUnavailable(f"cannot {verb} the database {path}: {cause}: {said}; {remedy}")
