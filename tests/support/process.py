"""A real server process: `python -m xmppd -c FILE serve` in a folder of its own, on ports that the system chooses.

    server = ServerProcess(tmp_path, accounts=["juliet", "romeo"], limits={"handshake_seconds": 1})
    with server.running():
        ...                     # server.c2s and server.c2s_tls are addresses
                                # leaving it stops the server and fails the test for what its log should not say

Everything here may be called from a test's event loop; what takes long has a coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

from benchmarks.meter import meter
from xmppd import certificates
from xmppd.auth.scram import make_credentials
from xmppd.jid import Jid
from xmppd.storage.interfaces import Credentials
from xmppd.storage.open import open_stores

ROOT: Final = Path(__file__).parents[2]
DOMAIN: Final = "capulet.example"
PASSWORD: Final = "Wherefore art thou?"
ITERATIONS: Final = 4096

Address = tuple[str, int]

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_BAD: Final = re.compile(r"^\S+ (error|critical) |Traceback|traceback=|Exception ignored|never awaited")


class ServerProcess:
    """One data folder and the servers that run on it, one after the other."""

    def __init__(
        self,
        folder: Path,
        *,
        accounts: Iterable[str] = (),
        limits: Mapping[str, object] | None = None,
        listen: str = "",
        toml: str = "",
        uvloop: bool = True,
    ) -> None:
        """``accounts``: localparts, all with ``PASSWORD``. ``listen`` is added to that table, ``toml`` to the end.

        ``uvloop``: whether that may be imported; it is not installed everywhere.
        """
        self.folder = folder
        self.config = folder / "xmppd.toml"
        self.certificate = folder / "cert.pem"
        self.key = folder / "key.pem"
        self.database = folder / "data" / "xmppd.db"
        self.expected: list[str] = []  # patterns of bad lines in the log that are none in this test
        self.lines: list[str] = []  # what the servers wrote to standard error
        self.c2s: Address = ("", 0)
        self.c2s_tls: Address = ("", 0)
        self.process: subprocess.Popen[str] | None = None
        self._environment = dict(os.environ)
        self._checked = 0
        self._said = threading.Condition()
        self._readers: list[threading.Thread] = []
        folder.mkdir(parents=True, exist_ok=True)
        if not uvloop:
            (folder / "without" / "uvloop").mkdir(parents=True)
            (folder / "without" / "uvloop" / "__init__.py").write_text("raise ImportError\n")
            self._environment["PYTHONPATH"] = str(folder / "without")
        self.new_certificate()
        options = "\n".join(f"{name} = {_toml(value)}" for name, value in (limits or {}).items())
        self.config.write_text(_CONFIG.format(listen=listen, limits=options, toml=toml))
        if names := list(accounts):
            self._create(names)

    def _create(self, names: Sequence[str]) -> None:
        async def create() -> None:
            stores = await open_stores(f"sqlite:///{self.database}", self.folder / "data")
            try:
                keys = _credentials()
                await stores.accounts.create([(Jid.parse(f"{name}@{DOMAIN}"), keys) for name in names], now=0)
            finally:
                await stores.close()

        with ThreadPoolExecutor(1) as elsewhere:  # this may be called where a loop runs already
            elsewhere.submit(asyncio.run, create()).result()

    def new_certificate(self) -> None:
        """Put a certificate with another key where the server reads it."""
        certificates.write(self.certificate, self.key, [DOMAIN])

    def client_tls(self) -> ssl.SSLContext:
        """What a careful client uses: the certificate that lies there now is the only one it trusts."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols(["xmpp-client"])  # XEP-0368#alpn
        return context

    # Starting and ending

    def start(self, *, before: Callable[[], object] | None = None) -> Self:
        """Start it and wait until it is ready. ``before`` runs in the new process just before the server does."""
        process = self.process = subprocess.Popen(
            self.command("serve"),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            env=self._environment,
            preexec_fn=before,
        )
        reader = threading.Thread(target=self._read_log, args=(process,), daemon=True)
        reader.start()
        self._readers.append(reader)
        watchdog = threading.Timer(_START_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
        finally:
            watchdog.cancel()
            watchdog.join()
        if not line.startswith("ready "):
            status = self._ended(process)
            raise AssertionError(f"the server did not start (exit status {status}):\n{self.tail()}")
        fields = dict(field.split("=", 1) for field in line.split()[1:])
        self.c2s, self.c2s_tls = _address(fields["c2s"]), _address(fields["c2s_tls"])
        return self

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "xmppd", "-c", str(self.config), *arguments]

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run another command on the same configuration."""
        return subprocess.run(  # type: ignore[call-overload,no-any-return]  # options are those of subprocess.run
            self.command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=30, **options
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Start it; at the end it is stopped in the orderly way, has to do so in time, and its log is checked."""
        self.start()
        try:
            yield self
        except BaseException:
            self.close()
            raise
        if self.process is not None:
            self.signal(signal.SIGTERM)
            status = self.wait()
            assert status == 0, f"SIGTERM ended the server with {status}:\n{self.tail()}"
        self.check_log()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no last words."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """The exit status, once the server has ended; AssertionError if that takes longer than ``seconds``."""
        process = self.process
        assert process is not None
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            self.close()
            raise AssertionError(f"the server did not end within {seconds} s:\n{self.tail()}") from late
        self.process = None
        return self._ended(process)

    async def ended(self, seconds: float = _STOP_SECONDS) -> int:
        """As ``wait``, while the loop runs on."""
        return await asyncio.to_thread(self.wait, seconds)

    def close(self) -> None:
        """End it by any means; for the end of a test."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            self._ended(process)

    def _ended(self, process: subprocess.Popen[str]) -> int:
        status = process.wait(_STOP_SECONDS)
        while self._readers:
            self._readers.pop().join(_STOP_SECONDS)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        return status

    # What it does and says

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def rss(self) -> int:
        """Resident memory in bytes."""
        return meter(self.pid).rss()

    def peak(self) -> int:
        """The most bytes that were resident since ``forget_peak``; where the system does not keep that, as ``rss``."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            return self.rss()
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        file = Path(f"/proc/{self.pid}/clear_refs")
        if file.exists():
            file.write_text("5")  # proc(5): resets the peak resident set size

    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        return meter(self.pid).cpu()

    def limit_files(self, bytes: int) -> None:
        """From now on no file of the server may grow beyond ``bytes``, as on a disk that is full; -1: it may again."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (bytes, hard))

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()

    async def logged(self, pattern: str, *, after: int = 0, seconds: float = 10.0) -> str:
        """The first line of the log from number ``after`` on in which ``pattern`` is found, waiting for it."""
        return await asyncio.to_thread(self._wait_for_line, pattern, after, seconds)

    def _wait_for_line(self, pattern: str, after: int, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        with self._said:
            while True:
                for line in self.lines[after:]:
                    if re.search(pattern, line):
                        return line
                if not self._said.wait(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(f"nothing like {pattern!r} was logged:\n{self.tail()}")

    def tail(self, count: int = 40) -> str:
        return "\n".join(self.lines[-count:])

    def check_log(self) -> None:
        """AssertionError where the log shows a bug, or an error that the test did not expect."""
        lines, self._checked = self.lines[self._checked :], len(self.lines)
        bad = [
            line
            for line in lines
            if _BAD.search(line) and not any(re.search(pattern, line) for pattern in self.expected)
        ]
        assert not bad, "the server's log says:\n" + "\n".join(
            line[:300] + " ... " + line[-300:] for line in bad[:5]
        )


_CONFIG: Final = f"""\
domains = ["{DOMAIN}"]
data_dir = "data"

[listen]
c2s = ["127.0.0.1:0"]
c2s_tls = ["127.0.0.1:0"]
{{listen}}

[tls]
certificate = "cert.pem"
key = "key.pem"

[auth]
scram_iterations = {ITERATIONS}

[limits]
{{limits}}

{{toml}}
"""


@lru_cache(maxsize=1)
def _credentials() -> Credentials:
    return make_credentials(PASSWORD, ITERATIONS)


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)
