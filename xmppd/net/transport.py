"""One connection's bytes: plain TCP or TLS over a non-blocking socket on the event loop's ``add_reader``.

Why not asyncio's (or uvloop's) own transports: their TLS layer moves every byte through two memory BIOs and a
protocol object, which costs twice the CPU per message and, in asyncio, 300 KB per idle connection. A
non-blocking ``SSLSocket`` lets OpenSSL read and write the socket itself.

Three rules make that right:

- Reading takes at most ``READ_SIZE`` bytes per wake-up, which is the largest TLS record. OpenSSL reads no
  further than the record it returns (read-ahead is off), and one ``recv`` of that size empties a record, so
  it never holds bytes that the kernel would not report again: no loop until ``SSLWantRead``, and a fast
  sender gets no more than its turn.
- ``recv`` may want to write and ``send`` to read (TLS key updates); either waits for the event it names and
  is then repeated.
- A ``send`` that would block must be repeated with the same bytes.

Writes are joined per loop tick: ``write`` only notes the bytes and marks the connection dirty, and the node's
``Flusher`` sends them when the tick's other callbacks have run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

log = logging.getLogger("xmppd.net")

READ_SIZE: Final = 16_384


class Receiver(Protocol):
    """Who owns a transport; all calls come from the event loop."""

    def data_received(self, data: bytes) -> None:
        """Some bytes, at least one."""

    def overflowed(self) -> None:
        """The peer does not read: more than the limit waits to be sent. The transport is about to be useless."""

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; called once, last. None: the peer closed it, or we did."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """``send_buffer``: bytes that may wait for a peer that does not read. ``linger``: seconds for it to say
    goodbye.
    """

    send_buffer: int
    linger: float


class Flusher:
    """Sends what the connections of one node have to send, once per loop tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.dirty: list[Transport] = []  # transports put themselves here, the first of a tick by ``begin``

    def begin(self, transport: Transport) -> None:
        """``transport`` is the first of this tick that has something to send."""
        self.dirty.append(transport)
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        dirty, self.dirty = self.dirty, []
        for transport in dirty:
            transport.flush()


class Transport:
    """A connected, non-blocking socket. It begins paused: nothing is read before ``resume_reading``.

    ``address`` is the peer's IP address as text.
    """

    __slots__ = (
        "_backlog", "_closed", "_closing", "_dirty", "_drain", "_fd", "_flusher", "_handshaking", "_limits",
        "_linger", "_loop", "_out", "_paused", "_queued", "_read_wants_write", "_receiver", "_recv", "_secure",
        "_sock", "_write", "address",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        flusher: Flusher,
        sock: socket.socket,
        address: str,
        limits: TransportLimits,
    ) -> None:
        self._loop = loop
        self._flusher = flusher
        self._sock: socket.socket | ssl.SSLSocket = sock
        self._fd = sock.fileno()
        # Bound once: these two calls are most of what a message costs here.
        self._recv: Callable[[int], bytes] = sock.recv
        self._write: Callable[[bytes | memoryview], int] = sock.send
        self._limits = limits
        self._receiver: Receiver | None = None
        self._out: list[bytes] = []
        self._backlog: bytes | memoryview = b""  # what the socket did not take; sent before ``_out``
        self._queued = 0  # bytes in ``_out`` while there is a backlog
        self._dirty = False
        self._paused = True
        self._closing = False
        self._secure = False
        self._handshaking: asyncio.Future[None] | None = None
        self._read_wants_write = False
        self._drain: asyncio.Future[bool] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.address = address
        self._closed = False

    @property
    def secure(self) -> bool:
        """Whether TLS is established."""
        return self._secure

    def is_closed(self) -> bool:
        """Whether the socket is gone."""
        return self._closed

    def _stuck(self) -> bool:
        return self._closed or bool(self._backlog)

    def attach(self, receiver: Receiver) -> None:
        """Tell ``receiver`` what happens from now on; nothing is read before ``resume_reading``."""
        self._receiver = receiver

    # Reading

    def pause_reading(self) -> None:
        """Read nothing more until ``resume_reading``: the kernel's buffer fills and the peer has to wait."""
        if not self._paused:
            self._paused = True
            if not self._closed:
                self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if self._paused and not self._closed and not self._closing:
            self._paused = False
            self._loop.add_reader(self._fd, self._on_readable)

    def _on_readable(self) -> None:
        try:
            data = self._recv(READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            self._read_wants_write = True
            self._loop.add_writer(self._fd, self._on_writable)
            return
        except OSError as err:
            self._lost(err)
            return
        receiver = self._receiver
        if not data or receiver is None:
            self._lost(None)
            return
        try:
            receiver.data_received(data)
        except Exception:
            log.exception("a connection is dropped because of an error in the server")
            self._lost(None)

    # Writing

    def write(self, data: bytes) -> None:
        """Send ``data`` after what was written before, in this loop tick. Ignored once the connection is
        closing.
        """
        if self._closing or self._closed:
            return
        self._out.append(data)
        if not self._dirty:
            if not self._backlog:
                self._dirty = True
                flusher = self._flusher
                if flusher.dirty:
                    flusher.dirty.append(self)
                else:
                    flusher.begin(self)
                return
            self._queued += len(data)
            if len(self._backlog) + self._queued > self._limits.send_buffer:
                self._overflow()

    def flush(self) -> None:
        """Send what is waiting as far as the socket takes it."""
        self._dirty = False
        out = self._out
        if self._closed or self._backlog or not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._send(data)

    def _send(self, data: bytes | memoryview) -> None:
        try:
            sent = self._write(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            # Wanting to read happens in a TLS key update only, and the reader sees to it; trying again when
            # the socket is writable is right for all three.
            sent = 0
        except OSError as err:
            self._lost(err)
            return
        if sent == len(data):
            self._backlog = b""
            if self._drain is not None and not self._out:
                self._drained(True)
            return
        if not self._backlog:
            self._loop.add_writer(self._fd, self._on_writable)
        self._backlog = memoryview(data)[sent:]
        if len(self._backlog) > self._limits.send_buffer:
            self._overflow()

    def _on_writable(self) -> None:
        if self._handshaking is not None:
            self._handshake_step()
            return
        if self._read_wants_write:
            self._read_wants_write = False
            self._on_readable()
            if self.is_closed():
                return
        if self._backlog:
            self._send(self._backlog)
            if self._stuck():
                return
            if self._out:
                self._queued = 0
                self.flush()
                if self._stuck():
                    return
            if self._closing:
                self._half_close()
                return
        if not self._read_wants_write:
            self._loop.remove_writer(self._fd)

    @property
    def pending(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._backlog) + sum(map(len, self._out))

    async def drained(self) -> bool:
        """Wait until the socket has taken everything; False if the connection is lost before."""
        if self._closed:
            return False
        if not self._backlog and not self._out:
            return True
        if self._drain is None:
            self._drain = self._loop.create_future()
        return await asyncio.shield(self._drain)

    def _drained(self, whole: bool) -> None:
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(whole)

    def _overflow(self) -> None:
        receiver = self._receiver
        if receiver is not None and not self._closing:
            receiver.overflowed()

    # TLS

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Become the server side of a TLS connection; raises ``OSError`` (``ssl.SSLError``) when the
        handshake fails.

        Reading must be paused, and what was written before is sent first, in the clear. Whoever calls this
        bounds its time.
        """
        if not self._paused or self._secure:
            raise RuntimeError("start_tls needs a plain transport that is paused")
        self.flush()
        if self._backlog:
            raise OSError("the peer does not read")
        sock = self._sock
        secure = context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        # ``recv`` and ``send`` would only check their flags and call these
        self._sock, self._recv, self._write = secure, secure.read, secure.write
        self._handshaking = self._loop.create_future()
        try:
            self._loop.add_reader(self._fd, self._handshake_step)
            self._handshake_step()
            await self._handshaking
        finally:
            self._handshaking = None
            if not self._closed:
                self._loop.remove_reader(self._fd)
                self._loop.remove_writer(self._fd)
        self._secure = True

    def _handshake_step(self) -> None:
        waiter = self._handshaking
        if waiter is None or waiter.done():
            return
        assert isinstance(self._sock, ssl.SSLSocket)
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.remove_writer(self._fd)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._fd, self._on_writable)
        except OSError as err:
            waiter.set_exception(err)
        except ValueError as err:  # pragma: no cover - OpenSSL reports some malformed hellos this way
            waiter.set_exception(OSError(str(err)))
        else:
            waiter.set_result(None)

    @property
    def tls_version(self) -> str | None:
        """``TLSv1.3`` and the like; None in the clear."""
        return self._sock.version() if isinstance(self._sock, ssl.SSLSocket) else None

    # Ending

    def close(self) -> None:
        """Send what was written, then close, within ``limits.linger`` seconds.

        The peer gets the time to read our last words and to close its side: a socket that is closed while it
        holds unread input resets the connection, and the peer would never see the stream error that we just
        sent.
        """
        if self._closed or self._closing:
            return
        if self._handshaking is not None:
            self.abort()  # there is no channel yet on which to say anything
            return
        self.flush()
        if self.is_closed():
            return
        self._closing = True
        self._linger = self._loop.call_later(self._limits.linger, self.abort)
        self.pause_reading()
        if not self._backlog:
            self._half_close()

    def _half_close(self) -> None:
        """Say that nothing more will come, and wait until the peer says so too."""
        self._loop.remove_writer(self._fd)
        try:
            self._close_notify()
            self._sock.shutdown(socket.SHUT_WR)
            self._loop.add_reader(self._fd, self._discard)
        except OSError as err:
            self._lost(err)

    def _close_notify(self) -> None:
        sock = self._sock
        if isinstance(sock, ssl.SSLSocket) and self._secure:
            self._secure = False
            try:
                sock.unwrap()  # sends ours; the peer's is not waited for
            except (OSError, ValueError):
                pass

    def _discard(self) -> None:
        try:
            if not socket.socket.recv(self._sock, READ_SIZE):
                self._lost(None)
        except BlockingIOError:
            pass
        except OSError as err:
            self._lost(err)

    def check(self) -> None:
        """Notice a connection that was reset behind bytes that had not been read then.

        uvloop calls the reader once more for such a socket, which gets the bytes, and then forgets it. To ask after
        each read would cost 0.5 µs; this is called now and then for connections that are silent.
        """
        if not self._closed and (error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            self._lost(OSError(error, os.strerror(error)))

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        if not self._closed:
            self._lost(None)

    def _lost(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        waiter = self._handshaking
        if waiter is not None and not waiter.done():
            waiter.set_exception(
                error or ConnectionResetError("the connection was closed during the TLS handshake")
            )
        self._out.clear()
        self._backlog = b""
        self._drained(False)
        if self._linger is not None:
            self._linger.cancel()
        if error is None:
            self._close_notify()
        self._sock.close()
        self._recv = self._write = _gone  # or these would keep the socket
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)


def _gone(*_: object) -> NoReturn:
    raise OSError("the connection is closed")
