"""Tells whoever started the server how it is: by a line on standard output, and systemd through NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmppd.cli.run import to_json

if TYPE_CHECKING:  # importing the server takes longer than most commands
    from xmppd.server import Listening


def addresses(listening: Listening) -> dict[str, list[str]]:
    """Where connections are accepted, by kind; a kind that is off is left out."""
    kinds = {"c2s": listening.c2s, "c2s_tls": listening.c2s_tls, "http": listening.http}
    return {kind: [str(address) for address in each] for kind, each in kinds.items() if each}


def ready_line(listening: Listening, *, json: bool) -> str:
    """``ready c2s=127.0.0.1:5222 ...``, or the same as an object. Several addresses of a kind are joined by commas."""
    where = {kind: ",".join(each) for kind, each in addresses(listening).items()}
    if json:
        return to_json({"ready": True, **where})
    return " ".join(["ready", *(f"{kind}={each}" for kind, each in where.items())])


def print_ready(listening: Listening, *, json: bool) -> None:
    try:
        print(ready_line(listening, json=json), flush=True)
    except BrokenPipeError:  # nobody reads it; the server runs all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_systemd(*states: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send ``READY=1`` and the like to NOTIFY_SOCKET (sd_notify(3)); nothing happens where it is not set."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # @: a name outside the file system (Linux)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto("\n".join(states).encode(), address)
        except OSError as err:
            print(f"NOTIFY_SOCKET {path}: {err.strerror}", file=sys.stderr)


def reloading() -> tuple[str, str]:
    """What precedes READY=1 after a reload, for services of type notify-reload."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
