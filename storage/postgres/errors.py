"""What PostgreSQL and the network say, for the person who has to mend it."""

from __future__ import annotations

import ssl
from typing import Final, Literal

import asyncpg

from xmppd.storage.interfaces import StorageUnavailable

# SQLSTATE, or its class of two characters -> cause, remedy.
# (https://postgresql.org/docs/current/errcodes-appendix.html). What is not here is a bug of the program.
_CAUSES: Final[dict[str, tuple[str, str]]] = {
    "08": ("the connection was lost", "see that the server runs and can be reached"),
    "25006": (
        "it is read-only",
        "see whether the server is a standby, or default_transaction_read_only is on; with several hosts in "
        "[storage] url, ?target_session_attrs=read-write finds the primary",
    ),
    "26": (
        "a prepared statement is missing",
        "see that a PgBouncer between here and the server has pool_mode = session for this database",
    ),
    "28": (
        "the server does not let this user in",
        "see the server's pg_hba.conf, and user and password in [storage] url, PGPASSWORD or ~/.pgpass",
    ),
    "28P01": ("wrong user or password", "correct it in [storage] url, PGPASSWORD or ~/.pgpass"),
    "3D000": ("there is no such database", "make it: createdb --encoding=UTF8 --template=template0 NAME"),
    "3F000": ("there is no such schema", "make it, or correct search_path"),
    "42501": (
        "this user has no right to do that",
        "make it the owner of the database and of the tables in it: ALTER DATABASE ... OWNER TO ...",
    ),
    "42P01": ("a table is missing", "bring back a backup, or find out who dropped or renamed it"),
    "53100": ("no space is left for it", "free space on the server's disks; nothing needs a restart"),
    "53200": ("the server has no memory left", "give it more, or lower [storage] connections"),
    "53300": (
        "the server has no connection left",
        "raise max_connections there, lower [storage] connections here, or put PgBouncer between",
    ),
    "53400": ("a limit of the server's configuration is reached", "raise it there"),
    "54": ("a limit of the server is reached", "see the server's log"),
    "55P03": (
        "another program holds a lock on it for too long",
        "end that program, or wait for it, and try again",
    ),
    "57014": (
        "it took too long and was cut off",
        "see what loads the server (pg_stat_activity), or raise [storage] statement_seconds",
    ),
    "57": ("the server ended the connection", "see that it runs: the next operation connects again"),
    "57P03": ("the server is starting or stopping", "wait until it is there, or see its log"),
    "57P04": ("the database was dropped", "make it again, or bring back a backup"),
    "25P03": ("a transaction did nothing for too long", "see what slows this machine down"),
    "58": ("the server's operating system failed it", "see the server's log, and its disks"),
    "F0": ("the server's configuration is in the way", "see the server's log"),
    "XX001": ("the data are damaged", "stop the server and bring back a backup; see the server's log"),
    "XX002": ("an index is damaged", "rebuild it with REINDEX; see the server's log"),
}
# The connection is gone, or will be: what was not committed has not happened.
_LOST: Final = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
# Another attempt a moment later may well succeed.
_PASSING: Final = (*_LOST, "53300", "53200", "53400")

_AWAY: Final = ("it cannot be reached", "see that the server runs, that host and port in [storage] url are right, and "
                "that no firewall is between")  # fmt: skip


def explain(
    error: BaseException, name: str, verb: Literal["use", "open"] = "use"
) -> StorageUnavailable | None:
    """The error for people if ``error`` has a cause outside the program; None if it is a bug of the program.

    ``name`` is the database's, without a password.
    """
    if isinstance(error, StorageUnavailable):
        return error
    found = _cause(error)
    if found is None:
        return None
    (cause, remedy), said = found
    return StorageUnavailable(f"cannot {verb} the database {name}: {cause}: {said}; {remedy}")


def is_lost(error: BaseException) -> bool:
    """Whether ``error`` means that the connection is gone."""
    if isinstance(error, asyncpg.PostgresError):
        return _starts(error.sqlstate, _LOST)
    # The last: the server has said goodbye, which asyncpg takes for an answer that nobody asked for, and the end of the
    # connection has not been seen yet.
    return isinstance(error, OSError | EOFError | asyncpg.InternalClientError)


def is_misplaced(error: BaseException) -> bool:
    """Whether a new connection may find what this one does not have: a server that takes writes."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def is_passing(error: BaseException) -> bool:
    """Whether connecting again a moment later may help: the server starts, is full, or is not there yet."""
    if isinstance(error, asyncpg.PostgresError):
        return _starts(error.sqlstate, _PASSING)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return True
    return isinstance(error, OSError | EOFError) and not isinstance(error, ssl.SSLError | PermissionError)


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction was undone only because of others; it may be tried again."""
    return isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError)


def _cause(error: BaseException) -> tuple[tuple[str, str], str] | None:
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        cause = _CAUSES.get(state) or _CAUSES.get(state[:2])
        return None if cause is None else (cause, f"{_first_line(error)} (SQLSTATE {state})")
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return ("no host is what target_session_attrs asks for", "see which server is the primary"), str(
            error
        )
    if isinstance(error, asyncpg.ClientConfigurationError):
        return ("[storage] url, or a PG... variable of the environment, is wrong", "correct it"), str(error)
    if isinstance(error, ssl.SSLError):
        return (
            "TLS failed",
            "see sslmode and sslrootcert in [storage] url, and the server's certificate",
        ), str(error)
    if isinstance(error, PermissionError):
        return ("access is denied", "see the owner and mode of the socket or file"), str(error)
    if isinstance(error, TimeoutError):
        return ("it does not answer", "see what loads the server and the network"), str(error) or "timed out"
    if isinstance(error, OSError | EOFError):
        return _AWAY, str(error) or type(error).__name__
    # Other interface errors are mistakes of the program.
    if isinstance(error, asyncpg.InternalClientError) or (
        isinstance(error, asyncpg.InterfaceError) and "closed" in str(error)
    ):
        return ("the connection was lost", "see that the server runs and can be reached"), str(error)
    return None


def _first_line(error: BaseException) -> str:
    """Without details and hints, which may hold what users have written."""
    return str(error).partition("\n")[0]


def _starts(state: str | None, starts: tuple[str, ...]) -> bool:
    return state is not None and state.startswith(starts)


def closed(name: str) -> StorageUnavailable:
    return StorageUnavailable(f"the storage {name} is closed: the server is shutting down")


def unknown_outcome(name: str, error: BaseException) -> StorageUnavailable:
    """For the one case that cannot be decided: the server is away, and stays so, after it was told to commit."""
    return StorageUnavailable(
        f"cannot use the database {name}: the connection was lost while a change was being committed, and the server "
        f"could not be asked since whether it is there: {error}"
    )
