"""The stages between two people: their order, and what each verdict does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xmppd.errors import StanzaError
from xmppd.jid import Jid
from xmppd.routing.pipeline import PASS, Bounce, Drop, Inbound, Outbound, Pipeline, Replace, Stage, Verdict
from xmppd.sessions.account import Account
from xmppd.stanza import Iq, Message, Presence, Stanza

JULIET, ROMEO = Jid.parse("juliet@capulet.lit/balcony"), Jid.parse("romeo@montague.lit")
ACCOUNT = Account(1, ROMEO)


def message(id: str = "1") -> Message:
    return Message(type="chat", sender=JULIET, to=ROMEO, id=id)


def noting(notes: list[str], name: str, verdict: Verdict = PASS) -> Callable[[Stanza, Account], Verdict]:
    def handle(stanza: Stanza, account: Account) -> Verdict:
        notes.append(f"{name} {stanza.id}")
        assert account is ACCOUNT
        return verdict

    return handle


def test_without_handlers_everything_passes() -> None:
    pipeline, stanza = Pipeline(), message()
    assert pipeline.outbound(stanza, ACCOUNT) is stanza
    assert pipeline.inbound(stanza, ACCOUNT) is stanza


@pytest.mark.parametrize("side", [Outbound, Inbound])
def test_the_stages_come_in_the_order_of_the_enumeration_and_the_sides_are_apart(
    side: type[Outbound | Inbound],
) -> None:
    pipeline, notes = Pipeline(), list[str]()
    stages: list[Stage] = list(side)
    for stage in reversed(stages):
        pipeline.add(stage, Message, noting(notes, stage.name), "test")
    pipeline.add(stages[0], Message, noting(notes, "again"), "test")
    mine, other = (
        (pipeline.outbound, pipeline.inbound) if side is Outbound else (pipeline.inbound, pipeline.outbound)
    )
    mine(message(), ACCOUNT)
    assert notes == [f"{stages[0].name} 1", "again 1", *(f"{stage.name} 1" for stage in stages[1:])]
    notes.clear()
    other(message(), ACCOUNT)
    assert notes == []


def test_a_handler_sees_only_the_kinds_that_it_asked_for() -> None:
    pipeline, notes = Pipeline(), list[str]()
    pipeline.add(Inbound.BLOCK, Presence, noting(notes, "presence"), "test")
    pipeline.inbound(message(), ACCOUNT)
    pipeline.inbound(Iq(type="get", sender=JULIET, to=ROMEO, id="2"), ACCOUNT)
    pipeline.inbound(Presence(type="", sender=JULIET, to=ROMEO, id="3"), ACCOUNT)
    assert notes == ["presence 3"]


def test_what_is_replaced_goes_on_as_its_replacement() -> None:
    pipeline, notes = Pipeline(), list[str]()
    other = message("other")
    pipeline.add(Inbound.BLOCK, Message, noting(notes, "block", Replace(other)), "test")
    pipeline.add(Inbound.FILTER, Message, noting(notes, "filter"), "test")
    assert pipeline.inbound(message(), ACCOUNT) is other
    assert notes == ["block 1", "filter other"]


def test_what_is_dropped_or_bounced_goes_no_further() -> None:
    error = StanzaError("forbidden")
    pipeline, notes = Pipeline(), list[str]()
    pipeline.add(Inbound.BLOCK, Message, noting(notes, "drop", Drop("a reason")), "test")
    pipeline.add(Outbound.BLOCK, Message, noting(notes, "bounce", Bounce(error)), "test")
    pipeline.add(Inbound.FILTER, Message, noting(notes, "never"), "test")
    pipeline.add(Outbound.ANNOTATE, Message, noting(notes, "never"), "test")
    assert pipeline.inbound(message(), ACCOUNT) is None
    with pytest.raises(StanzaError) as raised:
        pipeline.outbound(message(), ACCOUNT)
    assert raised.value is error
    assert notes == ["drop 1", "bounce 1"]


def test_whose_a_handler_is_can_be_told() -> None:
    pipeline = Pipeline()
    pipeline.add(Inbound.BLOCK, Message, noting([], "x"), "blocking")
    (registration,) = pipeline.registrations
    assert (registration.stage, registration.kind, registration.owner) == (Inbound.BLOCK, Message, "blocking")
