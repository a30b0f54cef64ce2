"""XEP-0199: XMPP Ping. The server answers pings; that it sends them too is the keepalive's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from xmppd.extension import Extension, NoOptions, Setup
from xmppd.routing.disco import Entity
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.xml.element import Element

NS: Final = "urn:xmpp:ping"


@dataclass(frozen=True, slots=True)
class Ping:
    TAG: ClassVar[Name] = Name(NS, "ping")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


async def on_ping(request: Request[Ping], outbox: Outbox) -> None:
    return None


def setup(s: Setup, config: NoOptions) -> None:
    s.feature(NS, at=(Entity.SERVER, Entity.ACCOUNT))
    # XEP-0199#c2s: to the server, or to the own account, which stands for it
    s.iq("get", Ping, on_ping, (At.SERVER, At.OWN))


EXTENSION: Final = Extension(
    name="ping",
    xep="0199",
    version="2.0.1",
    summary="Clients and other servers can check that the server still answers.",
    config=NoOptions,
    setup=setup,
)
