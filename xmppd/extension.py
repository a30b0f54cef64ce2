"""How an extension describes itself and registers what it does (DESIGN 8).

A module in ``xmppd/extensions`` ends with ``EXTENSION = Extension(...)``. Its ``setup`` gets a ``Setup`` and
lists every registration; what the core needs of the module, the reference documentation and the DOAP come
from nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec

from xmppd.accounts import AccountService
from xmppd.auth.passwords import Passwords
from xmppd.clock import Clock
from xmppd.config import Config
from xmppd.errors import ConfigError
from xmppd.ids import Ids
from xmppd.im.archiver import Archiver
from xmppd.im.chat_list import ChatLists
from xmppd.im.delivery import Received
from xmppd.im.inbound import ClientStanzas, Sent
from xmppd.im.messages import Messages
from xmppd.im.resends import Resends
from xmppd.im.retention import Retention
from xmppd.im.rosters import Rosters
from xmppd.im.stanza_ids import StanzaIds
from xmppd.rooms import RoomAdministrator, RoomDesk
from xmppd.routing.disco import Disco, Entity, Form, Identity, Node, ServerItems
from xmppd.routing.iq import At, Handler, IqTable, P
from xmppd.routing.pipeline import KINDS, Pipeline, Stage
from xmppd.routing.pipeline import Handler as StageHandler
from xmppd.routing.router import Router
from xmppd.sessions.accounts import Accounts, Loader
from xmppd.sessions.directory import Directory
from xmppd.sessions.facts import Facts
from xmppd.sessions.nonzas import NonzaHandler, Nonzas
from xmppd.sessions.offers import EarlyHandler, Offer, Offers
from xmppd.sessions.resumption import Resumption
from xmppd.stanza import Stanza
from xmppd.storage.interfaces import Stores
from xmppd.tasks import Tasks

C = TypeVar("C", bound=msgspec.Struct)
F = TypeVar("F")


class NoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """It has nothing to set but whether it is enabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Xep:
    """A specification: its four-digit ``number``, the ``version`` that is implemented, how much of it."""

    number: str
    version: str
    status: Literal["complete", "partial"] = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension(Generic[C]):
    """``name`` is the one in ``[extensions.NAME]``; ``summary`` one sentence, of what users get.

    The module implements ``version`` of the XEP with the number ``xep`` (four digits; both empty where it follows
    an RFC), ``status`` says how much of it; ``also`` are further ones that come with it. ``enabled``: whether it is
    on where the configuration is silent. ``requires``: names of extensions that have to be set up before.
    """

    name: str
    xep: str
    version: str
    summary: str
    config: type[C]
    setup: Callable[[Setup, C], None]
    status: Literal["complete", "partial"] = "complete"
    also: tuple[Xep, ...] = ()
    enabled: bool = True
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What an extension may use: services and stores, each of which it hands to its own classes in ``setup``."""

    config: Config
    stores: Stores
    clock: Clock
    ids: Ids
    tasks: Tasks
    facts: Facts
    accounts: Accounts
    rosters: Rosters
    directory: Directory
    resumption: Resumption
    router: Router
    disco: Disco
    administration: AccountService
    passwords: Passwords
    # where registrations go
    iqs: IqTable
    pipeline: Pipeline
    offers: Offers
    nonzas: Nonzas
    rooms: RoomDesk
    messages: Messages
    inbound: ClientStanzas
    archiver: Archiver
    resends: Resends
    stanza_ids: StanzaIds
    chat_lists: ChatLists
    retention: Retention


@dataclass(slots=True)
class Setup:
    """Takes the registrations of one extension and remembers whose they are."""

    core: Core
    owner: str
    described: list[str] = field(default_factory=list)

    def feature(self, *features: str, at: Sequence[Entity] = (Entity.SERVER,)) -> None:
        """Announce ``features`` in disco#info."""
        for feature in features:
            self.core.disco.feature(feature, *at)
            self.described.append(f"feature {feature}")

    def identity(self, identity: Identity, at: Sequence[Entity] = (Entity.SERVER,)) -> None:
        """Say in disco#info what those ``at`` are."""
        for entity in at:
            self.core.disco.identity(entity, identity)
        self.described.append(f"identity {identity.category}/{identity.type}")

    def form(self, form: Form, at: Entity = Entity.SERVER) -> None:
        """Add extended information to disco#info (XEP-0128)."""
        self.core.disco.form(at, form, self.owner)
        self.described.append(f"form {form.type}")

    def node(self, node: Node, at: Entity = Entity.SERVER) -> None:
        """Answer disco#info for nodes that ``node`` knows."""
        self.core.disco.node(at, node)
        self.described.append("nodes")

    def items(self, provider: ServerItems) -> None:
        """List items of a served domain in disco#items."""
        self.core.disco.items(provider)
        self.described.append("items")

    def iq(
        self,
        type: Literal["get", "set"],
        payload: type[P],
        handler: Handler[P],
        at: Sequence[At] = (At.SERVER,),
    ) -> None:
        """Answer requests with ``payload`` that are addressed to one of ``at``."""
        self.core.iqs.add(type, payload, handler, at, self.owner)
        self.described.append(f"iq {type} {payload.TAG.name} ({payload.TAG.ns})")

    def stage(self, stage: Stage, handler: StageHandler[Any], kinds: Sequence[type[Stanza]] = KINDS) -> None:
        """Judge stanzas of ``kinds`` at ``stage``."""
        for kind in kinds:
            self.core.pipeline.add(stage, kind, handler, self.owner)
        self.described.append(f"stage {stage.name}")

    def stream_feature(self, offer: Offer) -> None:
        """Add to ``<stream:features/>``."""
        self.core.offers.add(offer)
        self.described.append("stream feature")

    def early_iq(self, name: str, ns: str, handler: EarlyHandler) -> None:
        """Answer an IQ before login."""
        self.core.offers.add_early_iq(name, ns, handler, self.owner)
        self.described.append(f"iq before login {name} ({ns})")

    def nonza(self, name: str, ns: str, handler: NonzaHandler) -> None:
        """Act on a top-level element of bound clients that is no stanza."""
        self.core.nonzas.add(name, ns, handler, self.owner)
        self.described.append(f"nonza {name} ({ns})")

    def account_data(self, loader: Loader) -> None:
        """Load what the extension keeps in ``Account`` whenever one comes into memory."""
        self.core.accounts.add_loader(loader)
        self.described.append("account data")

    def on(self, fact: type[F], listener: Callable[[F], None]) -> None:
        """Listen to facts."""
        self.core.facts.on(fact, listener)
        self.described.append(f"fact {fact.__name__}")

    def rooms(self, administrator: RoomAdministrator) -> None:
        """Let ``administrator`` do what the command line wants done with rooms."""
        self.core.rooms.open(administrator)
        self.described.append("rooms")

    def hourly(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` when the server starts, and once an hour."""
        self.core.retention.also(work)
        self.described.append("hourly")

    def after_sent(self, hook: Sent) -> None:
        """See each accepted message of a client of ours."""
        self.core.inbound.after_sent(hook)
        self.described.append("after sent")

    def after_received(self, hook: Received) -> None:
        """See each message that resources of a local account got."""
        self.core.messages.after_received(hook)
        self.described.append("after received")


def in_order(extensions: Iterable[Extension[Any]]) -> list[Extension[Any]]:
    """Sorted so that each follows what it ``requires``; ``ConfigError`` for a missing one or a cycle."""
    waiting = {extension.name: extension for extension in extensions}
    ordered: list[Extension[Any]] = []
    done: set[str] = set()
    while waiting:
        ready = [extension for extension in waiting.values() if done.issuperset(extension.requires)]
        if not ready:
            name, extension = next(iter(waiting.items()))
            missing = ", ".join(sorted(set(extension.requires) - done))
            raise ConfigError(
                f"[extensions.{name}] needs {missing}: enable it, or set enabled = false for {name}"
            )
        for extension in ready:
            ordered.append(extension)
            done.add(extension.name)
            del waiting[extension.name]
    return ordered
