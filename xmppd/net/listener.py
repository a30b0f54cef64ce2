"""Listening sockets: accept, learn who connects, count connections per address, hand on a transport."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from xmppd.errors import UserError
from xmppd.logs import fields
from xmppd.net import proxy
from xmppd.net.counter import ConnectionCounter
from xmppd.net.transport import Flusher, Transport, TransportLimits

log = logging.getLogger("xmppd.net")

_ACCEPTS_PER_WAKE_UP: Final = 64
_BACKLOG: Final = 1024
_PROXY_SECONDS: Final = 5.0  # a proxy sends its header at once
_PROXY_WAITING: Final = 1_024  # connections of one proxy whose header has not come
_OUT_OF_FILES_SECONDS: Final = 0.5

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Listener:
    """Accepts on one address and gives each connection to ``accepted`` as a transport that is not started
    yet.

    ``trusted`` networks are proxies whose connections start with a PROXY header; until that is there, they are
    counted by ``headers``. ``per_address``: connections at once from one IPv4 address or IPv6 /64 (0: any number),
    counted by ``counter``. ``ipv6_only``: the host ``::`` does not take IPv4 too.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        flusher: Flusher,
        host: str,
        port: int,
        accepted: Callable[[Transport], None],
        *,
        limits: TransportLimits,
        per_address: int,
        counter: ConnectionCounter,
        headers: ConnectionCounter,
        trusted: Sequence[Network] = (),
        reuse_port: bool = False,
        ipv6_only: bool = False,
    ) -> None:
        self._loop = loop
        self._flusher = flusher
        self._accepted = accepted
        self._trusted = tuple(trusted)
        self._counter = counter
        self._headers = headers
        self._waiting: set[_ProxiedConnection] = set()
        self.limits = limits  # for connections to come, as is the next
        self.per_address = per_address
        self._sock = _bind(host, port, reuse_port, ipv6_only)
        self.host, self.port = self._sock.getsockname()[:2]
        self._paused = False
        loop.add_reader(self._sock.fileno(), self._on_acceptable)

    def _on_acceptable(self) -> None:
        for _ in range(_ACCEPTS_PER_WAKE_UP):
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as err:
                if err.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._rest(err)
                    return
                continue  # this connection died before it was accepted
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address = _unmapped(str(peer[0]))
            if self._trusted and any(ipaddress.ip_address(address) in network for network in self._trusted):
                self._wait_for_header(sock, address)
            else:
                self.hand_on(sock, address)

    def _rest(self, err: OSError) -> None:
        """Out of file descriptors: stop accepting for a moment instead of spinning; connections wait in the
        backlog.
        """
        log.error(
            "cannot accept connections: %s; raise the limit of open files (ulimit -n)",
            os.strerror(err.errno or 0),
        )
        self._loop.remove_reader(self._sock.fileno())
        self._loop.call_later(_OUT_OF_FILES_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._on_acceptable)

    def _wait_for_header(self, sock: socket.socket, proxy_address: str) -> None:
        if self._headers.acquire(proxy_address, _PROXY_WAITING):
            self._waiting.add(_ProxiedConnection(self, sock, proxy_address))
        else:
            sock.close()

    def waits_no_more(self, connection: _ProxiedConnection) -> None:
        """The header of ``connection`` is there, or will never be."""
        self._waiting.discard(connection)
        self._headers.release(connection.proxy_address)

    def hand_on(self, sock: socket.socket, address: str) -> None:
        """The peer's address is known: make a transport of ``sock``, unless the address holds too many."""
        if not self._counter.acquire(address, self.per_address):
            sock.close()
            return
        self._accepted(Transport(self._loop, self._flusher, sock, address, self.limits))

    def close(self) -> None:
        """Accept nothing more."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
        for connection in tuple(self._waiting):
            connection.drop()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop


class _ProxiedConnection:
    """Reads the PROXY header, and not a byte more: what follows may be TLS, which OpenSSL reads from the
    socket itself.
    """

    def __init__(self, listener: Listener, sock: socket.socket, proxy_address: str) -> None:
        self._listener = listener
        self._sock = sock
        self.proxy_address = proxy_address
        self._peeked = 0
        loop = listener.loop
        self._timer = loop.call_later(_PROXY_SECONDS, self.drop)
        loop.add_reader(sock.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        try:
            peeked = self._sock.recv(proxy.MOST, socket.MSG_PEEK)
            header = proxy.parse(peeked) if peeked else None
            if header is None:
                if (
                    len(peeked) == self._peeked
                ):  # readable without more to read: the proxy has closed its side
                    self.drop()
                    return
                self._peeked = len(peeked)
                # Incomplete: take what is there off the readiness report by waiting for more than this.
                self._wait_for(len(peeked) + 1)
                return
            self._sock.recv(header.length)
            self._wait_for(1)
        except BlockingIOError:
            return
        except (OSError, proxy.ProxyError) as err:
            log.warning(
                "a connection without the header of its proxy is dropped",
                extra=fields(proxy=self.proxy_address, reason=err),
            )
            self.drop()
            return
        self._forget()
        self._listener.hand_on(self._sock, header.address or self.proxy_address)

    def _wait_for(self, count: int) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _forget(self) -> None:
        self._timer.cancel()
        self._listener.loop.remove_reader(self._sock.fileno())
        self._listener.waits_no_more(self)

    def drop(self) -> None:
        self._forget()
        self._sock.close()


def _unmapped(address: str) -> str:
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address


def _bind(host: str, port: int, reuse_port: bool, ipv6_only: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::" or ipv6_only)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as err:
        sock.close()
        raise UserError(_explain(err, host, port)) from err
    return sock


def _explain(err: OSError, host: str, port: int) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match err.errno:
        case errno.EADDRINUSE:
            return (
                f"cannot listen on {where}: the port is in use; "
                "stop the other program or choose another port in [listen]"
            )
        case errno.EACCES:
            return f"cannot listen on {where}: ports below 1024 need a privilege; choose a higher port in [listen]"
        case errno.EADDRNOTAVAIL:
            return f"cannot listen on {where}: this machine does not have the address; change it in [listen]"
        case _:
            return f"cannot listen on {where}: {err.strerror or err}"
