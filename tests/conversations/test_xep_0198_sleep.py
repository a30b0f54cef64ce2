"""XEP-0198: how long a session without a connection sleeps, what ends it, and who then gets what it had."""

from __future__ import annotations

import gc

import pytest

from tests.support.acknowledging import (
    BALCONY,
    GONE,
    JULIET,
    PHONE,
    ROMEO,
    SECRET,
    STATE,
    came,
    chat,
    couple,
    sleepers,
)
from tests.support.harness import Harness
from xmppd.clock import stamp
from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.sessions.session import Session


async def test_after_the_time_it_is_over_and_others_hear_of_it(server: Harness) -> None:
    juliet, romeo = await couple(server)
    await romeo.send(chat("1"))
    juliet.cut()
    await server.advance(599)
    romeo.expect_nothing()
    await server.advance(2)
    romeo.expect(GONE)
    assert [session.jid for session in server.node.core.directory.sessions] == [romeo.jid]
    # what was not acknowledged is for whoever comes next, as the same message
    phone = await server.client(PHONE)
    await phone.send("<presence/>")
    first, second = juliet.received[-1], phone.received[-1]
    assert first.child("stanza-id", "urn:xmpp:sid:0") == second.child("stanza-id", "urn:xmpp:sid:0")
    assert second.child("body") is not None


async def test_the_client_says_for_how_long(server: Harness) -> None:
    juliet = await server.client(BALCONY)
    await juliet.enable("resume='true' max='30'")
    juliet.cut()
    await server.advance(31)
    assert server.node.core.directory.sessions == []


@pytest.mark.parametrize("how", ["bind", "kick", "password", "delete", "shutdown"])
async def test_a_session_that_sleeps_can_be_ended(server: Harness, how: str) -> None:
    juliet, _ = await couple(server)
    timers = server.clock.pending
    juliet.cut()
    core = server.node.core
    if how == "bind":
        await server.client(BALCONY)
    elif how == "kick":
        core.directory.kick(Jid.parse(JULIET), StreamError("policy-violation"))
    elif how == "password":
        await server.node.administration.set_password(Jid.parse(JULIET), "secret")
    elif how == "delete":
        await server.node.administration.delete(Jid.parse(JULIET))
    else:
        await server.node.clients.shut_down(StreamError("system-shutdown"), 0)
    await server.settle()
    assert juliet.session.over
    assert sleepers(server) == 0
    if how != "delete":
        assert (await server.unbound(BALCONY).resume(juliet, 0)).name == "failed"
    assert server.clock.pending <= timers + 1, "cursors that are to be saved"
    await server.advance(1_000)


async def test_a_session_that_slept_and_ended_leaves_the_memory_at_once(server: Harness) -> None:
    juliet = await server.client(BALCONY, available=True)
    await juliet.enable()
    juliet.cut()
    gc.collect()
    gc.disable()
    try:
        await server.advance(601)
        del juliet
        assert not any(type(each) is Session for each in gc.get_objects())
    finally:
        gc.enable()


async def test_while_the_node_stops_nobody_falls_asleep(server: Harness) -> None:
    juliet, _ = await couple(server)
    server.node.clients.resumption.close(StreamError("system-shutdown"))
    juliet.cut()
    assert juliet.session.over


async def test_one_who_comes_anew_takes_the_place_of_the_one_that_slept_longest() -> None:
    async with Harness(toml="[limits]\nresources_per_account = 2") as server:
        first, second = await server.client(f"{JULIET}/1"), await server.client(f"{JULIET}/2")
        await first.enable()
        await second.enable()
        with pytest.raises(Exception, match="resource-constraint"):
            await server.client(f"{JULIET}/3")
        second.cut()
        await server.advance(1)
        first.cut()
        await server.advance(1)
        await server.client(f"{JULIET}/3")
        assert (first.session.over, second.session.over) == (False, True)
        await server.client(f"{JULIET}/4")
        assert first.session.over


async def test_even_where_only_one_is_allowed() -> None:
    async with Harness(toml="[limits]\nresources_per_account = 1") as server:
        first = await server.client(f"{JULIET}/1", available=True)
        await first.enable()
        first.cut()
        second = await server.client(f"{JULIET}/2", available=True)
        romeo = await server.client(ROMEO)
        await romeo.send(chat("1", JULIET))
        second.expect(came("1", JULIET))
        assert first.session.over


# What nobody acknowledged and no archive has


async def test_requests_are_answered_and_trifles_forgotten(server: Harness) -> None:
    juliet, romeo = await couple(server)
    juliet.cut()
    await romeo.send(f"<iq type='get' id='q' to='{BALCONY}'><ping xmlns='urn:xmpp:ping'/></iq>")
    await romeo.send(f"<iq type='result' id='r' to='{BALCONY}'/>")
    await romeo.send(f"<presence to='{BALCONY}'><show>away</show></presence>")
    await romeo.send(f"<message to='{BALCONY}' type='chat'>{STATE}</message>")
    await romeo.send(f"<message to='{BALCONY}' type='headline'><body>news</body></message>")
    await server.advance(601)
    unavailable = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    romeo.expect_all(
        f"<iq from='{BALCONY}' to='{ROMEO}' type='error' id='q'><error type='cancel'>{unavailable}</error></iq>",
        GONE,
    )
    romeo.expect_nothing()


async def test_a_message_that_must_not_be_stored_goes_to_another_device(server: Harness) -> None:
    juliet, romeo = await couple(server)
    phone = await server.client(PHONE, available=True)
    juliet.cut()
    await romeo.send(chat("psst", more=SECRET))
    at = stamp(server.clock.now())
    await romeo.send(chat("for all", JULIET, SECRET))
    await romeo.send(f"<message to='{BALCONY}' type='chat'>{STATE}</message>")
    assert [element.name for element in phone.received] == ["message"], "the one for all"
    phone.received.clear()
    await server.advance(601)
    messages = [element for element in phone.received if element.name == "message"]
    phone.received = messages
    phone.expect(
        came("psst", more=f"{SECRET}<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{at}'/>")
    )
    phone.expect_nothing()


async def test_one_that_others_have_already_does_not(server: Harness) -> None:
    juliet, romeo = await couple(server)
    phone = await server.client(PHONE, available=True)
    await phone.send("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    juliet.cut()
    await romeo.send(chat("psst", more=SECRET))
    await romeo.send(chat("all", JULIET, SECRET))
    assert len([element for element in phone.received if element.name == "message"]) == 2
    phone.received.clear()
    await server.advance(601)
    assert [element.name for element in phone.received] == ["presence"]
