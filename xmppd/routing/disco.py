"""What the server says about itself and its accounts (XEP-0030, XEP-0128): filled at start by the core and
extensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Self

from xmppd import ns
from xmppd.errors import TakenTwice
from xmppd.jid import Jid
from xmppd.routing.iq import Name
from xmppd.xml.element import XML_LANG, Element, text_element


class Entity(Enum):
    """Who has a feature; the value is for people."""

    SERVER = "the server"
    ACCOUNT = "an account"


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """``category`` and ``type`` are from the XMPP registrar's list; ``lang`` is the language of ``name``."""

    category: str
    type: str
    lang: str = ""
    name: str = ""

    def xml(self) -> Element:
        attrs = {"category": self.category, "type": self.type}
        if self.lang:
            attrs[XML_LANG] = self.lang
        if self.name:
            attrs["name"] = self.name
        return Element("identity", ns.DISCO_INFO, attrs)


@dataclass(frozen=True, slots=True)
class Form:
    """Extended information (XEP-0128): values by field, under a registered ``FORM_TYPE``."""

    type: str
    fields: Sequence[tuple[str, Sequence[str]]]

    def xml(self) -> Element:
        """As a data form of type result (XEP-0004)."""
        form = Element("x", ns.DATA_FORMS, {"type": "result"})
        form.children.append(_field("FORM_TYPE", (self.type,), {"type": "hidden"}))
        form.children.extend(_field(name, values) for name, values in self.fields)
        return form


def _field(name: str, values: Sequence[str], attrs: dict[str, str] | None = None) -> Element:
    return Element(
        "field",
        ns.DATA_FORMS,
        {"var": name, **(attrs or {})},
        [text_element("value", ns.DATA_FORMS, value) for value in values],
    )


@dataclass(frozen=True, slots=True)
class Info:
    """What one entity or node is and can do, each part in the order in which it is told."""

    identities: tuple[Identity, ...] = ()
    features: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()

    def xml(self, node: str = "") -> Element:
        """``<query xmlns='disco#info'/>``; the ``node`` that was asked for is given back (XEP-0030#info-nodes)."""
        children: list[Element | str] = [identity.xml() for identity in self.identities]
        children += [Element("feature", ns.DISCO_INFO, {"var": name}) for name in self.features]
        children += [form.xml() for form in self.forms]
        return Element("query", ns.DISCO_INFO, {"node": node} if node else {}, children)


@dataclass(frozen=True, slots=True)
class Item:
    """Something an entity has (disco#items)."""

    jid: Jid
    node: str = ""
    name: str = ""

    def xml(self) -> Element:
        attrs = {"jid": str(self.jid)}
        if self.node:
            attrs["node"] = self.node
        if self.name:
            attrs["name"] = self.name
        return Element("item", ns.DISCO_ITEMS, attrs)


def items_xml(node: str, items: Sequence[Item]) -> Element:
    """``<query xmlns='disco#items'/>``."""
    return Element("query", ns.DISCO_ITEMS, {"node": node} if node else {}, [item.xml() for item in items])


@dataclass(frozen=True, slots=True)
class InfoQuery:
    """What is it, and what can it do? ``node`` is "" where none is given."""

    TAG: ClassVar[Name] = Name(ns.DISCO_INFO, "query")
    node: str

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(element.attrs.get("node", ""))


@dataclass(frozen=True, slots=True)
class ItemsQuery:
    """What belongs to it?"""

    TAG: ClassVar[Name] = Name(ns.DISCO_ITEMS, "query")
    node: str

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls(element.attrs.get("node", ""))


Node = Callable[[str], Info | None]
ServerItems = Callable[[Jid], Sequence[Item]]


class Disco:
    """What each kind of entity is and can do. ``version`` grows with every change, for those who cache (XEP-0115)."""

    def __init__(self) -> None:
        self._identities: dict[Entity, set[Identity]] = {entity: set() for entity in Entity}
        self._features: dict[Entity, set[str]] = {entity: set() for entity in Entity}
        self._forms: dict[Entity, dict[str, Form]] = {entity: {} for entity in Entity}
        self._form_owners: dict[tuple[Entity, str], str] = {}
        self._nodes: dict[Entity, list[Node]] = {entity: [] for entity in Entity}
        self._items: list[ServerItems] = []
        self.version = 0

    # Said by the core and by extensions, at start

    def identity(self, entity: Entity, identity: Identity) -> None:
        self._identities[entity].add(identity)
        self.version += 1

    def feature(self, feature: str, *entities: Entity) -> None:
        for entity in entities:
            self._features[entity].add(feature)
        self.version += 1

    def form(self, entity: Entity, form: Form, owner: str) -> None:
        """``TakenTwice`` for a second form of one type: who receives both has to discard everything."""
        if (other := self._form_owners.get((entity, form.type))) is not None:
            # XEP-0115#ver-proc: such an answer is ill-formed
            raise TakenTwice(owner, other, f"the form {form.type} of {entity.value}")
        self._form_owners[entity, form.type] = owner
        self._forms[entity][form.type] = form
        self.version += 1

    def node(self, entity: Entity, node: Node) -> None:
        """``node`` gets the name of a node of ``entity`` and says what it is; None if it does not know it."""
        self._nodes[entity].append(node)

    def items(self, provider: ServerItems) -> None:
        """``provider`` lists items of the served domain that it is given."""
        self._items.append(provider)

    # Asked

    def info(self, entity: Entity) -> Info:
        """What ``entity`` is, in a stable order."""
        return Info(
            tuple(sorted(self._identities[entity])),
            tuple(sorted(self._features[entity])),
            tuple(form for _, form in sorted(self._forms[entity].items())),
        )

    def node_info(self, entity: Entity, name: str) -> Info | None:
        """What the node ``name`` of ``entity`` is; None where nobody knows it."""
        return next((info for node in self._nodes[entity] if (info := node(name)) is not None), None)

    def server_items(self, domain: Jid) -> list[Item]:
        return [item for provider in self._items for item in provider(domain)]
