"""XEP-0198: a client loses its connection and goes on where it was; nobody else can, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.clock import stamp
from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.sessions.asleep import Asleep
from xmppd.sessions.session import Session
from xmppd.storage.archive import Row
from xmppd.storage.interfaces import StorageUnavailable
from xmppd.stream.management import NS

JULIET = "juliet@capulet.lit"
BALCONY = f"{JULIET}/balcony"
PHONE = f"{JULIET}/phone"
ROMEO = "romeo@capulet.lit/orchard"
R = f"<r xmlns='{NS}'/>"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
GONE = f"<presence from='{BALCONY}' to='romeo@capulet.lit' type='unavailable'/>"


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as harness:
        yield harness


def a(h: int) -> str:
    return f"<a xmlns='{NS}' h='{h}'/>"


def chat(text: str, to: str = BALCONY) -> str:
    return f"<message to='{to}' type='chat'><body>{text}</body></message>"


def came(text: str, to: str = BALCONY, more: str = "") -> str:
    return f"<message from='{ROMEO}' to='{to}' type='chat'><body>{text}</body>{more}</message>"


def late(server: Harness, text: str, ago: float, to: str = BALCONY) -> str:
    at = stamp(server.clock.now() - ago)
    return came(text, to, f"<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{at}'/>")


async def couple(server: Harness) -> tuple[Client, Client]:
    """Juliet, who acknowledges, and Romeo, who may see her."""
    juliet = await server.client(BALCONY, available=True)
    romeo = await server.client(ROMEO, available=True)
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    await juliet.send("<presence to='romeo@capulet.lit' type='subscribed'/>")
    await juliet.enable()
    juliet.received.clear()
    romeo.received.clear()
    return juliet, romeo


def sleepers(server: Harness) -> int:
    return sum(isinstance(each.link, Asleep) for each in server.node.core.directory.sessions)


async def test_nobody_notices_and_nothing_is_missed_or_doubled(server: Harness) -> None:
    juliet, romeo = await couple(server)
    for number in range(3):
        await romeo.send(chat(str(number)))
    juliet.expect(came("0"), came("1"), came("2"))
    juliet.cut()
    await romeo.send(chat("3") + chat("4"))
    assert sleepers(server) == 1
    again = server.unbound(BALCONY)
    answer = await again.resume(juliet, 2)
    assert (answer.name, answer.get("h"), answer.get("previd")) == ("resumed", "0", juliet.sm_id)
    again.expect(came("2"), came("3"), came("4"), R)
    again.expect_nothing()
    romeo.expect_nothing()
    await again.send(a(5) + chat("I am here", ROMEO) + R)
    again.expect(a(1))
    await romeo.send(chat("5"))
    again.expect(came("5"))
    assert juliet.missed == []
    assert sleepers(server) == 0


async def test_it_may_be_lost_and_resumed_again_and_again(server: Harness) -> None:
    juliet, romeo = await couple(server)
    current = juliet
    for number in range(5):
        current.cut()
        await romeo.send(chat(str(number)))
        again = server.unbound(BALCONY)
        answer = await again.resume(current, number)
        assert answer.get("h") == str(number)
        again.expect(came(str(number)), R)
        await again.send(chat("yes", ROMEO))
        current = again
    assert len(server.node.core.directory) == 2


async def test_what_a_client_sent_before_it_was_lost_is_in_the_count(server: Harness) -> None:
    juliet, _ = await couple(server)
    gate = asyncio.Event()
    append = server.stores.archive.append

    async def slow(messages):  # type: ignore[no-untyped-def]
        await gate.wait()
        return await append(messages)

    server.stores.archive.append = slow  # type: ignore[method-assign]
    juliet.send_nowait(chat("1", ROMEO) + chat("2", ROMEO) + "<presence><show>away</show></presence>")
    juliet.cut()
    again = server.unbound(BALCONY)
    resuming = asyncio.ensure_future(again.resume_nowait(juliet.sm_id, 0))
    await server.pass_by()
    assert not resuming.done()
    gate.set()
    answer = await resuming
    await server.settle()
    assert answer.get("h") == "3"
    again.expect(f"<presence from='{BALCONY}' to='{JULIET}'><show>away</show></presence>", R)
    server.stores.archive.append = append  # type: ignore[method-assign]


async def test_presence_carbons_and_roster_pushes_stay_and_the_client_counts_as_active(
    server: Harness,
) -> None:
    juliet, romeo = await couple(server)
    phone = await server.client(PHONE, available=True)
    await juliet.send("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    await juliet.send("<iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>")
    await juliet.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    await romeo.send(f"<presence to='{BALCONY}'><show>away</show></presence>")
    handled = len(juliet.received)
    juliet.received.clear()
    juliet.cut()
    await phone.send(chat("I am out", ROMEO))
    await phone.send(
        "<iq type='set' id='3'><query xmlns='jabber:iq:roster'><item jid='nurse@capulet.lit'/></query></iq>"
    )
    again = server.unbound(BALCONY)
    await again.resume(juliet, handled)
    names = [element.name for element in again.received]
    assert names == ["presence", "message", "iq", "r"]
    again.received.clear()
    await romeo.send(f"<presence to='{BALCONY}'><show>dnd</show></presence>")
    again.expect(f"<presence from='{ROMEO}' to='{BALCONY}'><show>dnd</show></presence>")


async def test_messages_that_come_late_say_when_they_were_sent(server: Harness) -> None:
    juliet, romeo = await couple(server)
    await romeo.send(chat("0"))
    await romeo.send(
        f"<message to='{BALCONY}' type='chat'><body>0</body><no-store xmlns='urn:xmpp:hints'/></message>"
    )
    juliet.cut()
    await server.advance(60)
    await romeo.send(
        chat("1")
        + f"<message to='{BALCONY}' type='chat'><body>2</body><no-store xmlns='urn:xmpp:hints'/></message>"
    )
    await server.advance(30)
    again = server.unbound(BALCONY)
    await again.resume(juliet, 0)
    delays = [element.child("delay", "urn:xmpp:delay") for element in again.received[:4]]
    stamps = [delay.get("stamp") if delay is not None else None for delay in delays]
    assert stamps == [stamp(server.clock.now() - ago) for ago in (90, 90, 30, 30)]


async def test_who_is_back_may_stay(server: Harness) -> None:
    juliet, romeo = await couple(server)
    timers = pending(server)
    juliet.cut()
    again = server.unbound(BALCONY)
    await again.resume(juliet, 0)
    assert pending(server) == timers
    await server.advance(10_000)
    await romeo.send(chat("1"))
    assert "message" in [element.name for element in again.received]


def pending(server: Harness) -> int:
    """How many timers run."""
    return sum(timer.callback is not None for _, _, timer in server.clock._timers)


async def test_what_is_acknowledged_by_resuming_is_settled(server: Harness) -> None:
    juliet, romeo = await couple(server)
    for number in range(3):
        await romeo.send(chat(str(number)))
    juliet.cut()
    again = server.unbound(BALCONY)
    await again.resume(juliet, 2)
    again.expect(came("2"), R)
    server.node.clients.resumption.end(again.session)
    phone = await server.client(PHONE)
    await phone.send("<presence/>")
    bodies = [element.child("body") for element in phone.received if element.name == "message"]
    assert [body.text() for body in bodies if body] == ["2"]


async def test_presence_that_was_held_back_for_an_inactive_client_comes_too(server: Harness) -> None:
    juliet, romeo = await couple(server)
    await juliet.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    await romeo.send(f"<presence to='{BALCONY}'><show>away</show></presence>")
    juliet.cut()
    await romeo.send(f"<presence to='{BALCONY}'><show>dnd</show></presence>")
    again = server.unbound(BALCONY)
    await again.resume(juliet, 0)
    again.expect(f"<presence from='{ROMEO}' to='{BALCONY}'><show>dnd</show></presence>", R)


async def test_of_presence_and_chat_states_only_the_newest_waits(server: Harness) -> None:
    juliet, romeo = await couple(server)
    juliet.cut()
    for _ in range(20):
        await romeo.send(f"<presence to='{BALCONY}'><show>away</show></presence>")
        await romeo.send(f"<presence to='{BALCONY}'><show>dnd</show></presence>")
        await romeo.send(f"<message to='{BALCONY}' type='chat'>{STATE}</message>")
    again = server.unbound(BALCONY)
    await again.resume(juliet, 0)
    again.expect(f"<presence from='{ROMEO}' to='{BALCONY}'><show>dnd</show></presence>")
    assert [element.name for element in again.received] == ["message", "r"]
    again.received.clear()
    await romeo.send(f"<presence to='{BALCONY}'><show>away</show></presence>")
    again.expect(f"<presence from='{ROMEO}' to='{BALCONY}'><show>away</show></presence>")


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


async def test_presence_that_came_too_late_to_be_shown_is_in_the_count() -> None:
    """Else the client would send again what is behind it, and was taken."""
    store = HeldBack()
    async with Harness("capulet.lit", wrap=store.wrap) as server:
        juliet, romeo = await couple(server)
        store.hold("append")
        away = "<presence><show>away</show></presence>"
        juliet.send_nowait(chat("1", ROMEO) + away + away + chat("2", ROMEO) + away + chat("3", ROMEO))
        juliet.cut()
        server.clock.advance(601)
        await server.pass_by()
        store.let_go()
        await server.settle()
        assert [element.name for element in romeo.received].count("message") == 3
        answer = await server.unbound(BALCONY).resume(juliet, 0)
        assert (answer.name, answer.get("h")) == ("failed", "6")


async def test_the_client_says_for_how_long(server: Harness) -> None:
    juliet = await server.client(BALCONY)
    await juliet.enable("resume='true' max='30'")
    juliet.cut()
    await server.advance(31)
    assert server.node.core.directory.sessions == []


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


async def test_what_is_not_known_is_not_told(server: Harness) -> None:
    """Of two messages one was handled at once and the other is on its way, when another connection takes the place."""
    juliet, _ = await couple(server)
    gate = asyncio.Event()
    append = server.stores.archive.append

    async def slow(messages):  # type: ignore[no-untyped-def]
        await gate.wait()
        return await append(messages)

    server.stores.archive.append = slow  # type: ignore[method-assign]
    juliet.send_nowait(chat("1", ROMEO) + "<message to='@' type='chat'/>")
    juliet.cut()
    await server.unbound(BALCONY).bind()
    answer = await server.unbound(BALCONY).resume_nowait(juliet.sm_id, 0)
    assert (answer.name, answer.attrs) == ("failed", {})
    gate.set()
    await server.settle()
    server.stores.archive.append = append  # type: ignore[method-assign]


# While the old connection stands


async def test_the_old_connection_is_ended_with_conflict(server: Harness) -> None:
    juliet, romeo = await couple(server)
    await romeo.send(chat("1"))
    again = server.unbound(BALCONY)
    assert (await again.resume(juliet, 0)).name == "resumed"
    assert juliet.error is not None
    assert juliet.error.condition == "conflict"
    again.expect(came("1"), R)
    juliet.cut()  # as the transport will tell
    romeo.expect_nothing()
    await romeo.send(chat("2"))
    again.expect(came("2"))


async def test_of_two_who_resume_at_once_the_later_one_goes_on() -> None:
    for _ in range(3):
        async with Harness("capulet.lit") as each:
            juliet, romeo = await couple(each)
            gate = asyncio.Event()
            append = each.stores.archive.append

            async def slow(messages, gate=gate, append=append):  # type: ignore[no-untyped-def]
                await gate.wait()
                return await append(messages)

            each.stores.archive.append = slow  # type: ignore[method-assign]
            juliet.send_nowait(chat("on its way", ROMEO))
            juliet.cut()
            first, second = each.unbound(BALCONY), each.unbound(BALCONY)
            one = asyncio.ensure_future(first.resume_nowait(juliet.sm_id, 0))
            await each.pass_by()
            two = asyncio.ensure_future(second.resume_nowait(juliet.sm_id, 0))
            await each.pass_by()
            gate.set()
            answers = [(await one).name, (await two).name]
            assert answers == ["error", "resumed"]
            assert first.error is not None
            assert first.error.condition == "conflict"
            await each.settle()
            await romeo.send(chat("1"))
            second.expect(came("1"))
            first.expect_nothing()


async def test_a_message_that_comes_while_it_resumes_comes_once_and_in_order() -> None:
    """At every step of it."""
    for step in range(12):
        async with Harness("capulet.lit") as each:
            juliet, romeo = await couple(each)
            await romeo.send(chat("0") + chat("1"))
            juliet.cut()
            await romeo.send(chat("2"))
            again = each.unbound(BALCONY)
            resuming = asyncio.ensure_future(again.resume_nowait(juliet.sm_id, 1))
            for _ in range(step):
                await asyncio.sleep(0)
            romeo.send_nowait(chat("3") + chat("4"))
            await resuming
            await each.settle()
            bodies = [element.child("body") for element in again.received if element.name == "message"]
            assert [body.text() if body else "" for body in bodies] == ["1", "2", "3", "4"], step


# What ends it


@pytest.mark.parametrize("how", ["bind", "kick", "password", "delete", "shutdown"])
async def test_a_session_that_sleeps_can_be_ended(server: Harness, how: str) -> None:
    juliet, _ = await couple(server)
    timers = pending(server)
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
    assert pending(server) <= timers + 1, "cursors that are to be saved"
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
    hint = "<no-store xmlns='urn:xmpp:hints'/>"
    await romeo.send(f"<message to='{BALCONY}' type='chat'><body>psst</body>{hint}</message>")
    at = stamp(server.clock.now())
    await romeo.send(f"<message to='{JULIET}' type='chat'><body>for all</body>{hint}</message>")
    await romeo.send(f"<message to='{BALCONY}' type='chat'>{STATE}</message>")
    assert [element.name for element in phone.received] == ["message"], "the one for all"
    phone.received.clear()
    await server.advance(601)
    messages = [element for element in phone.received if element.name == "message"]
    phone.received = messages
    phone.expect(came("psst", more=f"{hint}<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{at}'/>"))
    phone.expect_nothing()


async def test_one_that_others_have_already_does_not(server: Harness) -> None:
    juliet, romeo = await couple(server)
    phone = await server.client(PHONE, available=True)
    await phone.send("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    juliet.cut()
    hint = "<no-store xmlns='urn:xmpp:hints'/>"
    await romeo.send(f"<message to='{BALCONY}' type='chat'><body>psst</body>{hint}</message>")
    await romeo.send(f"<message to='{JULIET}' type='chat'><body>all</body>{hint}</message>")
    assert len([element for element in phone.received if element.name == "message"]) == 2
    phone.received.clear()
    await server.advance(601)
    assert [element.name for element in phone.received] == ["presence"]


# Bounds


async def test_a_long_sleep_costs_rows_and_everything_comes() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 16384") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(90):
            await romeo.send(chat(f"{number} {'x' * 1_000}"))
        sm = juliet.session.sm
        assert sm is not None
        assert sum(len(data or b"") for data, _, _ in sm.unacknowledged()) < 16_384
        again = server.unbound(BALCONY)
        await again.resume(juliet, 0)
        got = [element for element in again.received if element.name == "message"]
        assert [int((element.child("body") or element).text().split()[0]) for element in got] == list(
            range(90)
        )
        names = {(element.child("stanza-id", "urn:xmpp:sid:0") or element).get("id") for element in got}
        assert len(names) == 90
        await again.send(a(90))
        assert len(sm) == 0
        mailbox = juliet.session.account.mailbox
        assert mailbox is not None
        assert not mailbox._given


async def test_rows_that_were_erased_meanwhile_are_left_out_and_the_count_is_right() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 262144") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(40):
            await romeo.send(chat(str(number)))
        rows = list(juliet.session.unacknowledged_rows())
        await server.stores.archive.erase(juliet.session.account.id, before=rows[20])
        again = server.unbound(BALCONY)
        await again.resume(juliet, 0)
        got = [element for element in again.received if element.name == "message"]
        bodies = [int((element.child("body") or element).text()) for element in got]
        assert bodies == [*range(10), *range(20, 40)]
        await again.send(a(len(bodies)))
        assert again.error is None
        assert len(juliet.session.sm or ()) == 0
        mailbox = juliet.session.account.mailbox
        assert mailbox is not None
        assert mailbox.cursor().upto >= rows[-1], "nobody waits for what is not there any more"


async def test_what_comes_while_rows_are_read_is_behind_them() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 16384") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(30):
            await romeo.send(chat(str(number)))
        again = server.unbound(BALCONY)
        again.stop_reading()
        answer = await again.resume_nowait(juliet.sm_id, 0)
        assert answer.name == "resumed"
        romeo.send_nowait(chat("30"))
        romeo.send_nowait(
            f"<message to='{BALCONY}' type='chat'><body>31</body><no-store xmlns='urn:xmpp:hints'/></message>"
        )
        again.send_nowait(R)
        await server.pass_by()
        again.read_on()
        await server.settle()
        got = [element for element in again.received if element.name == "message"]
        assert [int((element.child("body") or element).text()) for element in got] == list(range(32))
        await again.send(a(32))
        assert again.error is None


async def test_a_connection_that_is_lost_while_it_catches_up_is_resumed_again() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 16384") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(30):
            await romeo.send(chat(str(number)))
        second = server.unbound(BALCONY)
        second.stop_reading()
        await second.resume_nowait(juliet.sm_id, 0)
        await server.pass_by()
        got = len(second.received)
        assert 0 < got < 30
        second.cut()
        await server.settle()
        third = server.unbound(BALCONY)
        await third.resume(juliet, got)
        bodies = [element.child("body") for element in third.received if element.name == "message"]
        assert [int(body.text()) for body in bodies if body] == list(range(got, 30))


async def test_who_takes_over_while_rows_are_read_gets_everything_and_the_other_nothing_more() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 16384") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(30):
            await romeo.send(chat(str(number)))
        gates: list[asyncio.Event] = []
        owed = server.stores.archive.owed

        async def slow(owner: int, *, after: int, limit: int) -> tuple[list[Row], int]:
            gates.append(asyncio.Event())
            await gates[-1].wait()
            return await owed(owner, after=after, limit=limit)

        server.stores.archive.owed = slow  # type: ignore[method-assign]
        second, third = server.unbound(BALCONY), server.unbound(BALCONY)
        await second.resume_nowait(juliet.sm_id, 0)
        await server.pass_by()
        got = len(second.received)
        await third.resume_nowait(juliet.sm_id, got)
        await server.pass_by()
        for gate in gates:
            gate.set()
            await server.pass_by()
        await server.settle()
        server.stores.archive.owed = owed  # type: ignore[method-assign]
        bodies = [element.child("body") for element in third.received if element.name == "message"]
        assert [int(body.text()) for body in bodies if body] == list(range(got, 30))
        assert len(second.received) == got
        assert second.missed == []


async def test_a_storage_that_fails_while_it_catches_up_costs_the_connection_only() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 16384") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(30):
            await romeo.send(chat(str(number)))
        owed = server.stores.archive.owed

        async def fail(owner: int, *, after: int, limit: int) -> tuple[list[Row], int]:
            raise StorageUnavailable("for once")

        server.stores.archive.owed = fail  # type: ignore[method-assign]
        second = server.unbound(BALCONY)
        await second.resume(juliet, 0)
        assert second.error is not None
        assert second.error.condition == "internal-server-error"
        server.stores.archive.owed = owed  # type: ignore[method-assign]
        third = server.unbound(BALCONY)
        await third.resume(juliet, len(second.received))
        assert len([*second.received, *third.received]) == 30 + 1  # <r/>


async def test_too_much_that_is_in_no_archive_ends_the_sleep() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        await romeo.send(chat("kept"))
        secret = f"<message to='{BALCONY}' type='chat'><body>psst</body><no-store xmlns='urn:xmpp:hints'/></message>"
        for _ in range(10):
            await romeo.send(secret)
        assert sleepers(server) == 1
        await romeo.send(secret)
        assert sleepers(server) == 0
        answer = await server.unbound(BALCONY).resume(juliet, 0)
        assert answer.name == "failed"
        phone = await server.client(PHONE)
        await phone.send("<presence/>")
        assert "message" in [element.name for element in phone.received]


async def test_a_crowd_costs_the_resumption_until_it_is_acknowledged_but_not_the_stream() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        juliet, romeo = await couple(server)
        for _ in range(25):
            await romeo.send(f"<presence to='{BALCONY}'/>")
        assert juliet.error is None
        juliet.cut()
        assert (await server.unbound(BALCONY).resume(juliet, 3)).name == "failed"

        juliet = await server.client(BALCONY)
        await juliet.enable()
        for _ in range(25):
            await romeo.send(f"<presence to='{BALCONY}'/>")
        juliet.cut()
        again = server.unbound(BALCONY)
        assert (await again.resume(juliet, 24)).name == "resumed"
        again.expect(f"<presence from='{ROMEO}' to='{BALCONY}'/>", R)


async def test_who_never_acknowledges_is_closed() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        juliet, romeo = await couple(server)
        for number in range(150):
            await romeo.send(chat(str(number), JULIET))
        assert juliet.error is not None
        assert juliet.error.condition == "resource-constraint"
        assert juliet.session.over
        phone = await server.client(PHONE)
        await phone.send("<presence/>")
        got = [element for element in phone.received if element.name == "message"]
        assert len(got) == 150


# Several nodes


async def test_what_another_node_sends_waits_too_and_it_can_take_the_resource() -> None:
    async with Harness(nodes=2) as server:
        juliet = await server.client(BALCONY, available=True)
        await juliet.enable()
        romeo = await server.client(ROMEO, node=1, available=True)
        juliet.cut()
        await romeo.send(chat("1") + f"<presence to='{BALCONY}'/>")
        again = server.unbound(BALCONY)
        assert (await again.resume(juliet, 0)).name == "resumed"
        again.expect(came("1"), f"<presence from='{ROMEO}' to='{BALCONY}'/>", R)
        again.cut()
        # so far, only the node that has it resumes it
        other = server.unbound(BALCONY, node=1)
        assert (await other.resume(again, 2)).name == "failed"
        await other.bind()
        await server.settle()
        assert again.session.over
        await other.send("<presence/>")
        await romeo.send(chat("2"))
        assert other.received[-1].name == "message"
