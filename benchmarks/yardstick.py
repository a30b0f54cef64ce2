"""How fast the machine is at the moment: what bare `send` calls to TLS sockets cost on the server's core.

A virtual machine shares its processor with others. The same work was seen to cost twice as much some seconds later,
with nobody else at work on this side. So this is measured right before and after each workload: a figure is worth as
much as its yardstick is near 1.
"""

from __future__ import annotations

import socket
import ssl
import statistics
import threading
import time
from pathlib import Path

from benchmarks.certificate import write_certificate
from benchmarks.client import client_tls
from benchmarks.cores import Cores

REFERENCE = 6.4
"""µs per send where the budgets were set (docs/architecture.md, 11)."""

_SOCKETS = 100
_ROUNDS = 20
_DATA = bytes(300)


class Yardstick:
    """100 TLS connections inside this process."""

    def __init__(self, folder: Path, cores: Cores) -> None:
        self._cores = cores
        write_certificate(folder / "yardstick.pem", folder / "yardstick.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "yardstick.pem", folder / "yardstick.key")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            pairs = [_connected(listener, context) for _ in range(_SOCKETS)]
        self._senders = [sender for sender, _ in pairs]
        self._receivers = [receiver for _, receiver in pairs]

    def measure(self) -> float:
        """CPU µs per send, as a multiple of `REFERENCE`."""
        with self._cores.on_server():
            rounds = [self._round() for _ in range(_ROUNDS)]
        return statistics.median(rounds) / _SOCKETS * 1e6 / REFERENCE

    def _round(self) -> float:
        began = time.process_time()
        for sender in self._senders:
            sender.send(_DATA)
        took = time.process_time() - began
        for receiver in self._receivers:
            left = len(_DATA)
            while left:
                left -= len(receiver.recv(left))
        return took

    def close(self) -> None:
        for each in (*self._senders, *self._receivers):
            each.close()


def _connected(listener: socket.socket, context: ssl.SSLContext) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Both ends of one connection, the server's first."""
    ends: list[ssl.SSLSocket] = []
    plain = socket.create_connection(listener.getsockname())
    client = threading.Thread(target=lambda: ends.append(client_tls().wrap_socket(plain)))
    client.start()
    accepted, _ = listener.accept()
    server = context.wrap_socket(accepted, server_side=True)
    client.join()
    return server, ends[0]
