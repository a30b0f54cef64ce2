"""What is sent in ``<query xmlns='jabber:iq:register'/>``, and how a password of it becomes keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.auth.passwords import Passwords, TooBusy
from xmppd.auth.saslprep import PasswordError
from xmppd.errors import StanzaError
from xmppd.routing.iq import Name
from xmppd.storage.interfaces import Credentials
from xmppd.xml.element import Element, text_element

NS: Final = "jabber:iq:register"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is there to fill in?"""

    TAG: ClassVar[Name] = Name(NS, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Submission:
    """A filled-in form; "" stands for what is missing. ``remove``: the account is to be removed."""

    TAG: ClassVar[Name] = Name(NS, "query")
    username: str = ""
    password: str = ""
    remove: bool = False

    @classmethod
    def parse(cls, element: Element) -> Self:
        children = list(element.elements())
        if element.child("remove") is not None:
            if len(children) > 1:  # XEP-0077#usecases-cancel
                raise StanzaError("bad-request", "<remove/> stands alone")
            return cls(remove=True)
        form = element.child("x", ns.DATA_FORMS)
        if form is None:
            values = {child.name: child.text() for child in children if child.ns == NS}
        else:  # XEP-0077#precedence: a data form goes before the fields
            values = _values(form)
        return cls(values.get("username", ""), values.get("password", ""))


def _values(form: Element) -> dict[str, str]:
    if form.get("type") != "submit":
        raise StanzaError("bad-request", "a form that is sent is of type submit")
    values = {}
    for field in form.each("field"):
        value = field.child("value")
        if value is not None:
            values[field.attrs.get("var", "")] = value.text()
    return values


def blank(instructions: str) -> Element:
    """What is to be filled in, as fields and as a data form (XEP-0077#extensibility)."""
    form = Element("x", ns.DATA_FORMS, {"type": "form"})
    form.children = [
        text_element("instructions", ns.DATA_FORMS, instructions),
        _field("FORM_TYPE", "hidden", text_element("value", ns.DATA_FORMS, NS)),
        _field("username", "text-single", Element("required", ns.DATA_FORMS), label="User name"),
        _field("password", "text-private", Element("required", ns.DATA_FORMS), label="Password"),
    ]
    return Element(
        "query",
        NS,
        children=[
            text_element("instructions", NS, instructions),
            Element("username", NS),
            Element("password", NS),
            form,
        ],
    )


def _field(var: str, type: str, child: Element, *, label: str = "") -> Element:
    attrs = {"var": var, "type": type}
    if label:
        attrs["label"] = label
    return Element("field", ns.DATA_FORMS, attrs, [child])


async def keys_of(password: str, passwords: Passwords, *, least: int) -> Credentials:
    """The keys of a new ``password`` of at least ``least`` characters; ``StanzaError`` if it can be none."""
    if len(password) < least:
        raise StanzaError("not-acceptable", f"a password has at least {least} characters")
    try:
        return await passwords.hash(password)
    except PasswordError as err:
        raise StanzaError("not-acceptable", str(err)) from err
    except TooBusy as err:
        raise StanzaError("resource-constraint", "too many passwords wait to be set; try again soon") from err
