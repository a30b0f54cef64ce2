"""Messages, presence and IQs as typed values (RFC 6120#8), made from elements at the edge and written back to bytes.

A stanza is immutable once it is on its way, since the same object goes to many recipients: change a copy
(``with_children``, ``with_to``). What it writes to the wire is cached, and spliced from the sender's bytes where the
parser found that safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple, Self

from xmppd import ns
from xmppd.errors import STANZA_CONDITIONS, StanzaError
from xmppd.jid import Jid, escape_attribute
from xmppd.xml.element import XML_LANG, Element, text_element
from xmppd.xml.writer import children_to_bytes

Children = list[Element | str]

_STANZA_ID: Final = ns.STANZA_ID.encode()

MESSAGE_TYPES: Final = frozenset({"normal", "chat", "groupchat", "headline", "error"})
PRESENCE_TYPES: Final = frozenset(
    {"", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"}
)
IQ_TYPES: Final = frozenset({"get", "set", "result", "error"})


class Place(NamedTuple):
    """Where a row is in its owner's archive: its ``id``, and the owner's newest one before it, ``prev`` (0: none)."""

    id: int
    prev: int


class Stanza:
    """What the three kinds share. ``type`` is never None: see each kind for what stands for an absent attribute.

    ``sender`` is the stamped ``from``. ``to`` is None where the client gave none. ``lang`` is the effective
    ``xml:lang`` (RFC 6120#8.1.5) or None. ``place``: where it is in the archive of whose copy it is; None: nowhere. It
    is known once the stanza is durable, and no copy inherits it.
    """

    __slots__ = ("_source", "_tail", "children", "id", "lang", "place", "sender", "to", "type")

    name: ClassVar[str]
    _open: ClassVar[bytes]
    _close: ClassVar[bytes]
    _untyped: ClassVar[str]  # the type that is written by leaving the attribute out

    def __init__(
        self,
        *,
        type: str,
        sender: Jid,
        to: Jid | None,
        id: str | None = None,
        lang: str | None = None,
        children: Children | None = None,
        source: bytes | None = None,
    ) -> None:
        """``source``: the children as they stand on the wire, where whoever makes the stanza has them."""
        self.type = type
        self.sender = sender
        self.to = to
        self.id = id
        self.lang = lang
        self.children: Children = [] if children is None else children
        self.place: Place | None = None
        self._source = source
        self._tail: bytes | None = None

    # Reading

    @property
    def row(self) -> int:
        """The id of its row in the archive of whose copy it is; 0: it is not there."""
        place = self.place
        return 0 if place is None else place.id

    def elements(self) -> Iterator[Element]:
        """The child elements, without text between them."""
        for child in self.children:
            if isinstance(child, Element):
                yield child

    def child(self, name: str, space: str = ns.CLIENT) -> Element | None:
        """The first child called ``name`` in the namespace ``space``."""
        for child in self.children:
            if isinstance(child, Element) and child.name == name and child.ns == space:
                return child
        return None

    def has_child_in(self, space: str) -> bool:
        """Whether any child is in the namespace ``space``."""
        return any(isinstance(child, Element) and child.ns == space for child in self.children)

    # Copies

    def with_to(self, to: Jid | None) -> Self:
        """The same stanza to another address."""
        copy = self._copy()
        copy.to = to
        copy._source = self._source
        copy._tail = self._tail
        return copy

    def sent_by(self, sender: Jid) -> Self:
        """The same stanza from another address, to nobody yet."""
        copy = self._copy()
        copy.sender = sender
        copy.to = None
        copy._source = self._source
        return copy

    def with_children(self, children: Children) -> Self:
        """The same stanza with other children."""
        copy = self._copy()
        copy.children = children
        return copy

    def with_child(self, child: Element) -> Self:
        """The same stanza with ``child`` added at its end."""
        copy = self.with_children([*self.children, child])
        if self._source is not None:
            copy._source = self._source + children_to_bytes([child], ns.CLIENT)
        return copy

    def _copy(self) -> Self:
        return type(self)(
            type=self.type,
            sender=self.sender,
            to=self.to,
            id=self.id,
            lang=self.lang,
            children=self.children,
        )

    # Writing

    def wire(self) -> bytes:
        """The stanza for a stream whose default namespace is ``jabber:client``."""
        to = self.to
        tail = self._tail or self._render()
        return self._open + tail if to is None else b"%b to='%b'%b" % (self._open, to.wire, tail)

    def wire_to(self, to: Jid) -> bytes:
        """What ``with_to(to).wire()`` is, without a copy for each of many."""
        return b"%b to='%b'%b" % (self._open, to.wire, self._tail or self._render())

    def _render(self) -> bytes:
        """Everything behind the ``to`` attribute; cached, so that a fan-out renders it once."""
        more = "" if self.id is None else f" id='{escape_attribute(self.id)}'"
        if self.type != self._untyped:
            more += f" type='{self.type}'"
        if self.lang is not None:
            more += f" xml:lang='{escape_attribute(self.lang)}'"
        attributes = b" from='%b'%b" % (self.sender.wire, more.encode())
        if self._source is not None:
            tail = b"%b>%b%b" % (attributes, self._source, self._close)
        elif self.children:
            tail = b"%b>%b%b" % (attributes, children_to_bytes(self.children, ns.CLIENT), self._close)
        else:
            tail = attributes + b"/>"
        self._tail = tail
        return tail

    def forwarded(self) -> bytes:
        """The stanza as it stands inside ``<forwarded/>`` (XEP-0297), with its own namespace."""
        return b"%b xmlns='%b'%b" % (self._open, ns.CLIENT.encode(), self.wire()[len(self._open) :])

    def element(self) -> Element:
        """The stanza as an element of ``jabber:client``, e.g. to be forwarded (XEP-0297)."""
        attrs: dict[str, str] = {"from": str(self.sender)}
        if self.to is not None:
            attrs["to"] = str(self.to)
        if self.id is not None:
            attrs["id"] = self.id
        if self.type != self._untyped:
            attrs["type"] = self.type
        if self.lang is not None:
            attrs[XML_LANG] = self.lang
        return Element(self.name, ns.CLIENT, attrs, self.children)

    def __repr__(self) -> str:
        return f"<{self.name} {self.type!r} from {self.sender} to {self.to} id {self.id!r}>"


class Message(Stanza):
    """``type`` is one of ``MESSAGE_TYPES``; an absent or unknown one is ``normal`` (RFC 6121#5.2.2)."""

    __slots__ = ()
    name = "message"
    _open = b"<message"
    _close = b"</message>"
    _untyped = "normal"

    def identified(self, by: Jid, id: str, place: Place) -> Message:
        """The copy that belongs to ``by`` (bare), in whose archive it is called ``id`` and is at ``place``
        (XEP-0359). It has at least one child.
        """
        copy = self._copy()
        copy.children = [*self.children, Element("stanza-id", ns.STANZA_ID, {"by": str(by), "id": id})]
        copy.place = place
        # The original was rendered to be stored, and is not rendered again: this is done for every message.
        rest = (self._tail or self._render()).removesuffix(self._close)
        copy._tail = b"%b<stanza-id xmlns='%b' by='%b' id='%b'/>%b" % (
            rest,
            _STANZA_ID,
            by.wire,
            id.encode(),
            self._close,
        )
        return copy


class Presence(Stanza):
    """``type`` is one of ``PRESENCE_TYPES``; "" stands for an absent one: available."""

    __slots__ = ()
    name = "presence"
    _open = b"<presence"
    _close = b"</presence>"
    _untyped = ""

    @property
    def priority(self) -> int:
        """-128 to 127; 0 where none or nonsense is given (RFC 6121#4.7.2.3)."""
        element = self.child("priority")
        if element is None:
            return 0
        try:
            return max(-128, min(127, int(element.text())))
        except ValueError:
            return 0


class Iq(Stanza):
    """``type`` is one of ``IQ_TYPES``, ``id`` always given."""

    __slots__ = ()
    name = "iq"
    _open = b"<iq"
    _close = b"</iq>"
    _untyped = ""

    @property
    def payload(self) -> Element | None:
        """The one child element of a request; the first one of a reply, if any."""
        return next(self.elements(), None)

    def result(self, payload: Element | None = None) -> Iq:
        """The answer to this request."""
        children: Children | None = None if payload is None else [payload]
        return Iq(
            type="result", sender=self.to or self.sender.bare, to=self.sender, id=self.id, children=children
        )


KINDS: Final[dict[str, type[Stanza]]] = {"message": Message, "presence": Presence, "iq": Iq}


def parse(element: Element, sender: Jid, default_lang: str | None = None) -> Stanza:
    """The stanza that ``element`` (of ``jabber:client``) is, sent by ``sender`` on a stream in ``default_lang``.

    Raises ``StanzaError``: ``jid-malformed`` for a bad ``to``, ``bad-request`` for a type or shape that RFC 6120#8.2.3
    or RFC 6121#4.7.1 does not allow. ``element.name`` is message, presence or iq.
    """
    attrs = element.attrs
    to_text = attrs.get("to")
    to = None if to_text is None else Jid.of(to_text)
    type = attrs.get("type")
    kind = KINDS[element.name]
    if kind is Message:
        if type not in MESSAGE_TYPES:
            type = "normal"
    elif kind is Presence:
        type = type or ""
        if type not in PRESENCE_TYPES:
            raise StanzaError("bad-request", f"{type!r} is no type of presence")
    else:
        if type not in IQ_TYPES:
            raise StanzaError("bad-request", "the type of an iq is get, set, result or error")
        if not attrs.get("id"):
            raise StanzaError("bad-request", "an iq has an id")
        if type in ("get", "set") and sum(isinstance(child, Element) for child in element.children) != 1:
            raise StanzaError("bad-request", "an iq of type get or set has exactly one child element")
    return kind(
        type=type,
        sender=sender,
        to=to,
        id=attrs.get("id"),
        lang=attrs.get(XML_LANG, default_lang),
        children=element.children,
        source=element.source,
    )


def error_element(error: StanzaError, by: Jid | None = None) -> Element:
    """The ``<error/>`` child that tells of ``error`` (RFC 6120#8.3.2)."""
    attrs: dict[str, str] = {"type": error.type}
    if by is not None:
        attrs["by"] = str(by)
    children: Children = [Element(error.condition, ns.STANZA_ERRORS)]
    if error.text:
        children.append(text_element("text", ns.STANZA_ERRORS, error.text, {XML_LANG: "en"}))
    if error.extra is not None:
        children.append(Element(*error.extra))
    return Element("error", ns.CLIENT, attrs, children)


def error_reply(stanza: Stanza, error: StanzaError) -> Stanza | None:
    """The stanza that tells the sender of ``error``; None where an error must not be answered (RFC 6120#8.3.1).

    The payload is not sent back: it is the sender's own, and may be large.
    """
    if stanza.type in ("error", "result"):
        return None
    reply_from = stanza.to if stanza.to is not None else stanza.sender.bare
    return type(stanza)(
        type="error", sender=reply_from, to=stanza.sender, id=stanza.id, children=[error_element(error)]
    )


def error_condition(stanza: Stanza) -> str | None:
    """The defined condition of a stanza of type error; None if it has none that RFC 6120#8.3.3 knows."""
    error = stanza.child("error")
    if error is None:
        return None
    conditions = (el.name for el in error.elements() if el.ns == ns.STANZA_ERRORS)
    return next((name for name in conditions if name in STANZA_CONDITIONS), None)
