"""A running server: a node with its listeners, from configuration to the last closed stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from xmppd.accounts import Accounts
from xmppd.config import Address, Config
from xmppd.errors import ConfigError, StreamError
from xmppd.extension import Extension
from xmppd.net.counter import ConnectionCounter
from xmppd.net.listener import Listener
from xmppd.net.tls import Certificates
from xmppd.net.transport import Flusher, Transport, TransportLimits
from xmppd.node import Node, build, client_limits
from xmppd.rooms import RoomDesk
from xmppd.sessions.c2s import accept
from xmppd.storage.interfaces import Stores
from xmppd.xml.pool import ParserPool

if TYPE_CHECKING:
    from xmppd.http.listener import HttpListener

log = logging.getLogger("xmppd.server")


@dataclass(frozen=True, slots=True)
class Listening:
    """The addresses that accept connections, with the ports that the system chose for 0. What is off is
    empty.
    """

    c2s: tuple[Address, ...] = ()
    c2s_tls: tuple[Address, ...] = ()
    http: tuple[Address, ...] = ()


class Server:
    """``start`` once, ``stop`` once. The storage belongs to whoever opened it."""

    def __init__(self, config: Config, stores: Stores, extensions: Iterable[Extension[Any]]) -> None:
        self._config = config
        self._stores = stores
        self._extensions = tuple(extensions)
        self._listeners: list[Listener] = []
        self._http: HttpListener | None = None
        self._certificates: Certificates | None = None
        self._accepting = False
        self.node: Node | None = None

    async def start(self) -> Listening:
        """Open every listener; ``UserError`` or ``ConfigError`` names what is in the way, and nothing is left
        open.
        """
        config = self._config
        self._certificates = _certificates(config)
        self.node = await build(config, self._stores, self._extensions, certificates=self._certificates)
        try:
            listening = await self._listen(self.node)
        except BaseException:
            await self.stop()
            raise
        self.node.start()
        self._accepting = True
        return listening

    async def _listen(self, node: Node) -> Listening:
        loop = asyncio.get_running_loop()
        flusher = Flusher(loop)
        headers = ConnectionCounter("connections without the header of their proxy", node.core.clock)
        settings = self._config.listen
        everywhere = (*settings.c2s, *settings.c2s_tls, *settings.http)
        ipv4 = {address.port for address in everywhere if ":" not in address.host and address.port}

        def listen(
            addresses: Iterable[Address], accepted: Callable[[Transport], None]
        ) -> tuple[Address, ...]:
            bound = []
            for address in addresses:
                listener = Listener(
                    loop,
                    flusher,
                    address.host,
                    address.port,
                    accepted,
                    limits=_transport_limits(self._config),
                    per_address=self._config.limits.connections_per_address,
                    counter=node.clients.counter,
                    headers=headers,
                    trusted=settings.proxy_protocol,
                    ipv6_only=address.port in ipv4,  # else [::]:5222 would not go beside 0.0.0.0:5222
                )
                self._listeners.append(listener)
                bound.append(Address(listener.host, listener.port))
            return tuple(bound)

        return Listening(
            c2s=listen(settings.c2s, partial(accept, node.clients, direct_tls=False)),
            c2s_tls=listen(settings.c2s_tls, partial(accept, node.clients, direct_tls=True)),
            http=await self._listen_http(settings.http),
        )

    async def _listen_http(self, addresses: Sequence[Address]) -> tuple[Address, ...]:
        if not addresses:
            return ()
        # Here, because aiohttp is a third of the time that a start takes.
        from xmppd.http.app import application
        from xmppd.http.listener import HttpListener

        http = self._http = HttpListener(application(lambda: self._accepting))
        return tuple([Address(*await http.listen(address.host, address.port)) for address in addresses])

    async def reload(self, config: Config) -> Config:
        """Take over of ``config`` what can change while running, for connections to come: certificates, and the bounds
        on a connection. Nobody is disconnected.

        Returns the configuration that is in force now. ``ConfigError``: a certificate is not usable, nothing changed.
        """
        assert self.node is not None
        before, tls = self._config, self._config.tls
        if self._certificates is not None and config.tls.certificate is not None:
            self._certificates.reload(config.tls.certificate, config.tls.key)
            tls = msgspec.structs.replace(tls, certificate=config.tls.certificate, key=config.tls.key)
        taken = {name: getattr(config.limits, name) for name in _RELOADED_LIMITS}
        limits = msgspec.structs.replace(before.limits, **taken)
        self._config = config = msgspec.structs.replace(before, tls=tls, limits=limits)
        clients = self.node.clients
        clients.limits = client_limits(config)
        clients.pool = ParserPool(clients.limits.member)
        for listener in self._listeners:
            listener.limits = _transport_limits(config)
            listener.per_address = limits.connections_per_address
        return config

    @property
    def accounts(self) -> Accounts:
        """Administers the accounts while the server runs."""
        if self.node is None:
            raise RuntimeError("the server has not been started")
        return self.node.administration

    @property
    def rooms(self) -> RoomDesk:
        """Administers the rooms while the server runs."""
        if self.node is None:
            raise RuntimeError("the server has not been started")
        return self.node.core.rooms

    async def stop(self) -> None:
        """Accept nothing more, end every stream with ``system-shutdown``, finish what was begun."""
        self._accepting = False
        for listener in self._listeners:
            listener.close()
        node = self.node
        if node is not None:
            error = StreamError("system-shutdown", "the server is stopping")
            seconds = self._config.limits.shutdown_seconds
            third = seconds / 3 if seconds else None
            await node.clients.shut_down(error, third)
            await node.core.tasks.finish(third)
            await node.aclose()
        if self._http is not None:
            await self._http.close()


_UNBOUNDED = 2**30

# Bounds that each connection takes when it begins; the others are built into services that live as long as the server.
_RELOADED_LIMITS = (
    "stanza_bytes",
    "unauthenticated_bytes",
    "tag_bytes",
    "stanza_depth",
    "stanza_attributes",
    "send_buffer_bytes",
    "bytes_per_second",
    "burst_bytes",
    "stanzas_per_second",
    "burst_stanzas",
    "connections_per_address",
    "unauthenticated_per_address",
    "handshake_seconds",
    "registration_seconds",
    "close_seconds",
    "login_attempts",
)


def _transport_limits(config: Config) -> TransportLimits:
    limits = config.limits
    return TransportLimits(
        send_buffer=limits.send_buffer_bytes or _UNBOUNDED, linger=limits.close_seconds or _UNBOUNDED
    )


def _certificates(config: Config) -> Certificates | None:
    if config.tls.certificate is not None:
        return Certificates(config.tls.certificate, config.tls.key)
    if config.listen.c2s_tls or (config.listen.c2s and config.tls.required):
        raise ConfigError(
            "[tls] certificate: it is missing, and clients need TLS; `xmppd init` makes one, "
            "or set [tls] certificate and key"
        )
    return None
