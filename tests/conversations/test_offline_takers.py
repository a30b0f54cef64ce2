"""Which device takes what was kept, and who gets it when that one is gone in the middle."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.mail import JULIET, ROMEO, SECRET, bodies, coming, kept, online, presence, say, says, texts
from xmppd.storage.archive import Kind, NewMessage, NewRow


async def test_who_is_cut_off_before_reading_gets_all_of_it_again(held: Harness) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    romeo = await coming(held, "orchard", reading=False)
    assert len(bodies(romeo)) == 25, "a page, then it has to read"
    romeo.cut()
    await held.settle()
    again = await online(held, "orchard")
    assert bodies(again) == texts(0, 40)


async def test_who_is_cut_off_later_gets_the_rest_again(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 60))
    store.hold("owed")
    romeo = await coming(held, "orchard")
    store.step("owed")
    await held.pass_by()
    romeo.stop_reading()
    store.let_go()
    await held.pass_by()
    assert len(bodies(romeo)) == 50
    romeo.cut()
    await held.settle()
    assert bodies(await online(held, "orchard")) == texts(25, 60)


async def test_of_two_devices_that_come_at_once_one_gets_them(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    store.hold("owed")
    orchard, home = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home")]
    orchard.send_nowait("<presence/>")
    home.send_nowait("<presence/>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(orchard) == texts(0, 40)
    assert bodies(home) == []


async def test_when_the_first_device_is_cut_off_the_second_takes_over(held: Harness) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    orchard, home = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home")]
    orchard.stop_reading()
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    home.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(40))
    await held.pass_by()
    assert bodies(home) == []
    orchard.cut()
    await held.settle()
    assert bodies(home) == texts(0, 41)


@pytest.mark.parametrize("acks", [False, True])
async def test_a_device_that_does_not_read_holds_up_the_others_for_a_moment_only(
    held: Harness, acks: bool
) -> None:
    """It lost its network, say, and nobody knows yet."""
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    slow, home = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home")]
    if acks:
        await slow.enable()
    slow.stop_reading()
    slow.send_nowait("<presence/>")
    await held.pass_by()
    held.clock.advance(60.0)  # alone, it may take its time
    await held.pass_by()
    home.send_nowait("<presence/>")
    juliet.send_nowait(say(40))
    await held.pass_by()
    assert bodies(home) == []
    held.clock.advance(10.0)
    await held.pass_by()
    # What the first one may have got and does not acknowledge is given again.
    assert bodies(home) == (texts(25, 41) if acks else texts(0, 41))
    slow.read_on()
    await held.settle()
    assert bodies(slow) == [*texts(0, 25), "40"]
    slow.cut()
    await held.advance(1_000.0)
    assert bodies(home) == (texts(0, 25) if acks else [])
    assert await held.waiting(ROMEO) == 0


async def test_it_may_take_its_time_while_the_other_device_sleeps(held: Harness) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 20))
    slow, phone = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "phone")]
    await phone.enable()
    slow.stop_reading()
    slow.send_nowait("<presence/>")
    await held.pass_by()
    phone.send_nowait("<presence/>")
    await held.pass_by()
    phone.cut()
    for _ in range(3):
        held.clock.advance(10.0)
        await held.pass_by()
    assert bodies(slow) == texts(0, 20)
    slow.read_on()
    await held.settle()
    assert bodies(slow) == []
    assert await held.waiting(ROMEO) == 0


@pytest.mark.parametrize("last", [presence(-1), "<presence type='unavailable'/>"])
async def test_when_the_first_device_wants_no_more_the_second_takes_over(
    held: Harness, store: HeldBack, last: str
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 60))
    store.hold("owed")
    orchard, home = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home")]
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    store.step("owed")
    await held.pass_by()
    home.send_nowait("<presence/>")
    orchard.send_nowait(last)
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(orchard) == texts(0, 25)
    assert bodies(home) == texts(25, 60)


async def test_when_nobody_is_left_it_stays_kept_with_its_time(held: Harness) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    romeo = await coming(held, "orchard", reading=False)
    await held.pass_by()
    juliet.send_nowait(say(2))
    await held.pass_by()
    juliet.expect_nothing()
    romeo.cut()
    await held.advance(60)
    again = await online(held, "orchard")
    again.expect(kept(1), kept(2))
    again.expect_nothing()


async def test_when_the_next_one_comes_as_the_first_wants_no_more(held: Harness, store: HeldBack) -> None:
    """What came for one device alone is read for that one; who comes meanwhile takes the rest."""
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.hold("owed.done")
    orchard, home, silent = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home", "silent")]
    silent.send_nowait(presence(-1))
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2, to=f"{ROMEO}/silent"))
    await held.pass_by()
    orchard.send_nowait(presence(-1))
    await held.pass_by()
    store.step("owed.done")
    await held.pass_by()
    assert store.waiting("owed.done") == 1, "of the one that is for a device that is there"
    home.send_nowait("<presence/>")
    juliet.send_nowait(say(3) + say(4, more=SECRET))
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(home) == ["1", "3", "4"]
    assert bodies(silent) == ["2"]
    assert bodies(orchard) == []
    assert await held.waiting(ROMEO) == 0


async def test_who_wanted_nothing_for_a_moment_misses_nothing_later(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    orchard = await coming(held, "orchard", reading=False)
    orchard.send_nowait(presence(-1))
    await held.pass_by()
    juliet.send_nowait(say(2))
    await held.pass_by()
    orchard.send_nowait(presence(0))
    await held.pass_by()
    orchard.read_on()
    await held.settle()
    assert bodies(orchard) == ["1", "2"]
    row = NewRow(orchard.session.account.id, 0, Kind.OWED)
    await store.archive.append([NewMessage(kept(3).encode(), [row])])
    await juliet.send(say(4))
    assert bodies(orchard) == ["3", "4"]


# ---- devices that acknowledge (XEP-0198)


async def acknowledging(held: Harness, resource: str) -> Client:
    """A device of Romeo's whose session ends with its connection."""
    client = await held.client(f"{ROMEO}/{resource}")
    await client.enable("")
    return client


@pytest.mark.parametrize("number", [10, 40, 60])
@pytest.mark.parametrize("other", [True, False], ids=["another one is there", "nobody else is there"])
async def test_when_a_device_that_acknowledges_is_cut_off_while_it_is_given_them(
    held: Harness, number: int, other: bool
) -> None:
    """All of it is owed again: the last that it acknowledged was nothing."""
    juliet = await held.client(JULIET)
    await juliet.send(says(0, number))
    orchard, home = await acknowledging(held, "orchard"), await held.client(f"{ROMEO}/home")
    orchard.stop_reading()
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    assert len(bodies(orchard)) == min(number, 25)
    if other:
        home.send_nowait("<presence/>")
        await held.pass_by()
    orchard.cut()
    await held.settle()
    if not other:
        assert await held.waiting(ROMEO) == number
        await home.send("<presence/>")
    assert bodies(home) == texts(0, number)
    assert await held.waiting(ROMEO) == 0


async def test_when_it_is_cut_off_while_the_archive_is_read(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    orchard, home = await acknowledging(held, "orchard"), await held.client(f"{ROMEO}/home")
    store.hold("owed.done")
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    store.step("owed.done")
    await held.pass_by()
    assert len(bodies(orchard)) == 25
    home.send_nowait("<presence/>")
    await held.pass_by()
    orchard.cut()
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(home) == texts(0, 40)
    assert await held.waiting(ROMEO) == 0


async def test_what_it_acknowledged_is_not_given_again(held: Harness) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 10))
    orchard = await acknowledging(held, "orchard")
    await orchard.send("<presence/>")
    await juliet.send(say(10) + say(11))
    assert bodies(orchard) == texts(0, 12)
    assert await held.waiting(ROMEO) == 12
    await orchard.send("<a xmlns='urn:xmpp:sm:3' h='8'/>")  # its presence, and seven messages
    assert await held.waiting(ROMEO) == 5
    await orchard.close()
    assert bodies(await online(held, "home")) == texts(7, 12)
    assert await held.waiting(ROMEO) == 0


async def test_what_all_devices_got_and_one_did_not_acknowledge_is_not_given_again(held: Harness) -> None:
    juliet = await held.client(JULIET)
    orchard = await acknowledging(held, "orchard")
    await orchard.send("<presence/>")
    home = await online(held, "home")
    await juliet.send(say(1))
    await orchard.close()
    await juliet.send(say(2))
    assert bodies(home) == ["1", "2"]
    assert await held.waiting(ROMEO) == 0


async def test_what_was_sent_to_one_device_alone_goes_to_another_if_it_was_not_acknowledged(
    held: Harness,
) -> None:
    juliet = await held.client(JULIET)
    orchard = await acknowledging(held, "orchard")
    await orchard.send("<presence/>")
    home = await online(held, "home")
    await juliet.send(say(1, to=f"{ROMEO}/orchard") + say(2))
    assert bodies(home) == ["2"]
    await orchard.close()
    home.expect(f"<presence type='unavailable' from='{ROMEO}/orchard' to='{ROMEO}'/>")
    home.expect(kept(1, to=f"{ROMEO}/orchard"))
    home.expect_nothing()


async def resumable(held: Harness, resource: str) -> Client:
    """A device of Romeo's whose session outlives its connection."""
    client = await held.client(f"{ROMEO}/{resource}")
    await client.enable()
    return client


async def test_who_reads_now_gets_what_is_left_not_who_sleeps(held: Harness) -> None:
    """Of a phone that began anew each time it lost the network several sessions sleep."""
    juliet = await held.client(JULIET)
    first, second = [await resumable(held, name) for name in ("first", "second")]
    await first.send("<presence/>")
    await second.send("<presence/>")
    await juliet.send(say(1, to=f"{ROMEO}/first"))
    home = await online(held, "home")
    first.cut()
    await held.advance(300.0)
    second.cut()
    await held.advance(301.0)
    assert first.session.over
    assert not second.session.over
    assert bodies(home) == ["1"]


async def test_who_comes_takes_over_from_who_fell_asleep(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 40))
    sleeper = await resumable(held, "sleeper")
    store.hold("owed")
    sleeper.send_nowait("<presence/>")
    await held.pass_by()
    sleeper.cut()
    home = await coming(held, "home")
    store.let_go()
    await held.settle()
    assert not sleeper.session.over
    assert bodies(home) == texts(0, 40)
