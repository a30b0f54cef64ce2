"""What the server says about itself and its accounts (XEP-0030, XEP-0128): filled at start by the core and
extensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from xmppd import ns
from xmppd.jid import Jid
from xmppd.xml.element import Element, text_element


class Entity(Enum):
    """Who has a feature."""

    SERVER = "the server"
    ACCOUNT = "an account"


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """``category`` and ``type`` are from the XMPP registrar's list."""

    category: str
    type: str
    name: str = ""

    def xml(self) -> Element:
        attrs = {"category": self.category, "type": self.type}
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
class Item:
    """Something an entity has (disco#items)."""

    jid: Jid
    node: str = ""
    name: str = ""


class Disco:
    """What each kind of entity is and can do. ``version`` grows with every change, for those who cache
    (XEP-0115).
    """

    def __init__(self) -> None:
        self._identities: dict[Entity, set[Identity]] = {entity: set() for entity in Entity}
        self._features: dict[Entity, set[str]] = {entity: set() for entity in Entity}
        self._forms: dict[Entity, list[Form]] = {entity: [] for entity in Entity}
        self._items: list[Callable[[Jid], Sequence[Item]]] = []
        self.version = 0

    def identity(self, entity: Entity, identity: Identity) -> None:
        self._identities[entity].add(identity)
        self.version += 1

    def feature(self, feature: str, *entities: Entity) -> None:
        for entity in entities:
            self._features[entity].add(feature)
        self.version += 1

    def form(self, entity: Entity, form: Form) -> None:
        self._forms[entity].append(form)
        self.version += 1

    def items(self, provider: Callable[[Jid], Sequence[Item]]) -> None:
        """``provider`` lists items of the served domain that it is given."""
        self._items.append(provider)

    def info(self, entity: Entity, node: str | None = None) -> Element:
        """``<query xmlns='disco#info'/>`` in a stable order; ``node`` is given back."""
        children: list[Element | str] = [identity.xml() for identity in sorted(self._identities[entity])]
        children += [Element("feature", ns.DISCO_INFO, {"var": name}) for name in self.features(entity)]
        children += [form.xml() for form in self._forms[entity]]
        return Element("query", ns.DISCO_INFO, {"node": node} if node else {}, children)

    def identities(self, entity: Entity) -> list[Identity]:
        return sorted(self._identities[entity])

    def features(self, entity: Entity) -> list[str]:
        return sorted(self._features[entity])

    def forms(self, entity: Entity) -> list[Form]:
        return list(self._forms[entity])

    def server_items(self, domain: Jid) -> list[Item]:
        return [item for provider in self._items for item in provider(domain)]
