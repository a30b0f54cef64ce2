"""Other servers, where they are installed: the same load, the same core, the same minute.

Both run with their distribution's modules, in memory or files, without limits on traffic, and without an archive.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.accounts import DOMAIN, Account
from benchmarks.certificate import write_certificate
from benchmarks.client import Address
from benchmarks.cores import Cores
from benchmarks.errors import BenchmarkError
from benchmarks.history import History
from benchmarks.meter import meter
from benchmarks.scram import HASHES, derive
from benchmarks.server import HOST, Running, Server, free_port, started, wait_for_port

_ITERATIONS = 10_000  # as [auth] scram_iterations of xmppd


class Prosody:
    """Prosody 0.12 or newer, as its default configuration has it."""

    name = "prosody"
    ours = False

    def __init__(self, folder: Path, cores: Cores) -> None:
        self._folder = folder
        self._cores = cores
        self._accounts: Sequence[Account] = ()

    def version(self) -> str:
        return _debian_version("prosody")

    def prepare(self, accounts: Sequence[Account]) -> None:
        self._accounts = accounts
        write_certificate(self._folder / "cert.pem", self._folder / "key.pem")

    @contextlib.contextmanager
    def start(
        self, mechanism: str, profile: Path | None, *, postgres: bool = False, history: History | None = None
    ) -> Iterator[Running]:
        plain, tls = Address(HOST, free_port()), Address(HOST, free_port())
        self._write_accounts(mechanism)
        config = self._folder / "prosody.cfg.lua"
        config.write_text(
            _PROSODY.format(
                folder=self._folder,
                domain=DOMAIN,
                plain=plain.port,
                tls=tls.port,
                hash=mechanism.removeprefix("SCRAM-"),
                host=HOST,
            )
        )
        log = self._folder / "prosody.log"
        with started(["prosody", "-F", "--config", str(config)], log, self._cores) as process:
            for address in (plain, tls):
                wait_for_port(address, process, log)
            yield Running(plain, tls, meter(process.pid))

    def close(self) -> None:
        pass

    def _write_accounts(self, mechanism: str) -> None:
        """Write Prosody's account files: `prosodyctl register` takes a process per account.

        One salt for all of them (they share a password), so that the keys are derived once.
        """
        salt = secrets.token_hex(16)
        keys = derive(mechanism, self._accounts[0].password, salt.encode(), _ITERATIONS)
        content = (
            f'return {{ ["salt"] = "{salt}"; ["iteration_count"] = {_ITERATIONS}; '
            f'["stored_key"] = "{keys.stored.hex()}"; ["server_key"] = "{keys.server.hex()}"; }};\n'
        )
        folder = self._folder / "data" / DOMAIN / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        for account in self._accounts:
            (folder / f"{account.name}.dat").write_text(content)


_PROSODY = """\
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "{host}" }}
c2s_ports = {{ {plain} }}
c2s_direct_tls_ports = {{ {tls} }}
ssl = {{ certificate = "{folder}/cert.pem", key = "{folder}/key.pem" }}
c2s_require_encryption = false
authentication = "internal_hashed"
password_hash = "{hash}"
storage = "internal"
log = {{ warn = "*console" }}
modules_enabled = {{
    "disco", "roster", "saslauth", "tls", "blocklist", "carbons", "limits", "pep", "private", "smacks",
    "vcard4", "vcard_legacy", "csi_simple", "ping", "time", "uptime", "version", "posix"
}}
modules_disabled = {{ "s2s", "limits" }}
VirtualHost "{domain}"
Component "muc.{domain}" "muc"
"""


class Ejabberd:
    """ejabberd on Mnesia with its default modules, one scheduler; started without distribution (no epmd)."""

    name = "ejabberd"
    ours = False

    def __init__(self, folder: Path, cores: Cores) -> None:
        self._folder = folder
        self._cores = cores
        self._accounts: Sequence[Account] = ()

    def version(self) -> str:
        return _debian_version("ejabberd")

    def prepare(self, accounts: Sequence[Account]) -> None:
        self._accounts = accounts
        write_certificate(self._folder / "cert.pem", self._folder / "key.pem")
        pem = (self._folder / "cert.pem").read_text() + (self._folder / "key.pem").read_text()
        (self._folder / "both.pem").write_text(pem)

    @contextlib.contextmanager
    def start(
        self, mechanism: str, profile: Path | None, *, postgres: bool = False, history: History | None = None
    ) -> Iterator[Running]:
        plain, tls, api = (Address(HOST, free_port()) for _ in range(3))
        # Mnesia keeps one hash per account, so each mechanism has a database of its own.
        database = self._folder / f"mnesia-{HASHES[mechanism]}"
        fresh = not database.exists()
        config = self._folder / "ejabberd.yml"
        config.write_text(
            _EJABBERD.format(
                folder=self._folder,
                domain=DOMAIN,
                plain=plain.port,
                tls=tls.port,
                api=api.port,
                host=HOST,
                hash=HASHES[mechanism].replace("sha1", "sha"),
            )
        )
        log = self._folder / "ejabberd.log"
        environment = {
            **os.environ,
            "HOME": str(self._folder),  # the Erlang cookie
            "ERL_CRASH_DUMP": str(self._folder / "erl_crash.dump"),
            "EJABBERD_CONFIG_PATH": str(config),
            "EJABBERD_LOG_PATH": str(log),
            **_erlang_libraries(),
        }
        command = [
            "erl", "+S", "1", "+K", "true", "+P", "250000", "-noinput",
            "-mnesia", "dir", f'"{database}"', "-s", "ejabberd",
        ]  # fmt: skip
        output = self._folder / "erl.log"
        with started(command, output, self._cores, env=environment) as process:
            for address in (plain, tls, api):
                wait_for_port(address, process, output)
            if fresh:
                self._register(api)
            yield Running(plain, tls, meter(process.pid))

    def close(self) -> None:
        pass

    def _register(self, api: Address) -> None:
        connection = http.client.HTTPConnection(api.host, api.port, timeout=30)
        for account in self._accounts:
            fields = {"user": account.name, "host": DOMAIN, "password": account.password}
            connection.request("POST", "/api/register", json.dumps(fields))
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise BenchmarkError(f"ejabberd did not register {account.jid}: {answer.status} {body!r}")
        connection.close()


def _erlang_libraries() -> dict[str, str]:
    """Where the distribution put ejabberd's modules: its own start script knows."""
    script = Path(shutil.which("ejabberdctl") or "").read_text()
    found = re.search(r"^ERL_LIBS=['\"]?([^'\"\n]+)", script, re.MULTILINE)
    return {"ERL_LIBS": found[1]} if found else {}


_EJABBERD = """\
hosts: ["{domain}"]
loglevel: warning
certfiles: ["{folder}/both.pem"]
auth_method: mnesia
auth_password_format: scram
auth_scram_hash: {hash}
s2s_access: none
registration_timeout: infinity
listen:
  - {{port: {plain}, ip: "{host}", module: ejabberd_c2s, starttls: true, starttls_required: false, backlog: 1024}}
  - {{port: {tls}, ip: "{host}", module: ejabberd_c2s, tls: true, backlog: 1024}}
  - {{port: {api}, ip: "{host}", module: ejabberd_http, request_handlers: {{"/api": mod_http_api}}}}
api_permissions:
  "registration":
    who: {{ip: 127.0.0.0/8}}
    what: [register]
modules:
  mod_adhoc: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_muc: {{hosts: ["muc.{domain}"], max_user_conferences: 1000}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{}}
  mod_vcard: {{}}
  mod_version: {{}}
"""

_PEERS: dict[str, tuple[Callable[[Path, Cores], Server], str]] = {
    "prosody": (Prosody, "prosody"),
    "ejabberd": (Ejabberd, "ejabberdctl"),
}
PEER_NAMES = tuple(_PEERS)


def make_peer(name: str, folder: Path, cores: Cores) -> Server:
    """The peer called `name`. Raises BenchmarkError where it is not installed."""
    peer, program = _PEERS[name]
    if shutil.which(program) is None:
        raise BenchmarkError(f"{name} is not installed: no {program} on PATH (Debian: apt install {name})")
    return peer(folder, cores)


def _debian_version(package: str) -> str:
    if shutil.which("dpkg-query") is None:
        return "unknown"
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return shown.stdout.strip() or "unknown"
