"""A raw client connection: TCP or direct TLS, bytes out, bytes in, and a script for the parts that need answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass

from benchmarks.accounts import DOMAIN
from benchmarks.errors import BenchmarkError
from benchmarks.loop import Loop

Script = Generator[tuple[bytes, ...], bytes, None]
"""A conversation: yields the byte strings of which one must arrive, receives the bytes up to and including it."""

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# One TLS record. OpenSSL reads no further than the record it was asked for, so a single read per readiness event
# leaves nothing behind that epoll would not report again.
_READ_SIZE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


def client_tls() -> ssl.SSLContext:
    """TLS 1.3, no resumption. The self-made certificate is not verified: that would be the generator's time only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["xmpp-client"])  # XEP-0368#alpn
    return context


class Connection:
    """One connection, owned by `loop`. What arrives goes to `on_data`, or to the script while one runs.

    Errors of the socket, and an end of file before `finish`, come out of `Loop.run` as BenchmarkError.
    """

    def __init__(self, loop: Loop, address: Address, tls: ssl.SSLContext | None) -> None:
        self.on_data: Callable[[bytes], None] = _ignore
        self._loop = loop
        self._backlog = b""
        self._finishing = False
        self._handshake: ssl.SSLSocket | None = None
        try:
            self._socket = socket.create_connection((address.host, address.port), timeout=10)
        except OSError as error:
            raise BenchmarkError(f"no connection to {address.host}:{address.port}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        if tls is not None:
            self._handshake = tls.wrap_socket(
                self._socket, server_hostname=DOMAIN, do_handshake_on_connect=False
            )
            self._socket = self._handshake
        self._fd = self._socket.fileno()
        self._recv = self._socket.recv
        self._send = self._socket.send
        loop.add(self._fd, self._on_ready, self.close)

    def write(self, data: bytes) -> None:
        """Send `data` now, or as soon as the handshake is done and the socket takes it."""
        if self._handshake is not None or self._backlog:
            self._backlog += data
            if self._handshake is not None:
                self._shake_hands()
            return
        try:
            sent = self._send(data)
        except _WOULD_BLOCK:
            sent = 0
        if sent < len(data):
            self._backlog = data[sent:]
            self._loop.want_write(self._fd, True)

    def play(self, script: Script, done: Callable[[Connection], None] | None = None) -> None:
        """Run `script` on this connection, then restore `on_data` and call `done`."""
        before = self.on_data
        wanted = next(script)
        buffer = b""

        def feed(chunk: bytes) -> None:
            nonlocal buffer, wanted
            buffer += chunk
            while True:
                ends = [at + len(mark) for mark in wanted if (at := buffer.find(mark)) >= 0]
                if not ends:
                    return
                head, buffer = buffer[: min(ends)], buffer[min(ends) :]
                try:
                    wanted = script.send(head)
                except StopIteration:
                    break
            self.on_data = before
            if buffer:
                before(buffer)
            if done is not None:
                done(self)

        self.on_data = feed

    def finish(self) -> None:
        """Close the stream and, when the server has done so too, the socket."""
        self._finishing = True
        self.on_data = _ignore
        self.write(b"</stream:stream>")

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Close the socket without a word; closing twice is harmless."""
        if not self.closed:
            self._loop.remove(self._fd)
            self._socket.close()

    def _on_ready(self) -> None:
        try:
            if self._handshake is not None and not self._shake_hands():
                return
            if self._backlog:
                self._flush()
            chunk = self._recv(_READ_SIZE)
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self._ended(str(error))
        else:
            if chunk:
                self.on_data(chunk)
            else:
                self._ended("end of file")

    def _ended(self, reason: str) -> None:
        self.close()
        if not self._finishing:
            raise BenchmarkError(f"the server ended a connection: {reason}; see its log (--keep)")

    def _shake_hands(self) -> bool:
        """Go on with the handshake; true when it is done."""
        assert self._handshake is not None
        try:
            self._handshake.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._loop.want_write(self._fd, True)
            return False
        self._handshake = None
        self._flush()
        return True

    def _flush(self) -> None:
        data, self._backlog = self._backlog, b""
        self._loop.want_write(self._fd, False)
        if data:
            self.write(data)


def _ignore(chunk: bytes) -> None:
    """What a connection does with bytes nobody waits for."""
