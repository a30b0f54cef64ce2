"""XEP-0198: a client that lost its connection goes on where it was: nothing is missed, nothing comes twice."""

from __future__ import annotations

import asyncio

from tests.support.acknowledging import (
    BALCONY,
    JULIET,
    PHONE,
    ROMEO,
    SECRET,
    STATE,
    R,
    a,
    came,
    chat,
    couple,
    sleepers,
)
from tests.support.harness import Harness
from tests.support.kept import HeldBack
from tests.support.mail import bodies
from xmppd.clock import stamp


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


async def test_who_is_back_may_stay(server: Harness) -> None:
    juliet, romeo = await couple(server)
    timers = server.clock.pending
    juliet.cut()
    again = server.unbound(BALCONY)
    await again.resume(juliet, 0)
    assert server.clock.pending == timers
    await server.advance(10_000)
    await romeo.send(chat("1"))
    assert "message" in [element.name for element in again.received]


async def test_what_a_client_sent_before_it_was_lost_is_in_the_count(held: Harness, store: HeldBack) -> None:
    juliet, _ = await couple(held)
    store.hold("append")
    juliet.send_nowait(chat("1", ROMEO) + chat("2", ROMEO) + "<presence><show>away</show></presence>")
    juliet.cut()
    again = held.unbound(BALCONY)
    resuming = asyncio.create_task(again.resume_nowait(juliet.sm_id, 0))
    await held.pass_by()
    assert not resuming.done()
    store.let_go()
    answer = await resuming
    await held.settle()
    assert answer.get("h") == "3"
    again.expect(f"<presence from='{BALCONY}' to='{JULIET}'><show>away</show></presence>", R)


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
    assert bodies(phone) == ["2"]


# What waits while the connection is away


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
    await romeo.send(chat("0") + chat("0", more=SECRET))
    juliet.cut()
    await server.advance(60)
    await romeo.send(chat("1") + chat("2", more=SECRET))
    await server.advance(30)
    again = server.unbound(BALCONY)
    await again.resume(juliet, 0)
    delays = [element.child("delay", "urn:xmpp:delay") for element in again.received[:4]]
    stamps = [delay.get("stamp") if delay is not None else None for delay in delays]
    assert stamps == [stamp(server.clock.now() - ago) for ago in (90, 90, 30, 30)]


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


# While it resumes


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


async def test_of_two_who_resume_at_once_the_later_one_goes_on(held: Harness, store: HeldBack) -> None:
    juliet, romeo = await couple(held)
    store.hold("append")
    juliet.send_nowait(chat("on its way", ROMEO))
    juliet.cut()
    first, second = held.unbound(BALCONY), held.unbound(BALCONY)
    one = asyncio.create_task(first.resume_nowait(juliet.sm_id, 0))
    await held.pass_by()
    two = asyncio.create_task(second.resume_nowait(juliet.sm_id, 0))
    await held.pass_by()
    store.let_go()
    assert [(await one).name, (await two).name] == ["error", "resumed"]
    assert first.error is not None
    assert first.error.condition == "conflict"
    await held.settle()
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
            resuming = asyncio.create_task(again.resume_nowait(juliet.sm_id, 1))
            for _ in range(step):
                await asyncio.sleep(0)
            romeo.send_nowait(chat("3") + chat("4"))
            await resuming
            await each.settle()
            assert bodies(again) == ["1", "2", "3", "4"], step
