"""XEP-0198: who may not go on with a session, and what the server tells them."""

from __future__ import annotations

import pytest

from tests.support.acknowledging import BALCONY, GONE, PHONE, ROMEO, a, chat, couple, sleepers
from tests.support.harness import Harness
from tests.support.kept import HeldBack
from xmppd.stream.management import NS


@pytest.mark.parametrize("enable", [None, "", "resume='false'"])
async def test_who_did_not_ask_for_it_is_gone_with_the_connection(
    server: Harness, enable: str | None
) -> None:
    juliet = await server.client(BALCONY)
    if enable is not None:
        await juliet.enable(enable)
    await juliet.close()
    assert server.node.core.directory.sessions == []
    again = server.unbound(BALCONY)
    assert (await again.resume_nowait("", 0)).attrs == {}


async def test_nobody_goes_on_with_the_session_of_somebody_else(server: Harness) -> None:
    juliet, _ = await couple(server)
    juliet.cut()
    thief = server.unbound(ROMEO)
    answer = await thief.resume_nowait(juliet.sm_id, 0)
    assert (answer.name, answer.attrs) == ("failed", {})
    await server.advance(601)
    # not even how much it had handled is told
    assert (await thief.resume_nowait(juliet.sm_id, 0)).attrs == {}
    assert (await server.unbound(BALCONY).resume(juliet, 0)).attrs == {"h": "0"}


@pytest.mark.parametrize("id", ["", "x", "é", "id", "\U0001f600"])
async def test_an_id_that_was_never_given_is_nobody_s(server: Harness, id: str) -> None:
    juliet, _ = await couple(server)
    juliet.cut()
    answer = await server.unbound(BALCONY).resume_nowait(id, 0)
    assert (answer.name, answer.attrs) == ("failed", {})
    assert sleepers(server) == 1


async def test_who_has_handled_more_than_was_sent_is_told_and_begins_anew(server: Harness) -> None:
    juliet, romeo = await couple(server)
    await romeo.send(chat("1"))
    juliet.cut()
    await romeo.send(chat("2"))  # it was not sent to her
    again = server.unbound(BALCONY)
    assert (await again.resume(juliet, 2)).name == "error"
    assert again.error is not None
    assert (again.error.condition, again.error.extra) == (
        "undefined-condition",
        ("handled-count-too-high", NS, {"h": "2", "send-count": "1"}),
    )
    answer = await server.unbound(BALCONY).resume(juliet, 1)
    assert (answer.name, answer.attrs) == ("failed", {"h": "0"})
    romeo.expect(GONE)
    phone = await server.client(PHONE)
    await phone.send("<presence/>")
    assert [element.name for element in phone.received] == ["presence", "message", "message"]


async def test_who_knows_less_than_was_acknowledged_begins_anew(server: Harness) -> None:
    juliet, romeo = await couple(server)
    await romeo.send(chat("1") + chat("2"))
    await juliet.send(a(2))
    juliet.cut()
    answer = await server.unbound(BALCONY).resume(juliet, 1)
    assert answer.name == "failed"
    assert sleepers(server) == 0


async def test_who_is_too_late_learns_what_was_handled_and_may_bind(server: Harness) -> None:
    juliet, _ = await couple(server)
    await juliet.send(chat("1", ROMEO) + chat("2", ROMEO))
    juliet.cut()
    await server.advance(601)
    again = server.unbound(BALCONY)
    answer = await again.resume(juliet, 0)
    assert (answer.name, answer.get("h")) == ("failed", "2")
    assert answer.child("item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas") is not None
    await again.bind()
    assert again.session is not juliet.session


async def test_presence_that_came_too_late_to_be_shown_is_in_the_count(
    held: Harness, store: HeldBack
) -> None:
    """Else the client would send again what is behind it, and was taken."""
    juliet, romeo = await couple(held)
    store.hold("append")
    away = "<presence><show>away</show></presence>"
    juliet.send_nowait(chat("1", ROMEO) + away + away + chat("2", ROMEO) + away + chat("3", ROMEO))
    juliet.cut()
    held.clock.advance(601)
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert [element.name for element in romeo.received].count("message") == 3
    answer = await held.unbound(BALCONY).resume(juliet, 0)
    assert (answer.name, answer.get("h")) == ("failed", "6")


async def test_what_is_not_known_is_not_told(held: Harness, store: HeldBack) -> None:
    """Of two messages one was handled at once and the other is on its way, when another connection takes the place."""
    juliet, _ = await couple(held)
    store.hold("append")
    juliet.send_nowait(chat("1", ROMEO) + "<message to='@' type='chat'/>")
    juliet.cut()
    await held.unbound(BALCONY).bind()
    answer = await held.unbound(BALCONY).resume_nowait(juliet.sm_id, 0)
    assert (answer.name, answer.attrs) == ("failed", {})
