"""A running server: a node with its listeners, from configuration to the last closed stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from xmppd.accounts import Accounts
from xmppd.config import Address, Config
from xmppd.errors import ConfigError, StreamError
from xmppd.extension import Extension
from xmppd.http.app import application
from xmppd.http.listener import HttpListener
from xmppd.net.listener import Listener
from xmppd.net.tls import Certificates
from xmppd.net.transport import Flusher, Transport, TransportLimits
from xmppd.node import Node, build
from xmppd.sessions.c2s import accept
from xmppd.storage.interfaces import Stores

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
        limits = self._config.limits
        transport_limits = TransportLimits(
            send_buffer=limits.send_buffer_bytes or _UNBOUNDED, linger=limits.close_seconds or _UNBOUNDED
        )

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
                    limits=transport_limits,
                    per_address=limits.connections_per_address,
                    counter=node.clients.counter,
                    trusted=self._config.listen.proxy_protocol,
                )
                self._listeners.append(listener)
                bound.append(Address(listener.host, listener.port))
            return tuple(bound)

        settings = self._config.listen
        return Listening(
            c2s=listen(settings.c2s, partial(accept, node.clients, direct_tls=False)),
            c2s_tls=listen(settings.c2s_tls, partial(accept, node.clients, direct_tls=True)),
            http=await self._listen_http(settings.http),
        )

    async def _listen_http(self, addresses: Iterable[Address]) -> tuple[Address, ...]:
        http = self._http = HttpListener(application(lambda: self._accepting))
        return tuple([Address(*await http.listen(address.host, address.port)) for address in addresses])

    async def reload(self, config: Config) -> None:
        """Take over what may change while running: certificates. Nobody is disconnected; ``ConfigError``
        changes nothing.
        """
        if self._certificates is not None:
            self._certificates.reload()
            log.info("certificates reloaded")

    @property
    def accounts(self) -> Accounts:
        """Administers the accounts while the server runs."""
        if self.node is None:
            raise RuntimeError("the server has not been started")
        return self.node.administration

    async def stop(self) -> None:
        """Accept nothing more, end every stream with ``system-shutdown``, finish what was begun."""
        self._accepting = False
        for listener in self._listeners:
            listener.close()
        node = self.node
        if node is not None:
            error = StreamError("system-shutdown", "the server is stopping")
            seconds = self._config.limits.shutdown_seconds
            await node.clients.shut_down(error, seconds / 3)
            await node.core.tasks.finish(seconds / 3)
            await node.aclose()
        if self._http is not None:
            await self._http.close()


_UNBOUNDED = 2**30


def _certificates(config: Config) -> Certificates | None:
    if config.tls.certificate is not None:
        return Certificates(config.tls.certificate, config.tls.key)
    if config.listen.c2s_tls or (config.listen.c2s and config.tls.required):
        raise ConfigError(
            "[tls] certificate: it is missing, and clients need TLS; `xmppd init` makes one, "
            "or set [tls] certificate and key"
        )
    return None
