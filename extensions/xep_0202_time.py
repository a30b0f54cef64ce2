"""XEP-0202: Entity Time. The server tells its clock's time, always in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from xmppd.clock import Clock, stamp
from xmppd.extension import Extension, NoOptions, Setup
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.xml.element import Element, text_element

NS: Final = "urn:xmpp:time"


@dataclass(frozen=True, slots=True)
class TimeQuery:
    TAG: ClassVar[Name] = Name(NS, "time")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


class EntityTime:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def on_time(self, request: Request[TimeQuery], outbox: Outbox) -> Element:
        # XEP-0202#security: an offset would tell where the machine is
        return Element(
            "time",
            NS,
            children=[text_element("tzo", NS, "+00:00"), text_element("utc", NS, stamp(self._clock.now()))],
        )


def setup(s: Setup, config: NoOptions) -> None:
    s.feature(NS)
    s.iq("get", TimeQuery, EntityTime(s.core.clock).on_time, (At.SERVER,))


EXTENSION: Final = Extension(
    name="time",
    xep="0202",
    version="2.0",
    summary="Clients can ask for the server's time, in UTC.",
    config=NoOptions,
    setup=setup,
)
