"""Requests are dispatched by exact type, payload and address; a second handler for the same refuses to start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import pytest

from xmppd.errors import TakenTwice
from xmppd.jid import Jid
from xmppd.routing.iq import At, IqTable, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.sessions.account import Account
from xmppd.stanza import Iq
from xmppd.xml.element import Element

JULIET = Jid.parse("juliet@capulet.lit/balcony")


@dataclass(frozen=True, slots=True)
class Ping:
    TAG: ClassVar[Name] = Name("urn:ping", "ping")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


async def pong(request: Request[Ping], outbox: Outbox) -> None: ...


def iq(type: str = "get", name: str = "ping", space: str = "urn:ping") -> Iq:
    return Iq(type=type, sender=JULIET, to=None, id="1", children=["\n ", Element(name, space)])


def test_only_the_exact_request_finds_its_handler() -> None:
    table = IqTable()
    table.add("get", Ping, pong, (At.SERVER, At.OWN), "ping")
    for at in (At.SERVER, At.OWN):
        entry = table.find(iq(), at)
        assert entry is not None
        assert (entry.payload, entry.handler, entry.owner) == (Ping, pong, "ping")
    assert table.find(iq(), At.ACCOUNT) is None
    assert table.find(iq("set"), At.SERVER) is None
    assert table.find(iq(name="pong"), At.SERVER) is None
    assert table.find(iq(space="urn:other"), At.SERVER) is None
    assert table.find(Iq(type="get", sender=JULIET, to=None, id="1"), At.SERVER) is None


def test_a_second_handler_refuses_to_start_and_says_whose_they_are() -> None:
    table = IqTable()
    table.add("get", Ping, pong, (At.SERVER,), "ping")
    table.add("set", Ping, pong, (At.SERVER,), "other")
    with pytest.raises(
        TakenTwice, match="other and ping both handle iq get <ping xmlns='urn:ping'/> to the server"
    ):
        table.add("get", Ping, pong, (At.OWN, At.SERVER), "other")


def test_the_registrations_can_be_listed() -> None:
    table = IqTable()
    table.add("set", Ping, pong, (At.SERVER,), "b")
    table.add("get", Ping, pong, (At.SERVER, At.OWN), "a")
    name = Name("urn:ping", "ping")
    assert table.describe() == [
        ("get", name, At.OWN, "a"),
        ("get", name, At.SERVER, "a"),
        ("set", name, At.SERVER, "b"),
    ]


def test_a_handler_for_own_accounts_never_works_for_somebody_else() -> None:
    request = Request(iq(), Ping(), At.OWN, Account(1, JULIET.bare), None)
    assert request.sender == JULIET
    with pytest.raises(RuntimeError, match="from outside"):
        _ = request.own
