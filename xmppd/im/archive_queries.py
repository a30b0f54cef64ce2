"""What clients ask of an archive: parsed whole or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.clock import microseconds
from xmppd.errors import StanzaError
from xmppd.im.results import MAM
from xmppd.jid import Jid
from xmppd.routing.forms import form_field, submitted
from xmppd.routing.iq import Name
from xmppd.routing.rsm import Paging
from xmppd.xml.element import Element, text_element

VALIDATION: Final = "http://jabber.org/protocol/xdata-validate"

_MOST_QUERY_ID: Final = 256  # characters; it comes back in every result
_MILLISECOND: Final = 1_000  # the precision in which clients are told when a message came
_FIELDS: Final = frozenset({"with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"})
_BOOLEANS: Final = frozenset({"0", "1", "false", "true"})


@dataclass(frozen=True, slots=True)
class AskForm:
    """By which fields can a query be filtered (XEP-0313#query-form)?"""

    TAG: ClassVar[Name] = Name(MAM, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()

    @staticmethod
    def answer(*, groupchat: bool) -> Element:
        """All fields that there are; ``groupchat``: it may be asked whether messages of rooms are meant as well."""
        form = Element("x", ns.DATA_FORMS, {"type": "form"})
        # XEP-0313#query-form: ids cannot be listed, so the list is open to what clients know
        open_list = Element("validate", VALIDATION, {"datatype": "xs:string"}, [Element("open", VALIDATION)])
        form.children += [
            form_field("FORM_TYPE", "hidden", text_element("value", ns.DATA_FORMS, MAM)),
            form_field("with", "jid-single"),
            form_field("start", "text-single"),
            form_field("end", "text-single"),
            form_field("before-id", "text-single"),
            form_field("after-id", "text-single"),
            form_field("ids", "list-multi", open_list),
        ]
        if groupchat:
            form.children.append(form_field("include-groupchat", "boolean"))
        return Element("query", MAM, children=[form])


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages are meant. ``peer``: those from or to this address; ``start`` and ``end``: those that came at or
    between these times, in microseconds since the epoch; the others are names of rows. None: not said.
    """

    peer: Jid | None = None
    start: int | None = None
    end: int | None = None
    after: str | None = None
    before: str | None = None
    ids: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, form: Element) -> Self:
        fields = submitted(form, MAM)
        for name in fields:
            if name not in _FIELDS:
                # XEP-0313#query-form
                raise StanzaError("feature-not-implemented", f"this archive has no filter {name!r}")
        groupchat = _one(fields, "include-groupchat")
        if groupchat is not None and groupchat not in _BOOLEANS:
            raise StanzaError("bad-request", "include-groupchat is true or false")
        # Archives of users hold no messages of rooms, which have archives of their own.
        start, end = _time(fields, "start"), _time(fields, "end")
        peer, ids = _one(fields, "with"), fields.get("ids")
        return cls(
            peer=None if peer is None else Jid.of(peer),
            # To the precision that stamps have: a message came when they say, not some microseconds later.
            start=None if start is None else -(-start // _MILLISECOND) * _MILLISECOND,
            end=None if end is None else end // _MILLISECOND * _MILLISECOND + _MILLISECOND - 1,
            after=_one(fields, "after-id"),
            before=_one(fields, "before-id"),
            ids=None if ids is None else tuple(dict.fromkeys(ids)),
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A page of the messages that ``filter`` lets through. ``flipped``: newest first (XEP-0313#query-paging-flip)."""

    TAG: ClassVar[Name] = Name(MAM, "query")
    id: str | None
    filter: Filter
    paging: Paging
    flipped: bool

    @classmethod
    def parse(cls, element: Element) -> Self:
        id = element.get("queryid")
        if id is not None and len(id) > _MOST_QUERY_ID:
            raise StanzaError("bad-request", f"a queryid has at most {_MOST_QUERY_ID} characters")
        if element.get("node") is not None:
            # XEP-0313#business-storeret-pubsub-archives
            raise StanzaError("feature-not-implemented", "this archive has no nodes")
        form = element.child("x", ns.DATA_FORMS)
        paging = Paging.of(element)
        if paging.index is not None:
            # XEP-0059#jump
            raise StanzaError("feature-not-implemented", "pages are found by <after/> and <before/>")
        return cls(
            id,
            Filter() if form is None else Filter.parse(form),
            paging,
            element.child("flip-page") is not None,
        )


@dataclass(frozen=True, slots=True)
class AskMetadata:
    """Where does the archive begin and end (XEP-0313#archive-metadata)?"""

    TAG: ClassVar[Name] = Name(MAM, "metadata")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


def _one(fields: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    values = fields.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise StanzaError("bad-request", f"the field {name} has one value")
    return values[0]


def _time(fields: Mapping[str, tuple[str, ...]], name: str) -> int | None:
    text = _one(fields, name)
    if text is None:
        return None
    try:
        return microseconds(text)
    except ValueError as err:
        raise StanzaError("bad-request", f"{name}: {err}") from err
