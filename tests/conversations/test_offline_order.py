"""Messages that come while kept ones are being given: each step of the archive is held back by the test (I1, I5)."""

from __future__ import annotations

import pytest

from tests.support.harness import Harness
from tests.support.kept import HeldBack
from tests.support.mail import JULIET, ROMEO, SECRET, bodies, coming, kept, live, presence, say, says, texts
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, NewMessage, NewRow


async def test_what_comes_while_the_kept_ones_are_loaded_stays_behind_them(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1) + say(2))
    store.hold("owed.done")
    romeo = await coming(held, "orchard")
    juliet.send_nowait(say(3) + say(4))
    await held.pass_by()
    assert bodies(romeo) == []
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1", "2", "3", "4"]
    assert await held.waiting(ROMEO) == 0


async def test_what_was_accepted_while_somebody_came_is_delivered_like_any_other(
    held: Harness, store: HeldBack
) -> None:
    """It stood in line for a moment: no delay is worth telling, and every device gets it."""
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.hold("owed.done")
    orchard = await coming(held, "orchard")
    home = await coming(held, "home")
    juliet.send_nowait(say(2))
    await held.pass_by()
    store.let_go()
    await held.settle()
    orchard.received = [element for element in orchard.received if element.name == "message"]
    home.received = [element for element in home.received if element.name == "message"]
    orchard.expect(kept(1), live(2))
    orchard.expect_nothing()
    home.expect(live(2))
    home.expect_nothing()


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_one_that_is_committed_when_the_last_look_is_over_is_not_stuck(
    held: Harness, store: HeldBack, point: str
) -> None:
    juliet = await held.client(JULIET)
    store.hold(point)
    juliet.send_nowait(say(1))
    await held.pass_by()
    assert store.waiting(point) == 1
    store.hold("owed.done")
    romeo = await coming(held, "orchard")
    store.let_go("owed.done")  # the look found nothing, or something whose sender was not told yet
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1"]
    assert await held.waiting(ROMEO) == 0


async def test_one_whose_commit_is_told_before_the_look_that_missed_it_is_over_is_not_stuck(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    store.hold("owed.done")
    romeo = await coming(held, "orchard")
    assert store.waiting("owed.done") == 1  # it saw nothing
    juliet.send_nowait(say(1))
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1"]
    assert await held.waiting(ROMEO) == 0


async def test_one_that_is_being_kept_while_romeo_reconnects_reaches_him(
    held: Harness, store: HeldBack
) -> None:
    """The account leaves the memory and comes back as another object, while a message is on its way."""
    juliet = await held.client(JULIET)
    romeo = await held.client(f"{ROMEO}/orchard")  # connected, not available
    store.hold("append")
    juliet.send_nowait(say(1))
    await held.pass_by()
    romeo.cut()
    await held.pass_by()
    again = await held.client(f"{ROMEO}/orchard")
    assert again.session.account is not romeo.session.account
    again.send_nowait("<presence/>")
    await held.pass_by()
    assert "owed" in store.calls, "he has looked in vain"
    store.let_go()
    await held.settle()
    assert bodies(again) == ["1"]
    assert await held.waiting(ROMEO) == 0


async def test_who_is_cut_off_and_back_before_that_is_noticed_gets_the_rest(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    store.hold("owed")
    romeo = await coming(held, "orchard")
    store.step("owed")
    await held.pass_by()
    assert store.waiting("owed") == 1
    assert len(bodies(romeo)) == 25
    romeo.cut()
    await held.pass_by()
    again = await held.client(f"{ROMEO}/orchard")
    assert again.session.account is not romeo.session.account
    again.send_nowait("<presence/>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(again) == texts(25, 40)
    home = await held.client(f"{ROMEO}/home")
    await home.send("<presence/>")
    assert bodies(home) == [], "the account that came back knows what was given meanwhile"
    await juliet.send(say(40))
    assert bodies(again) == bodies(home) == ["40"]
    assert await held.waiting(ROMEO) == 0


async def test_messages_that_are_not_stored_stay_in_their_place(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.hold("owed.done")
    romeo = await coming(held, "orchard")
    juliet.send_nowait(say(2, more=SECRET) + say(3) + say(4, more=SECRET) + say(5, more=SECRET) + say(6))
    juliet.send_nowait(say(7, more=SECRET))
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1", "2", "3", "4", "5", "6", "7"]
    juliet.expect_nothing()


async def test_they_stay_in_their_place_while_nobody_has_read_the_archive(
    held: Harness, store: HeldBack
) -> None:
    """The account comes into memory with messages that another process has stored."""
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 60))
    held.node.core.accounts.forget(Jid.parse(ROMEO))
    store.hold("owed")
    romeo = await coming(held, "orchard")
    juliet.send_nowait(say(60, more=SECRET) + say(61) + say(62, more=SECRET))
    await held.pass_by()
    for _ in range(4):
        store.step("owed")
        await held.pass_by()
    assert bodies(romeo) == texts(0, 63)


async def test_they_stay_in_their_place_where_the_archive_is_read_before_this_node_heard_of_the_commit(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    romeo = await held.client(f"{ROMEO}/orchard", available=True)
    row = NewRow(romeo.session.account.id, 0, Kind.OWED)
    await store.archive.append([NewMessage(kept("lost").encode(), [row])])
    store.hold("owed")
    juliet.send_nowait(say(0))
    await held.pass_by()
    assert store.waiting("owed") == 1, "something is missing before it, and is looked for"
    store.hold("append.done")
    juliet.send_nowait(say(1) + say(2, more=SECRET) + say(3))
    await held.pass_by()
    store.let_go("owed")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["lost", "0", "1", "2", "3"]
    assert await held.waiting(ROMEO) == 0


async def test_what_stands_in_line_in_memory_is_bounded(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    store.hold("owed.done")
    romeo = await coming(held, "orchard")
    juliet.send_nowait(says(0, 203, more=SECRET))
    await held.pass_by()
    assert bodies(romeo) == ["200", "201", "202"]
    store.let_go()
    await held.settle()
    assert bodies(romeo) == texts(0, 200)


async def test_what_stands_in_line_in_memory_is_bounded_in_bytes_too(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    romeo = await held.client(f"{ROMEO}/orchard")
    large = f"<subject>{'x' * 250_000}</subject>"
    for _ in range(2):  # what has gone does not count any more
        store.hold("owed.done")
        romeo.send_nowait("<presence type='unavailable'/><presence/>")
        await held.pass_by()
        juliet.send_nowait("".join(say(number, more=SECRET + large) for number in range(7)))
        await held.pass_by()
        assert bodies(romeo) == ["5", "6"]
        store.let_go()
        await held.settle()
        assert bodies(romeo) == texts(0, 5)


async def test_a_message_for_one_device_goes_to_that_device_when_its_turn_comes(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.hold("owed.done")
    orchard = await held.client(f"{ROMEO}/orchard")
    orchard.send_nowait("<presence/>")
    silent = await held.client(f"{ROMEO}/silent")
    silent.send_nowait(presence(-1))
    await held.pass_by()
    room = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
    juliet.send_nowait(
        say(2, to=f"{ROMEO}/silent")
        + say(3, to=f"{ROMEO}/orchard")
        + say(4, to=f"{ROMEO}/silent", type="groupchat", more=room)
        + say(5, to=f"{ROMEO}/silent", type="headline")
    )
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(orchard) == ["1", "3"]
    assert bodies(silent) == ["2", "4", "5"]
    await held.settle()
    assert await held.waiting(ROMEO) == 0


async def test_copies_of_what_was_kept_do_not_come_beside_it(held: Harness, store: HeldBack) -> None:
    """Carbons are on before the presence is sent: the message comes as kept, not as a copy as well."""
    juliet = await held.client(JULIET)
    store.hold("append.done")
    juliet.send_nowait(say(1))
    await held.pass_by()
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq><presence/>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    messages = [element for element in romeo.received if element.name == "message"]
    assert len(messages) == 1
    assert messages[0].child("body") is not None
