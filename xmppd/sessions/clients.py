"""What all client connections of a node share: services, bounds, and the connections themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from xmppd.auth.sasl import Authenticator
from xmppd.clock import Clock
from xmppd.errors import StreamError
from xmppd.ids import Ids
from xmppd.jid import Jid
from xmppd.net.counter import ConnectionCounter
from xmppd.net.tls import Certificates
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.directory import Directory
from xmppd.sessions.keepalive import Watched
from xmppd.sessions.nonzas import Nonzas
from xmppd.sessions.offers import Offers
from xmppd.sessions.resumption import Resumption
from xmppd.sessions.session import Inbound
from xmppd.tasks import Tasks
from xmppd.xml.parser import ParserLimits
from xmppd.xml.pool import ParserPool


class Connection(Watched, Protocol):
    """A client's connection as seen by the server."""

    def fail(self, error: StreamError) -> None:
        """End its stream with ``error``."""

    def abort(self) -> None:
        """Cut it."""


class HalfWay(Protocol):
    """A client that is logging in."""

    def revoke(self, jid: Jid, error: StreamError) -> None:
        """End it if it logs in, or has logged in, as ``jid``: what it proved counts no more."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds for clients. Rates are per second; 0: no bound.

    An allowance (``*_allowance``) is what a client may send before anybody looks at the time, and what it gets back at
    most when it has used that up. So one that was quiet may send two of them at once, and never more.
    """

    stranger: ParserLimits
    member: ParserLimits
    handshake_seconds: float
    registration_seconds: float
    login_attempts: int
    strangers_per_address: int
    bytes_per_second: int
    bytes_allowance: float
    stanzas_per_second: int
    stanzas_allowance: float


@dataclass(slots=True)
class ClientServer:
    """What all client connections of a node share."""

    domains: Collection[Jid]
    certificates: Certificates | None
    tls_required: bool
    limits: ClientLimits
    authenticator: Authenticator
    accounts: Accounts
    directory: Directory
    resumption: Resumption
    offers: Offers
    nonzas: Nonzas
    inbound: Inbound
    clock: Clock
    ids: Ids
    tasks: Tasks
    counter: ConnectionCounter
    strangers: ConnectionCounter
    pool: ParserPool
    connections: set[Connection] = field(default_factory=set)
    logins: set[HalfWay] = field(default_factory=set)
    empty: asyncio.Event = field(default_factory=asyncio.Event)  # set when the last connection is gone

    def add(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.empty.clear()

    def discard(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    def revoke(self, jid: Jid, error: StreamError) -> None:
        """The account ``jid`` has another password or is gone: nobody gets in with what was right before.

        This is about clients without a resource; sessions are the directory's to end.
        """
        for login in tuple(self.logins):
            login.revoke(jid, error)

    async def shut_down(self, error: StreamError, seconds: float | None) -> None:
        """End every session with ``error``; who has not closed its side within ``seconds`` is cut off (None:
        nobody).
        """
        self.resumption.close(error)
        for connection in tuple(self.connections):
            connection.fail(error)
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.empty.wait(), seconds)
        for connection in tuple(self.connections):
            connection.abort()
