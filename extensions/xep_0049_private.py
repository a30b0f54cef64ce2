"""XEP-0049: Private XML Storage. Each client of an account keeps what it likes; the server does not look inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

from msgspec import Struct

from xmppd.config import bound
from xmppd.errors import StanzaError
from xmppd.extension import Extension, Setup
from xmppd.routing.disco import Entity
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.storage.interfaces import PrivateFull, PrivateStore
from xmppd.xml.element import Element
from xmppd.xml.fragment import from_bytes
from xmppd.xml.writer import to_bytes

NS: Final = "jabber:iq:private"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what one account may keep."""

    max_elements: Annotated[int, bound(1_000_000, "Most elements that one account may keep.")] = 100
    max_bytes: Annotated[int, bound(16_777_216, "Largest of these elements.", least=1_024)] = 131_072


@dataclass(frozen=True, slots=True)
class Read:
    """``wanted`` names what to read; it may stand for itself where nothing is kept."""

    TAG: ClassVar[Name] = Name(NS, "query")
    wanted: Element

    @classmethod
    def parse(cls, element: Element) -> Self:
        wanted, *more = _contents(element)
        if more:
            # XEP-0049 (Elements): a client must not ask for more than one namespace in a get
            raise StanzaError("bad-request", "ask for one element at a time")
        return cls(wanted)


@dataclass(frozen=True, slots=True)
class Write:
    """``elements``: at least one."""

    TAG: ClassVar[Name] = Name(NS, "query")
    elements: Sequence[Element]

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(_contents(element))


@dataclass(frozen=True, slots=True)
class Intrusion:
    """A request for somebody else's; what is in it does not matter."""

    TAG: ClassVar[Name] = Name(NS, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


def _contents(query: Element) -> list[Element]:
    elements = list(query.elements())
    if not elements or any(element.ns in ("", NS) for element in elements):
        # XEP-0049 (Elements): at least one child, and each with a namespace of its own
        raise StanzaError("not-acceptable", "put an element with a namespace of its own into the query")
    return elements


class Private:
    def __init__(self, store: PrivateStore, config: Config) -> None:
        self._store = store
        self._config = config

    async def on_get(self, request: Request[Read], outbox: Outbox) -> Element:
        wanted = request.payload.wanted
        kept = await self._store.get(request.own.id, wanted.name, wanted.ns)
        element = Element(wanted.name, wanted.ns) if kept is None else from_bytes(kept)
        return Element("query", NS, children=[element])

    async def on_set(self, request: Request[Write], outbox: Outbox) -> None:
        config = self._config
        entries = [(each.name, each.ns, to_bytes(each, context="")) for each in request.payload.elements]
        for name, space, xml in entries:
            if config.max_bytes and len(xml) > config.max_bytes:
                raise StanzaError(
                    "policy-violation",
                    f"<{name} xmlns='{space}'/> has {len(xml)} bytes; {config.max_bytes} are allowed",
                )
        try:
            await self._store.put(request.own.id, entries, limit=config.max_elements)
        except PrivateFull as err:
            raise StanzaError("resource-constraint", str(err)) from err

    async def on_intrusion(self, request: Request[Intrusion], outbox: Outbox) -> None:
        # XEP-0049 (Elements): preferred to service-unavailable; the same whether the account exists or not
        raise StanzaError("forbidden", "private data is for its owner alone")


def setup(s: Setup, config: Config) -> None:
    private = Private(s.core.stores.private, config)
    s.feature(NS, at=(Entity.SERVER, Entity.ACCOUNT))
    s.iq("get", Read, private.on_get, (At.OWN,))
    s.iq("set", Write, private.on_set, (At.OWN,))
    s.iq("get", Intrusion, private.on_intrusion, (At.ACCOUNT, At.NOBODY))
    s.iq("set", Intrusion, private.on_intrusion, (At.ACCOUNT, At.NOBODY))


EXTENSION: Final = Extension(
    name="private",
    xep="0049",
    version="1.2",
    summary="Clients can keep data of theirs, such as bookmarks, on the server.",
    config=Config,
    setup=setup,
)
