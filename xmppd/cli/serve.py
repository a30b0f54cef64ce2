"""`xmppd serve`: one node, from taking the data folder's lock to giving it back."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import secrets
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from xmppd import __version__, certificates
from xmppd.auth.scram import make_credentials
from xmppd.cli import extensions, logs
from xmppd.cli.notify import addresses, print_ready, reloading, tell_systemd
from xmppd.cli.run import ConfigFile, Json, Run, alone
from xmppd.clock import SystemClock
from xmppd.config import Config
from xmppd.config.changes import changed
from xmppd.config.fallback import ADMIN
from xmppd.config.problems import BadConfig, Problem
from xmppd.control import ControlServer, Status
from xmppd.errors import ConfigError, UserError
from xmppd.lock import DataLock
from xmppd.logs import fields
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_configured

if TYPE_CHECKING:
    from xmppd.server import Server

log = logging.getLogger("xmppd.serve")

_FILES: Final = 1_048_576  # open files to ask for: one per connection
_MAC_FILES: Final = 10_240  # what macOS grants at most, whatever it says


def build() -> typer.Typer:
    return alone("serve", serve)


def serve(
    context: typer.Context,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="How many processes share the ports.")
    ] = 1,
    log_json: Annotated[bool, typer.Option("--log-json", help="Write the log as JSON.")] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C; SIGHUP reloads certificates and configuration."""
    run = Run.of(context, config, json).located()

    def load() -> Config:
        settings = run.config()
        if log_json:
            return msgspec.structs.replace(settings, log=msgspec.structs.replace(settings.log, format="json"))
        return settings

    settings = load()
    check_workers(settings, workers)
    logs.configure(settings.log)
    raise_file_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run_node(run, settings, load))


def check_workers(config: Config, workers: int) -> None:
    """``ConfigError`` where so many workers cannot run."""
    if workers == 1:
        return
    if config.cluster.redis is None:
        raise ConfigError(
            f"--workers {workers} needs Redis, over which the workers meet: set cluster.redis to its address, such as "
            '"redis://127.0.0.1:6379/0", or leave --workers out'
        )
    raise ConfigError(f"--workers {workers}: this version runs one process; leave --workers out")


def check_servable(config: Config, name: str) -> None:
    """``ConfigError`` where ``config`` is right but no server can run with it. ``name`` is the file's."""
    listen = config.listen
    if not (listen.c2s or listen.c2s_tls or listen.http):
        what = "there is nothing to listen on"
        raise BadConfig(name, [Problem("listen", what, remedy='set listen.c2s = ["127.0.0.1:5222"]')])
    if config.tls.certificate is not None and config.tls.key is not None:
        certificates.read(config.tls.certificate, config.tls.key)


async def run_node(run: Run, config: Config, load: Callable[[], Config]) -> None:
    """Run one node until a signal ends it. ``load`` reads the configuration again."""
    from xmppd.server import Server  # here, because importing it takes longer than most commands

    signals = _Signals(asyncio.get_running_loop())
    async with AsyncExitStack() as stack:
        stack.callback(signals.close)
        stack.enter_context(DataLock.acquire(config.data_dir, "serve"))
        if run.file is None:
            _embedded_certificate(config)
        check_servable(config, str(run.file or "the embedded configuration"))
        stores = await open_configured(config)
        stack.push_async_callback(stores.close)
        if run.file is None:
            await _embedded_admin(run, config, stores)
        server = Server(config, stores, extensions.known())
        listening = await server.start()
        stack.push_async_callback(_stop, server, config)
        status = Status(pid=os.getpid(), version=__version__, listening=addresses(listening))
        control = ControlServer(config.data_dir, server.accounts, server.rooms, lambda: status)
        stack.push_async_callback(control.close)
        await control.start()
        tune_collector()
        print_ready(listening, json=run.json)
        tell_systemd("READY=1", f"MAINPID={os.getpid()}")
        log.info("ready", extra=fields(version=__version__, pid=os.getpid()))
        while (received := await signals.next()) is signal.SIGHUP:
            tell_systemd(*reloading())
            await _reload(server, load)
            tell_systemd("READY=1")
        tell_systemd("STOPPING=1")
        log.info("stopping", extra=fields(signal=received.name))
        signals.let_go(signal.SIGINT)  # a second Ctrl-C ends it at once; a second SIGTERM changes nothing
    log.info("stopped")


class _Signals:
    """SIGTERM, SIGINT and SIGHUP, one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._handled = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
        for each in self._handled:
            loop.add_signal_handler(each, self._queue.put_nowait, each)

    async def next(self) -> signal.Signals:
        return await self._queue.get()

    def let_go(self, handled: signal.Signals) -> None:
        """From now on ``handled`` does what it does to any program."""
        self._handled.remove(handled)
        self._loop.remove_signal_handler(handled)

    def close(self) -> None:
        for handled in tuple(self._handled):
            self.let_go(handled)


async def _reload(server: Server, load: Callable[[], Config]) -> None:
    """Take over what can change while running, and say what cannot."""
    try:
        config = load()
        in_force = await server.reload(config)
    except UserError as err:
        log.error("not reloaded, everything stays as it was", extra=fields(reason=err))
        return
    logs.configure(config.log)
    in_force = msgspec.structs.replace(in_force, log=config.log)
    # What waits is told again at the next reload, until the start that it waits for.
    if waiting := changed(in_force, config):
        log.warning("some settings take effect with the next start", extra=fields(keys=",".join(waiting)))
    log.info("reloaded")


async def _stop(server: Server, config: Config) -> None:
    try:
        async with asyncio.timeout(config.limits.shutdown_seconds or None):
            await server.stop()
    except TimeoutError:
        log.error(
            "stopping took too long and was cut off", extra=fields(seconds=config.limits.shutdown_seconds)
        )


def _embedded_certificate(config: Config) -> None:
    """The certificate of a server without configuration: made once, and again when it has run out."""
    certificate, key = config.tls.certificate, config.tls.key
    if certificate is None or key is None:
        return
    there = certificate.exists() and key.exists()
    if there and certificates.read(certificate, key).not_after > SystemClock().now():
        return
    try:
        certificates.write(certificate, key, [domain.domain for domain in config.domains])
    except OSError as err:
        raise UserError(f"{certificate.parent}: no certificate can be written there: {err.strerror}") from err


async def _embedded_admin(run: Run, config: Config, stores: Stores) -> None:
    """The account of a server without configuration; its password is printed this once."""
    if await stores.accounts.get(ADMIN) is not None:
        return
    password = secrets.token_urlsafe(12)
    keys = make_credentials(password, config.auth.scram_iterations)
    await stores.accounts.create([(ADMIN, keys)], now=SystemClock().now())
    # Not on standard output, whose first line is the one that says ready.
    run.note(
        f"created {ADMIN} with the password {password} (not shown again; `xmppd user passwd {ADMIN}` changes it)"
    )


def tune_collector() -> None:
    """Spare the garbage collector what was made at the start, which stays: one stanza of many elements made it walk
    through all of that, in pauses of 30 ms; now they are below 1 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def raise_file_limit() -> None:
    """Allow as many connections as the system does; shells start programs with 256 or 1,024 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard if hard != resource.RLIM_INFINITY else _FILES, _MAC_FILES):
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return
        except (ValueError, OSError):
            continue  # macOS says "unlimited" and refuses it


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; None: asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
