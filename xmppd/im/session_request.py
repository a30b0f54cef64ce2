"""The session request of RFC 3921#3, which RFC 6121 has dropped: older clients still send it after binding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from xmppd import ns
from xmppd.routing.iq import At, IqTable, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.xml.element import Element

OWNER: Final = "core"


@dataclass(frozen=True, slots=True)
class SessionRequest:
    TAG: ClassVar[Name] = Name(ns.SESSION, "session")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


async def on_session(request: Request[SessionRequest], outbox: Outbox) -> None:
    """Binding has established everything already."""


def register(iqs: IqTable) -> None:
    """RFC 3921#3 addresses it to the server; some clients leave the address out."""
    iqs.add("set", SessionRequest, on_session, (At.SERVER, At.OWN), OWNER)
