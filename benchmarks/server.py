"""Starting, finding and ending a server under test."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncpg

from benchmarks.accounts import DOMAIN, Account, write_csv
from benchmarks.certificate import write_certificate
from benchmarks.client import Address
from benchmarks.cores import Cores
from benchmarks.errors import BenchmarkError
from benchmarks.history import History
from benchmarks.meter import Meter, meter
from tests.support.postgres import Postgres
from xmppd.config.load import load
from xmppd.storage.open import open_configured
from xmppd.storage.url import is_postgres

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    plain: Address
    tls: Address
    meter: Meter
    database: Meter | None = None
    """Of the PostgreSQL behind it, if there is one."""
    filled: float = 0.0
    """Seconds that writing the `History` took."""


class Server(Protocol):
    """A server under test. `prepare` once, then `start` as often as there are workloads."""

    @property
    def name(self) -> str: ...

    def version(self) -> str: ...

    def prepare(self, accounts: Sequence[Account]) -> None:
        """Create the accounts. Raises BenchmarkError where that fails."""
        ...

    @property
    def ours(self) -> bool:
        """Whether it is xmppd; no other is asked for a `postgres` or a `history`."""
        ...

    def start(
        self, mechanism: str, profile: Path | None, *, postgres: bool = False, history: History | None = None
    ) -> AbstractContextManager[Running]:
        """Run it, able to do `mechanism`, until the context ends. `profile`: write a cProfile file there. `postgres`:
        with everything in a PostgreSQL. `history`: what is in its archive.
        """
        ...

    def close(self) -> None:
        """End what was started for all workloads."""
        ...


class Xmppd:
    """The server this project is about, started through its public command line. `python`: the interpreter whose
    xmppd is measured, this one's checkout or what is installed in another.
    """

    name = "xmppd"
    ours = True

    def __init__(self, folder: Path, cores: Cores, python: str = sys.executable) -> None:
        self._folder = folder
        self._cores = cores
        self._python = python
        self._database: Postgres | None = None
        self._runs = 0

    def version(self) -> str:
        shown = subprocess.run(
            [self._python, "-P", "-m", "xmppd", "--version"], capture_output=True, text=True
        )
        return shown.stdout.strip().removeprefix("xmppd ") or "unknown"

    def prepare(self, accounts: Sequence[Account]) -> None:
        write_certificate(self._folder / "cert.pem", self._folder / "key.pem")
        write_csv(accounts, self._folder / "accounts.csv")
        self._import(self._configure(_TEMPLATE))

    @contextlib.contextmanager
    def start(
        self, mechanism: str, profile: Path | None, *, postgres: bool = False, history: History | None = None
    ) -> Iterator[Running]:
        with self._storage(postgres=postgres) as (config, database):
            filled = self._fill(config, history)
            profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
            command = [*self._command(config, profiler), "serve"]
            log = self._folder / "xmppd.log"
            with started(command, log, self._cores, stdout=subprocess.PIPE) as process:
                ready = _ready_line(process, log)
                yield Running(
                    _address(ready, "c2s"),
                    _address(ready, "c2s_tls"),
                    meter(process.pid),
                    None if database is None else meter(database.pid),
                    filled,
                )

    def close(self) -> None:
        if self._database is not None:
            self._database.stop()

    @contextlib.contextmanager
    def _storage(self, *, postgres: bool) -> Iterator[tuple[Path, Postgres | None]]:
        """A configuration with a storage of its own, in which there are only the accounts."""
        self._runs += 1
        name = f"run{self._runs}"
        if not postgres:
            shutil.copytree(self._folder / _TEMPLATE, self._folder / name)
            yield self._configure(name), None
            return
        database = self._database or self._start_database()
        database.run(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
        try:
            yield self._configure(name, database.url(name)), database
        finally:
            # Else its autovacuum would run while others are measured.
            database.run(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _fill(self, config: Path, history: History | None) -> float:
        if history is None:
            return 0.0
        began = time.perf_counter()
        with self._cores.for_preparation():
            asyncio.run(_write(history, config))
        return time.perf_counter() - began

    def _start_database(self) -> Postgres:
        self._database = Postgres(self._folder / "postgres", durable=True, settings=_POSTGRES)
        with self._cores.for_database():
            self._database.start()
        self._import(self._configure("first", self._database.create(_TEMPLATE)))
        return self._database

    def _configure(self, name: str, url: str = "") -> Path:
        config = self._folder / f"{name}.toml"
        config.write_text(_XMPPD_TOML.format(name=name) + (f'[storage]\nurl = "{url}"\n' if url else ""))
        return config

    def _import(self, config: Path) -> None:
        command = [*self._command(config), "user", "import", str(self._folder / "accounts.csv")]
        with self._cores.for_preparation():
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")

    def _command(self, config: Path, profiler: Sequence[str] = ()) -> list[str]:
        # -P: not what happens to be in the working directory
        return [self._python, "-P", *profiler, "-m", "xmppd", "-c", str(config)]


async def _write(history: History, config: Path) -> None:
    """Fill the storage of `config`, and leave nothing to be tidied up while others measure."""
    settings = load(config, {})
    stores = await open_configured(settings)
    try:
        await history.write(stores)
    finally:
        await stores.close()
    url = settings.storage.url or ""
    if is_postgres(url):
        connection = await asyncpg.connect(url)
        await connection.execute("VACUUM (ANALYZE) archive")
        await connection.execute("CHECKPOINT")
        await connection.close()


_TEMPLATE = "accounts"
_POSTGRES = {"shared_buffers": "256MB", "max_wal_size": "4GB", "autovacuum": "on"}

# Everything a deployment has on stays on. What would throttle the generator is raised, not switched off, so that
# its cost is in the figures.
_XMPPD_TOML = f"""\
domains = ["{DOMAIN}"]
data_dir = "{{name}}"

[listen]
c2s = ["{HOST}:0"]
c2s_tls = ["{HOST}:0"]

[tls]
certificate = "cert.pem"
key = "key.pem"
required = false

[limits]
stanzas_per_second = 1_000_000
burst_stanzas = 10_000_000
bytes_per_second = 1_073_741_824
burst_bytes = 1_073_741_824
connections_per_address = 1_000_000
unauthenticated_per_address = 1_000_000
subscription_requests_per_hour = 1_000_000
"""


@contextlib.contextmanager
def started(
    command: Sequence[str],
    log: Path,
    cores: Cores,
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run `command` on the server's core with its output in `log`; ends it with SIGTERM, after 10 s with SIGKILL."""
    with log.open("a") as output:
        with cores.for_server():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=output,
                env=env,
                text=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(
                    f"  {command[0]} ignored SIGTERM for {_STOP_SECONDS:.0f} s and was killed",
                    file=sys.stderr,
                )
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def free_port() -> int:
    """A port that nobody listens on now, for servers that cannot take port 0."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(address: Address, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until `address` accepts connections; BenchmarkError with the end of the log where it never does."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((address.host, address.port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchmarkError(f"no listener on {address.host}:{address.port}; the log ends with:\n{_tail(log)}")


def _ready_line(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    """The fields of the `ready name=address ...` line that `xmppd serve` prints when all listeners accept."""
    assert process.stdout is not None
    watchdog = threading.Timer(_START_SECONDS, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            word, *fields = line.split()
            if word == "ready":
                return dict(field.split("=", 1) for field in fields)
    finally:
        watchdog.cancel()
    raise BenchmarkError(f"xmppd serve printed no `ready` line; its log ends with:\n{_tail(log)}")


def _address(ready: Mapping[str, str], listener: str) -> Address:
    try:
        host, _, port = ready[listener].split(",")[0].rpartition(":")
    except KeyError as error:
        raise BenchmarkError(
            f"the `ready` line names no {listener} listener, only {', '.join(ready)}"
        ) from error
    return Address(host.strip("[]"), int(port))


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
