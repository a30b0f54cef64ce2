"""The composition root of one node: builds everything that handles stanzas, without opening a port.

``Server`` puts listeners around it; tests build several nodes in one process over an in-memory storage and a
clock of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from xmppd import ns
from xmppd.accounts import AccountService
from xmppd.auth.passwords import Passwords
from xmppd.auth.sasl import Authenticator
from xmppd.auth.throttle import Throttle, ThrottleConfig
from xmppd.clock import Clock, SystemClock
from xmppd.cluster.interfaces import Bus, Registry
from xmppd.cluster.local import LocalBus, LocalRegistry
from xmppd.config import Config
from xmppd.errors import StreamError
from xmppd.extension import Core, Extension, Setup, in_order
from xmppd.ids import Ids, RandomIds
from xmppd.im import session_request
from xmppd.im.administration import LiveAccounts
from xmppd.im.archiver import Archiver
from xmppd.im.arrivals import Arrivals
from xmppd.im.chat_list import ChatLists
from xmppd.im.cursors import Cursors
from xmppd.im.delivery import Delivery
from xmppd.im.inbound import ClientStanzas
from xmppd.im.last_seen import LastActivity, LastSeenKeeper
from xmppd.im.messages import Messages
from xmppd.im.presence import Presences
from xmppd.im.presence_out import Broadcaster
from xmppd.im.probes import Probes
from xmppd.im.requests import Requests
from xmppd.im.reread import Reread
from xmppd.im.resends import Resends
from xmppd.im.retention import Retention
from xmppd.im.roster_requests import RosterRequests
from xmppd.im.rosters import Rosters
from xmppd.im.stanza_ids import StanzaIds
from xmppd.im.subscribing import Subscribing
from xmppd.net.counter import ConnectionCounter
from xmppd.net.tls import Certificates
from xmppd.rooms import RoomDesk
from xmppd.routing.disco import Disco, Entity
from xmppd.routing.iq import IqTable
from xmppd.routing.pipeline import Pipeline
from xmppd.routing.router import Router
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.clients import ClientLimits, ClientServer
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import AccountDeleted, Facts, PasswordChanged
from xmppd.sessions.fairness import Fairness
from xmppd.sessions.keepalive import Keepalive
from xmppd.sessions.nonzas import Nonzas
from xmppd.sessions.offers import Offers
from xmppd.sessions.resumption import Resumption
from xmppd.storage.interfaces import Stores
from xmppd.tasks import Tasks
from xmppd.xml.parser import ParserLimits
from xmppd.xml.pool import ParserPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, ready for connections. ``aclose`` ends its background work; sessions are the server's to end
    before.
    """

    core: Core
    clients: ClientServer
    administration: AccountService
    keepalive: Keepalive
    archiver: Archiver
    cursors: Cursors
    retention: Retention
    last_seen: LastSeenKeeper
    passwords: Passwords
    setups: tuple[Setup, ...]

    def start(self) -> None:
        """Begin what is done from time to time."""
        self.keepalive.start()
        self.retention.start()

    async def aclose(self) -> None:
        self.keepalive.stop()
        self.retention.stop()
        self.core.directory.close()
        await self.core.tasks.aclose()
        await self.last_seen.flush()
        self.cursors.close()
        await self.cursors.flush()
        self.passwords.close()


async def build(
    config: Config,
    stores: Stores,
    extensions: Iterable[Extension[Any]],
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    name: str = "node",
    bus: Bus | None = None,
    registry: Registry | None = None,
    certificates: Certificates | None = None,
) -> Node:
    """A node of the server that ``config`` describes, over ``stores``, with those of ``extensions`` that are
    enabled. ``ConfigError`` where they do not go together.
    """
    clock = clock or SystemClock()
    ids = ids or RandomIds()
    bus = LocalBus() if bus is None else bus
    registry = LocalRegistry(bus) if registry is None else registry
    limits = config.limits
    tasks, facts, pipeline, iqs, offers, disco = Tasks(), Facts(), Pipeline(), IqTable(), Offers(), Disco()
    nonzas = Nonzas()

    accounts = Accounts(stores.accounts, limits.cached_accounts)
    directory = Directory(
        name, accounts, registry, bus, facts, ids, tasks, resources_per_account=limits.resources_per_account
    )
    router = Router(config.domains, accounts, pipeline)

    archiver = Archiver(
        stores.archive, tasks, clock, limit=limits.archive_queue, limit_bytes=limits.archive_queue_bytes
    )
    cursors = Cursors(stores.cursors, clock, tasks, days=limits.offline_days, limit=limits.offline_messages)
    stanza_ids = StanzaIds(await stores.secrets.get("stanza-ids"))
    delivery = Delivery(
        stores.archive, archiver, cursors, accounts, directory, router, stanza_ids, clock, tasks, facts
    )
    disco.feature("msgoffline", Entity.SERVER)  # XEP-0160#disco
    disco.feature(ns.STANZA_ID, Entity.SERVER, Entity.ACCOUNT)  # XEP-0359#disco
    resends = Resends(archiver, clock, seconds=limits.resend_seconds)
    messages = Messages(
        archiver,
        resends,
        delivery,
        cursors,
        clock,
        limit=limits.offline_messages,
        limit_bytes=limits.offline_bytes,
        stanza_bytes=limits.stanza_bytes,
    )
    resumption = Resumption(
        directory,
        clock,
        tasks,
        facts,
        Reread(stores.archive, stanza_ids),
        sleeping_bytes=limits.sm_sleeping_bytes,
    )
    arrivals = Arrivals(delivery, router, accounts, tasks)
    directory.set_arrivals(arrivals.hold, arrivals.lost)
    requests = Requests(iqs, router, ids)
    session_request.register(iqs)

    rosters = Rosters(
        stores.rosters,
        facts,
        limits.cached_accounts,
        items=limits.roster_items,
        requests=limits.subscription_requests,
    )
    last_seen = LastSeenKeeper(stores.accounts, clock, tasks)
    broadcaster = Broadcaster(accounts, directory, router, pipeline)
    subscribing = Subscribing(
        accounts,
        router,
        rosters,
        broadcaster,
        clock,
        ids,
        requests_per_hour=limits.subscription_requests_per_hour,
        request_bytes=limits.subscription_request_bytes,
    )
    presence = Presences(
        directory,
        router,
        rosters,
        broadcaster,
        Probes(router, rosters, broadcaster, last_seen),
        subscribing,
        last_seen,
        clock,
        tasks,
        facts,
        directed=limits.directed_presences,
        most_bytes=limits.presence_bytes,
    )
    RosterRequests(
        rosters,
        subscribing,
        directory,
        items=limits.roster_items,
        groups=limits.roster_groups,
        name_bytes=limits.roster_name_bytes,
        item_bytes=limits.roster_item_bytes,
    ).register(iqs, offers)
    LastActivity(last_seen, rosters, clock).register(iqs, requests, disco)
    router.set_handlers(messages=messages, presence=presence, iqs=requests)
    inbound = ClientStanzas(router, pipeline, presence, delivery)
    chat_lists = ChatLists(stores.archive, stores.chat_lists, tasks, limit=limits.conversations)
    inbound.after_sent(chat_lists.after_sent)

    passwords = Passwords(
        config.auth.scram_iterations, threads=limits.password_hashes, waiting=limits.password_hashes_waiting
    )
    administration = AccountService(
        stores,
        config.domains,
        passwords.hash,
        LiveAccounts(accounts, directory, facts, subscribing),
        clock,
        waiting=cursors.count,
    )
    core = Core(
        config=config,
        stores=stores,
        clock=clock,
        ids=ids,
        tasks=tasks,
        facts=facts,
        accounts=accounts,
        rosters=rosters,
        directory=directory,
        resumption=resumption,
        router=router,
        disco=disco,
        administration=administration,
        passwords=passwords,
        iqs=iqs,
        pipeline=pipeline,
        offers=offers,
        nonzas=nonzas,
        rooms=RoomDesk(),
        messages=messages,
        inbound=inbound,
        archiver=archiver,
        resends=resends,
        stanza_ids=stanza_ids,
        chat_lists=chat_lists,
        retention=Retention(stores, clock, tasks, days=config.archive.days, waiting_days=limits.offline_days),
    )
    setups = tuple(_set_up(core, extension) for extension in in_order(_enabled(config, extensions)))

    clients = ClientServer(
        domains=config.domains,
        certificates=certificates,
        tls_required=config.tls.required,
        limits=client_limits(config),
        authenticator=await _authenticator(config, stores, passwords, clock),
        accounts=accounts,
        directory=directory,
        resumption=resumption,
        offers=offers,
        nonzas=nonzas,
        inbound=Fairness(inbound, clock),
        clock=clock,
        ids=ids,
        tasks=tasks,
        counter=ConnectionCounter("limits.connections_per_address", clock),
        strangers=ConnectionCounter("limits.unauthenticated_per_address", clock),
        pool=ParserPool(client_limits(config).member),
    )
    facts.on(
        PasswordChanged,
        lambda fact: clients.revoke(fact.jid, StreamError("reset", "the password was changed")),
    )
    facts.on(
        AccountDeleted,
        lambda fact: clients.revoke(fact.jid, StreamError("not-authorized", "the account was deleted")),
    )
    keepalive = Keepalive(
        clients.connections, clock, after=limits.ping_after_seconds, timeout=limits.ping_timeout_seconds
    )
    return Node(
        core=core,
        clients=clients,
        administration=administration,
        keepalive=keepalive,
        archiver=archiver,
        cursors=cursors,
        retention=core.retention,
        last_seen=last_seen,
        passwords=passwords,
        setups=setups,
    )


def _enabled(config: Config, extensions: Iterable[Extension[Any]]) -> list[Extension[Any]]:
    chosen: list[Extension[Any]] = []
    for extension in extensions:
        settings = config.extensions.get(extension.name)
        enabled = settings.enabled if settings is not None else None
        if extension.enabled if enabled is None else enabled:
            chosen.append(extension)
    return chosen


def _set_up(core: Core, extension: Extension[Any]) -> Setup:
    settings = core.config.extensions.get(extension.name)
    setup = Setup(core, extension.name)
    extension.setup(setup, settings.options if settings is not None else extension.config())
    return setup


async def _authenticator(config: Config, stores: Stores, passwords: Passwords, clock: Clock) -> Authenticator:
    limits = config.limits
    throttle = Throttle(
        ThrottleConfig(
            failures_per_login=limits.login_failures_per_account,
            failures_per_address=limits.login_failures_per_address,
            failures_per_account=limits.login_failures_per_account * 5,
            window_seconds=limits.login_failure_window_seconds,
        ),
        clock,
    )
    return Authenticator(
        stores.accounts,
        passwords,
        throttle,
        secret=await stores.secrets.get("scram-decoy-salt"),
        mechanisms=config.auth.mechanisms,
        require_tls=config.tls.required,
    )


def client_limits(config: Config) -> ClientLimits:
    """The bounds of ``config`` that concern single connections."""
    limits = config.limits
    member = ParserLimits(
        stanza_bytes=limits.stanza_bytes or _UNBOUNDED,
        tag_bytes=limits.tag_bytes or _UNBOUNDED,
        depth=limits.stanza_depth or _MOST_DEPTH,
        attributes=limits.stanza_attributes or _UNBOUNDED,
    )
    stranger_bytes = limits.unauthenticated_bytes or _UNBOUNDED
    return ClientLimits(
        stranger=ParserLimits(
            stanza_bytes=min(stranger_bytes, member.stanza_bytes),
            tag_bytes=min(stranger_bytes, member.tag_bytes),
            depth=member.depth,
            attributes=member.attributes,
        ),
        member=member,
        handshake_seconds=limits.handshake_seconds,
        registration_seconds=limits.registration_seconds,
        login_attempts=limits.login_attempts,
        strangers_per_address=limits.unauthenticated_per_address,
        bytes_per_second=limits.bytes_per_second,
        bytes_allowance=(limits.burst_bytes or limits.bytes_per_second) / 2,
        stanzas_per_second=limits.stanzas_per_second,
        stanzas_allowance=(limits.burst_stanzas or limits.stanzas_per_second) / 2,
    )


_UNBOUNDED = 2**62
_MOST_DEPTH = 400  # elements are written by recursion
