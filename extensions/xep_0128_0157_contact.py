"""XEP-0157: Contact Addresses for XMPP Services, told as extended information (XEP-0128) of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from xmppd.config.values import listed
from xmppd.extension import Extension, Setup, Xep
from xmppd.routing.disco import Form

FORM_TYPE: Final = "http://jabber.org/network/serverinfo"


def _uri(value: object, _: Path) -> str:
    """An absolute URI (XEP-0157#xmpp)."""
    if not isinstance(value, str):
        raise ValueError("it is no text")
    try:
        parts = urlsplit(value)
    except ValueError as err:
        raise ValueError(f"{value!r}: {err}") from err
    if not parts.scheme or not (parts.netloc or parts.path):
        remedy = f"; write mailto:{value} or xmpp:{value}" if "@" in value else ""
        raise ValueError(f"{value!r} is no URI{remedy}")
    if not value.isprintable() or " " in value:
        raise ValueError(f"{value!r} holds a character that no URI has")
    return value


_URIS: Final = listed(
    _uri, tuple, 'a list of URIs such as ["mailto:help@example.org", "xmpp:help@example.org"]'
)


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom people can turn to; what is listed here is public. Nothing is published while all lists are empty."""

    abuse_addresses: Annotated[tuple[str, ...], _URIS, Meta(description="For reports of abuse.")] = ()
    admin_addresses: Annotated[tuple[str, ...], _URIS, Meta(description="The administrators.")] = ()
    feedback_addresses: Annotated[tuple[str, ...], _URIS, Meta(description="For praise and complaints.")] = ()
    sales_addresses: Annotated[tuple[str, ...], _URIS, Meta(description="For those who want to buy.")] = ()
    security_addresses: Annotated[
        tuple[str, ...], _URIS, Meta(description="For reports of security problems.")
    ] = ()
    status_addresses: Annotated[
        tuple[str, ...], _URIS, Meta(description="Where to see whether the service works.")
    ] = ()
    support_addresses: Annotated[tuple[str, ...], _URIS, Meta(description="For users who need help.")] = ()

    def fields(self) -> list[tuple[str, tuple[str, ...]]]:
        """As the fields of the form are called, without empty ones (XEP-0157#registrar-formtype)."""
        named = ((name.replace("_", "-"), getattr(self, name)) for name in self.__struct_fields__)
        return [(name, addresses) for name, addresses in named if addresses]


def setup(s: Setup, config: Config) -> None:
    if fields := config.fields():
        s.form(Form(FORM_TYPE, fields))


EXTENSION: Final = Extension(
    name="contact",
    xep="0157",
    version="1.1.1",
    summary="People can find out whom to turn to about the service.",
    config=Config,
    setup=setup,
    also=(Xep(number="0128", version="1.0.1"),),
    requires=("disco",),
)
