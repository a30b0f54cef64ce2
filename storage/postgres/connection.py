"""One connection to the server, set up as this storage needs it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import asyncpg

from xmppd.errors import UserError
from xmppd.storage.url import PostgresUrl

OLDEST_SERVER: Final = 14
_STATEMENTS: Final = 500  # prepared ones that a connection keeps; there are fewer in all

_FAREWELL: Final = 1.0  # seconds

Row = Sequence[Any]


class Connection(Protocol):
    """What work may use of asyncpg's connection. Parameters are always passed apart from the SQL text: $1, $2 ..."""

    async def execute(self, sql: str, *args: object) -> str:
        """Run statements without parameters, or one with; the command tag of the last, such as ``DELETE 3``."""

    async def executemany(self, sql: str, args: Iterable[Sequence[object]]) -> None: ...

    async def fetch(self, sql: str, *args: object) -> list[Row]: ...

    async def fetchrow(self, sql: str, *args: object) -> Row | None: ...

    async def fetchval(self, sql: str, *args: object) -> Any: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None:
        """Close it without a word; the server undoes what was not committed."""

    async def close(self, *, timeout: float | None = None) -> None: ...


async def farewell(connection: Connection) -> None:
    """Close ``connection`` politely, so that the server's log does not speak of a client that vanished."""
    try:
        await connection.close(timeout=_FAREWELL)
    except Exception:  # whatever went wrong with the farewell: it is gone anyway
        connection.terminate()


class Link:
    """A connection with the name under which its transactions are recorded (the table ``writers``).

    ``number``: that of its newest transaction. ``used``: whether somebody had it before, and
    ``idle_since`` which loop time nobody has.
    """

    __slots__ = ("connection", "idle_since", "number", "used", "writer")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.writer = uuid.uuid4()
        self.number = 0
        self.used = False
        self.idle_since = asyncio.get_running_loop().time()


async def connect(url: PostgresUrl, *, statement_seconds: float) -> Connection:
    """A new connection; raises whatever asyncpg does, or ``UserError`` where the server cannot be used.

    ``statement_seconds``: the server ends a statement, and a transaction that does nothing, after so long; 0: never.
    """
    connection: Connection = await asyncpg.connect(
        url.text,
        timeout=None,  # the caller's
        statement_cache_size=_STATEMENTS,
        max_cached_statement_lifetime=0,
    )
    try:
        await _set_up(connection, url, statement_seconds)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _set_up(connection: Connection, url: PostgresUrl, statement_seconds: float) -> None:
    limit = f"{round(statement_seconds * 1000)}ms"
    # Not as parameters of the start: PgBouncer refuses those. synchronous_commit may be stricter, but not off: what is
    # answered is durable (docs/architecture.md, I1). Statements are short and by key: to plan one anew, or
    # to compile it, takes longer than to run it (a page of an archive of two years: 2.1 ms instead of 0.5).
    row = await connection.fetchrow(
        "SELECT set_config('statement_timeout', $1, false),"
        " set_config('idle_in_transaction_session_timeout', $1, false),"
        " set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false),"
        " CASE current_setting('application_name') WHEN '' THEN set_config('application_name', 'xmppd', false) END,"
        " CASE current_setting('synchronous_commit') WHEN 'off'"
        " THEN set_config('synchronous_commit', 'on', false) END,"
        " current_setting('server_version_num')::int / 10000, current_setting('server_encoding')",
        limit,
    )
    assert row is not None
    *_, version, encoding = row
    if version < OLDEST_SERVER:
        raise UserError(
            f"{url.name} is PostgreSQL {version}; {OLDEST_SERVER} or newer is needed: upgrade the server"
        )
    if encoding != "UTF8":
        raise UserError(
            f"the database {url.name} has the encoding {encoding}, which cannot hold every name: make another with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
