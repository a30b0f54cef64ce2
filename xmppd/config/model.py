"""Every setting with its type, bounds, default and sentence for the manual, which is made from this file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from xmppd.config.limits import Limits
from xmppd.config.values import (
    ACCOUNTS,
    ADDRESSES,
    DOMAINS,
    NETWORKS,
    PATH,
    REDIS,
    STORAGE,
    Address,
    Network,
    StorageUrl,
    bound,
)
from xmppd.jid import Jid

Mechanism = Literal[
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "PLAIN",
]
MECHANISMS: tuple[Mechanism, ...] = get_args(Mechanism)


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the server accepts connections. What is absent is off."""

    c2s: Annotated[
        tuple[Address, ...],
        ADDRESSES,
        Meta(description="Clients that start plain and switch to TLS (STARTTLS); the usual port is 5222."),
    ] = ()
    c2s_tls: Annotated[
        tuple[Address, ...],
        ADDRESSES,
        Meta(description="Clients that start with TLS (XEP-0368); the usual port is 5223."),
    ] = ()
    http: Annotated[
        tuple[Address, ...],
        ADDRESSES,
        Meta(description="Plain HTTP, meant for a proxy in front that adds TLS; the usual port is 5280."),
    ] = ()
    proxy_protocol: Annotated[
        tuple[Network, ...],
        NETWORKS,
        Meta(
            description="Networks of load balancers that send the PROXY protocol (version 1 or 2) in front of each "
            "connection. From there the header is required, from elsewhere it is an error."
        ),
    ] = ()


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encryption of client connections."""

    certificate: Annotated[
        Path | None,
        PATH,
        Meta(
            description="The certificate and the intermediate ones behind it, as PEM. Read again on SIGHUP."
        ),
    ] = None
    key: Annotated[
        Path | None,
        PATH,
        Meta(
            description="The certificate's private key as PEM, without a passphrase; absent: in the same file."
        ),
    ] = None
    required: Annotated[
        bool,
        Meta(
            description="Whether a client on a port of `listen.c2s` has to switch to TLS before it logs in."
        ),
    ] = True


class Auth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How users log in."""

    mechanisms: Annotated[
        tuple[Mechanism, ...],
        Meta(
            min_length=1,
            description="The SASL mechanisms on offer, best first. Those with -PLUS bind the login to the TLS "
            "connection. PLAIN is offered only over TLS.",
        ),
    ] = MECHANISMS
    scram_iterations: Annotated[
        int,
        Meta(
            ge=4096,  # RFC 7677#4
            le=10_000_000,
            description="Rounds of PBKDF2 for new passwords; those that are stored keep theirs.",
        ),
    ] = 10_000


class Storage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where accounts, rosters and messages are kept."""

    url: Annotated[
        StorageUrl | None,
        STORAGE,
        Meta(
            description="The database. Absent: `xmppd.db` in `data_dir`. A relative path starts at this file's folder. "
            "A password for PostgreSQL may also come from the variable PGPASSWORD or from ~/.pgpass."
        ),
    ] = None
    connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="PostgreSQL: connections that this process has at most. All processes together need fewer than "
            "`max_connections` of the server.",
        ),
    ] = 10
    wait_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=300,
            description="PostgreSQL: how long an operation waits for a connection while the server is away or busy, "
            "before it fails.",
        ),
    ] = 10.0
    statement_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3_600,
            description="PostgreSQL: how long a transaction may take before it is cut off.",
        ),
    ] = 10.0


class Archive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long messages are kept."""

    days: Annotated[
        int,
        bound(
            36_500,
            "After how many days messages are erased from all histories, whether they were read or not; 0: never. "
            "`xmppd user retention` shortens it for single accounts.",
        ),
    ] = 0


class Cluster(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several nodes as one server."""

    redis: Annotated[
        str | None, REDIS, Meta(description="The Redis server over which nodes meet. Absent: a single node.")
    ] = None


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server writes to its standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important records to write."),
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        Meta(description="Each line as `time level logger message key=value ...`, or as a JSON object."),
    ] = "text"


class ExtensionSettings(Struct, frozen=True, kw_only=True):
    """``[extensions.NAME]``: ``enabled`` is None where the file is silent, ``options`` the extension's own Struct."""

    options: Struct
    enabled: bool | None = None


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one server; paths are absolute, ``storage.url`` and ``tls.key`` filled in."""

    domains: Annotated[
        tuple[Jid, ...],
        DOMAINS,
        Meta(description="The domains that this server is responsible for; the first is the main one."),
    ]
    data_dir: Annotated[
        Path,
        PATH,
        Meta(
            description="The folder for the database, the lock and the control socket; made when it is not there."
        ),
    ] = Path("data")
    admins: Annotated[
        frozenset[Jid], ACCOUNTS, Meta(description="The accounts that may administer the server.")
    ] = frozenset()
    listen: Listen = Listen()
    tls: Tls = Tls()
    auth: Auth = Auth()
    storage: Storage = Storage()
    archive: Archive = Archive()
    cluster: Cluster = Cluster()
    limits: Limits = Limits()
    log: Log = Log()
    extensions: Mapping[str, ExtensionSettings] = {}
