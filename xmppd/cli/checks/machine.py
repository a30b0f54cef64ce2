"""The machine: folders that can be written, ports that are free, a storage that opens."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from typing import Final

from xmppd.cli.checks.finding import Finding, error, ok, warn
from xmppd.config import Address, Config
from xmppd.control import Status
from xmppd.errors import UserError
from xmppd.storage.open import schema_versions, storage_name

_OTHER_USER: Final = "run xmppd check as the user who runs the server"


def check_data_dir(config: Config) -> Finding:
    folder = config.data_dir
    try:
        there = folder.exists()
    except OSError as err:  # a folder on the way that this user may not enter
        return error("data_dir", f"{folder} cannot be looked at: {err.strerror}", _OTHER_USER)
    if not there:
        parent = next(parent for parent in folder.parents if parent.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            return error(
                "data_dir",
                f"{folder} cannot be made: {parent} is not writable",
                f"make it: mkdir -m 700 {folder}",
            )
        return ok("data_dir", f"{folder} is made when it is needed")
    if not folder.is_dir():
        return error("data_dir", f"{folder} is no folder", "name another one in data_dir")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return error("data_dir", f"{folder} is not writable", "make it belong to the user who runs xmppd")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o007:
        return warn(
            "data_dir", f"{folder} has mode {mode:o}: every user may look into it", f"chmod 700 {folder}"
        )
    return ok("data_dir", f"{folder} is writable")


def check_ports(config: Config, running: Status | None) -> Iterator[Finding]:
    """Whether each port is free, or in use by the server itself."""
    listen = config.listen
    if not (listen.c2s or listen.c2s_tls or listen.http):
        yield error("ports", "there is nothing to listen on", 'set listen.c2s = ["127.0.0.1:5222"]')
    for kind, addresses in (("c2s", listen.c2s), ("c2s_tls", listen.c2s_tls), ("http", listen.http)):
        ours = running.listening.get(kind, ()) if running else ()
        for address in addresses:
            yield _check_port(f"port {address} ({kind})", address, frozenset(ours))


def _check_port(subject: str, address: Address, ours: frozenset[str]) -> Finding:
    if address.port == 0:
        return ok(subject, "the system chooses one")
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        if str(Address(str(where[0]), address.port)) in ours:
            return ok(subject, "this server listens on it")
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(where)
            sock.listen()
    except OSError as err:
        remedy = "end what uses it, or name another one in listen"
        return error(subject, f"it cannot be used: {err.strerror or err}", remedy)
    return ok(subject, "it is free")


async def check_storage(config: Config) -> Finding:
    """Whether it opens and has a schema that this program knows; nothing is changed."""
    url = config.storage.url or ""
    name = storage_name(url)
    try:
        version, newest = await schema_versions(url, config.data_dir)
    except UserError as err:
        return error("storage", str(err), "")
    except OSError as err:
        return error("storage", f"{name} cannot be looked at: {err.strerror}", _OTHER_USER)
    if version == 0:
        return ok("storage", f"{name} is made when it is needed")
    if version < newest:
        return ok("storage", f"{name} has schema version {version}; the next start brings it to {newest}")
    return ok("storage", f"{name} has schema version {version}")
