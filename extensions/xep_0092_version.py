"""XEP-0092: Software Version, of the server."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

from msgspec import Meta, Struct

from xmppd import __version__
from xmppd.extension import Extension, Setup
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.xml.element import Element, text_element

NS: Final = "jabber:iq:version"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server tells about its software."""

    # XEP-0092#security: there must be a way to keep it secret
    show_os: Annotated[bool, Meta(description="Whether to tell the name of the operating system too.")] = (
        False
    )


@dataclass(frozen=True, slots=True)
class VersionQuery:
    TAG: ClassVar[Name] = Name(NS, "query")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


class Version:
    def __init__(self, config: Config) -> None:
        self._answer = Element(
            "query",
            NS,
            children=[text_element("name", NS, "xmppd"), text_element("version", NS, __version__)],
        )
        if config.show_os:
            self._answer.children.append(text_element("os", NS, platform.system()))

    async def on_version(self, request: Request[VersionQuery], outbox: Outbox) -> Element:
        return self._answer


def setup(s: Setup, config: Config) -> None:
    s.feature(NS)
    s.iq("get", VersionQuery, Version(config).on_version, (At.SERVER,))


EXTENSION: Final = Extension(
    name="version",
    xep="0092",
    version="1.1",
    summary="Clients can ask which version of the server is running.",
    config=Config,
    setup=setup,
)
