"""XEP-0004: data forms that somebody has filled in (XEP-0068: which form it is says the field ``FORM_TYPE``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.xml.element import Element

_TYPE: Final = "FORM_TYPE"


def submitted(form: Element, type: str) -> Mapping[str, tuple[str, ...]]:
    """As ``filled_in``, without empty values and fields that have no other."""
    fields = filled_in(form, type)
    return {name: given for name, values in fields.items() if (given := tuple(filter(None, values)))}


def filled_in(form: Element, type: str) -> Mapping[str, tuple[str, ...]]:
    """The values of each field of ``form``, an ``<x xmlns='jabber:x:data'/>`` whose ``FORM_TYPE`` is ``type``; none for
    a field without any, "" for an empty one. ``bad-request`` for what is no such form.
    """
    if form.get("type") != "submit":
        raise StanzaError("bad-request", "a form that is sent is of type submit")
    fields: dict[str, tuple[str, ...]] = {}
    for field in form.each("field"):
        name = field.get("var")
        if name is None:
            raise StanzaError("bad-request", "a field of a form has a var")
        if name in fields:
            raise StanzaError("bad-request", f"the field {name} is there twice")
        fields[name] = tuple(value.text() for value in field.each("value"))
    if fields.pop(_TYPE, None) != (type,):
        raise StanzaError("bad-request", f"the FORM_TYPE of this form is {type}")
    return fields


def form_field(name: str, type: str, *children: Element) -> Element:
    """A field of a form that is to be filled in."""
    return Element("field", ns.DATA_FORMS, {"var": name, "type": type}, list(children))
