"""Messages for people who are not there: XEP-0160, XEP-0203, XEP-0334, and the invariants I1 and I5."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.clock import EPOCH
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.clock import stamp
from xmppd.im.expiry import EVERY
from xmppd.storage.interfaces import StorageUnavailable

ROMEO, JULIET, PARIS = "romeo@capulet.lit", "juliet@capulet.lit/balcony", "paris@capulet.lit/street"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
HINTS = "urn:xmpp:hints"
DAY = 86_400.0


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as server:
        await server.account(ROMEO)
        yield server


@pytest.fixture
def store() -> HeldBack:
    return HeldBack()


@pytest_asyncio.fixture
async def held(store: HeldBack) -> AsyncIterator[Harness]:
    """A server whose storage the test holds back."""
    async with Harness("capulet.lit", wrap=store.wrap) as server:
        await server.account(ROMEO)
        yield server
        store.let_go()


def bodies(client: Client) -> list[str]:
    """The texts of the messages that came, taken away from what was received."""
    found, client.received = client.received, []
    return [
        body.text()
        for element in found
        if element.name == "message" and element.get("type") != "error"
        for body in element.each("body")
    ]


def say(text: object, to: str = ROMEO, type: str = "chat", more: str = "") -> str:
    return f"<message to='{to}' type='{type}' id='{text}'><body>{text}</body>{more}</message>"


def kept(text: object, sender: str = JULIET, at: float = EPOCH) -> str:
    return (
        f"<message from='{sender}' to='{ROMEO}' type='chat' id='{text}'><body>{text}</body>"
        f"<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{stamp(at)}'/></message>"
    )


async def online(server: Harness, resource: str, priority: int = 0) -> Client:
    """A client of Romeo's that sends initial presence; what it gets of presence is put aside."""
    client = await server.client(f"{ROMEO}/{resource}")
    await client.send(presence(priority))
    client.received = [element for element in client.received if element.name != "presence"]
    return client


def presence(priority: int = 0) -> str:
    return f"<presence><priority>{priority}</priority></presence>"


# ---- what is kept


@pytest.mark.parametrize(
    "payload",
    [
        "<body>Art thou there?</body>",
        "<subject>A rose</subject>",
        "<body>Yea</body><active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='m1'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>",
        "<encrypted xmlns='urn:xmpp:omemo:2'><payload>AAAA</payload></encrypted>",
        f"<composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='{HINTS}'/>",
        f"<body>Yea</body><no-permanent-store xmlns='{HINTS}'/>",
        f"<body>Yea</body><no-copy xmlns='{HINTS}'/>",
        "<x xmlns='jabber:x:conference' jid='room@muc.capulet.lit'/>",
    ],
)
@pytest.mark.parametrize("type", ["chat", "normal"])
async def test_what_is_worth_something_later_is_kept(server: Harness, payload: str, type: str) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(f"<message to='{ROMEO}' type='{type}' id='1'>{payload}</message>")
    juliet.expect_nothing()
    romeo = await online(server, "orchard")
    typed = "" if type == "normal" else f" type='{type}'"
    romeo.expect(
        f"<message from='{JULIET}' to='{ROMEO}'{typed} id='1'>{payload}"
        f"<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{stamp(EPOCH)}'/></message>"
    )
    romeo.expect_nothing()


@pytest.mark.parametrize(
    "message",
    [
        "<message to='{to}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message to='{to}' type='chat'><gone xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread></message>",
        "<message to='{to}' type='chat'/>",
        "<message to='{to}' type='headline'><body>News</body></message>",
        f"<message to='{{to}}' type='headline'><body>News</body><store xmlns='{HINTS}'/></message>",
        "<message to='{to}' type='error' id='1'><body>What?</body>"
        f"<error type='cancel'><gone xmlns='{ERRORS}'/></error></message>",
        "<message to='{to}' type='chat'><received xmlns='urn:xmpp:receipts' id='m1'/>"
        f"<no-store xmlns='{HINTS}'/></message>",
        # an answer would show strangers whether somebody is there
        f"<message to='{{to}}' type='chat'><body>Now or never</body><no-store xmlns='{HINTS}'/></message>",
        f"<message to='{{to}}'><body/><store xmlns='{HINTS}'/><no-store xmlns='{HINTS}'/></message>",
    ],
)
async def test_what_is_worth_nothing_later_is_dropped_in_silence(server: Harness, message: str) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(message.format(to=ROMEO))
    juliet.expect_nothing()
    romeo = await online(server, "orchard")
    romeo.expect_nothing()


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (say(1, type="groupchat"), "<error type='cancel'><service-unavailable xmlns='{e}'/></error>"),
    ],
)
async def test_whoever_wrote_words_that_are_not_kept_is_told(
    server: Harness, message: str, error: str
) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(message)
    juliet.expect(
        f"<message type='error' from='{ROMEO}' to='{JULIET}' id='1'>{error.format(e=ERRORS)}</message>"
    )
    romeo = await online(server, "orchard")
    romeo.expect_nothing()


async def test_what_others_say_of_a_delay_stays_and_what_is_said_in_the_servers_name_does_not(
    server: Harness,
) -> None:
    """XEP-0203#security."""
    delay = "<delay xmlns='urn:xmpp:delay' from='{by}' stamp='2002-09-10T23:08:25Z'/>"
    juliet = await server.client(JULIET)
    foreign, own = delay.format(by="muc.capulet.lit"), delay.format(by="capulet.lit")
    await juliet.send(say(1, more=foreign) + say(2, more=own))
    romeo = await online(server, "orchard")
    head = f"<message from='{JULIET}' to='{ROMEO}' type='chat' id="
    now = delay.format(by="capulet.lit").replace("2002-09-10T23:08:25Z", stamp(EPOCH))
    romeo.expect(
        f"{head}'1'><body>1</body>{foreign}{now}</message>", f"{head}'2'><body>2</body>{now}</message>"
    )


async def test_the_language_of_the_stream_and_the_address_are_kept_as_they_were(server: Harness) -> None:
    juliet = await server.client(JULIET)
    juliet.session.lang = "it"
    await juliet.send(f"<message to='{ROMEO}/gone' type='chat'><body>Dove sei?</body></message>")
    romeo = await online(server, "orchard")
    romeo.expect(
        f"<message from='{JULIET}' to='{ROMEO}/gone' type='chat' xml:lang='it'><body>Dove sei?</body>"
        f"<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='{stamp(EPOCH)}'/></message>"
    )


# ---- how many, how long


async def test_beyond_the_limit_the_sender_is_told_and_the_older_ones_stay() -> None:
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 2") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        await juliet.send(say(1) + say(2) + say(3))
        juliet.expect(
            f"<message type='error' from='{ROMEO}' to='{JULIET}' id='3'>"
            f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/>"
            f"<text xmlns='{ERRORS}' xml:lang='en'>*</text></error></message>"
        )
        juliet.expect_nothing()
        assert bodies(await online(server, "orchard")) == ["1", "2"]
        await juliet.send(say(4))
        juliet.expect_nothing()


async def test_expired_messages_are_not_delivered_and_make_room_within_the_hour() -> None:
    async with Harness("capulet.lit", toml="[limits]\noffline_messages = 2\noffline_days = 7") as server:
        owner = await server.account(ROMEO)
        juliet = await server.client(JULIET)
        server.node.expiry.start()
        await juliet.send(say(1))
        await server.advance(DAY)
        await juliet.send(say(2))
        await server.advance(6 * DAY - 1)
        assert await server.stores.offline.count(owner) == 2
        await server.advance(EVERY)
        assert await server.stores.offline.count(owner) == 1
        await juliet.send(say(3))
        juliet.expect_nothing()
        assert bodies(await online(server, "orchard")) == ["2", "3"]
        await server.advance(20 * DAY)
        assert await server.stores.offline.count(owner) == 0


async def test_many_expired_messages_are_removed_at_the_start_in_several_transactions(
    held: Harness, store: HeldBack
) -> None:
    owner = await held.account(ROMEO)
    for _ in range(1_234):
        await store.append(owner, b"<message/>", limit=0, expires=EPOCH)
    held.node.expiry.start()
    await held.settle()
    assert await store.count(owner) == 0
    held.node.expiry.stop()
    await store.append(owner, b"<message/>", limit=0, expires=EPOCH)
    await held.advance(3 * EVERY)
    assert await store.count(owner) == 1, "after stop nothing is removed"


async def test_a_storage_that_fails_while_it_removes_is_asked_again_an_hour_later(
    held: Harness, store: HeldBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await held.account(ROMEO)
    await store.append(owner, b"<message/>", limit=0, expires=EPOCH)

    async def fail(*, now: float, limit: int = 0) -> int:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "expire", fail)
        held.node.expiry.start()
        await held.settle()
    await held.advance(EVERY)
    assert await store.count(owner) == 0
    held.node.expiry.stop()


# ---- when they are delivered


async def test_they_come_once_in_order_behind_the_presence(server: Harness) -> None:
    juliet, paris = await server.client(JULIET), await server.client(PARIS)
    for number in range(60):
        await (juliet if number % 2 else paris).send(say(number))
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<presence/>")
    assert romeo.received.pop(0).name == "presence"
    assert bodies(romeo) == [str(number) for number in range(60)]
    await romeo.send("<presence><show>away</show></presence>")
    assert bodies(romeo) == []
    await romeo.close()
    assert bodies(await online(server, "orchard")) == []


async def test_a_negative_priority_gets_them_only_when_it_rises(server: Harness) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(say(1))
    romeo = await online(server, "orchard", -1)
    romeo.expect_nothing()
    await juliet.send(say(2))
    await romeo.send(presence(-5))
    assert bodies(romeo) == []
    await romeo.send(presence(0))
    assert bodies(romeo) == ["1", "2"]
    await romeo.send(presence(-1) + presence(3))
    assert bodies(romeo) == []


async def test_a_resource_without_presence_gets_none(server: Harness) -> None:
    juliet = await server.client(JULIET)
    romeo = await server.client(f"{ROMEO}/orchard")
    await juliet.send(say(1))
    await romeo.send("<presence to='juliet@capulet.lit'/>")
    romeo.expect_nothing()


async def test_what_csi_holds_goes_before_what_is_kept(server: Harness) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(say(1))
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<inactive xmlns='urn:xmpp:csi:0'/><presence/>")
    assert [element.name for element in romeo.received] == ["presence", "message"]


# ---- order and races: each step of the storage is held back by the test


async def test_what_comes_while_the_kept_ones_are_loaded_stays_behind_them(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1) + say(2))
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(3) + say(4))
    await held.pass_by()
    assert bodies(romeo) == []
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1", "2", "3", "4"]
    assert await store.count(await held.account(ROMEO)) == 0


async def test_what_was_accepted_while_somebody_came_is_delivered_like_any_other(
    held: Harness, store: HeldBack
) -> None:
    """It stood in line for a moment: no delay is worth telling, and every device gets it."""
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.hold("load.done")
    orchard = await held.client(f"{ROMEO}/orchard")
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    home = await held.client(f"{ROMEO}/home")
    home.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2))
    await held.pass_by()
    store.let_go()
    await held.settle()
    live = f"<message from='{JULIET}' to='{ROMEO}' type='chat' id='2'><body>2</body></message>"
    orchard.received = [element for element in orchard.received if element.name == "message"]
    home.received = [element for element in home.received if element.name == "message"]
    orchard.expect(kept(1), live)
    orchard.expect_nothing()
    home.expect(live)
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
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    store.let_go("load.done")  # the look found nothing, or something whose sender was not told yet
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1"]
    assert await store.count(await held.account(ROMEO)) == 0


async def test_one_whose_commit_is_told_before_the_look_that_missed_it_is_over_is_not_stuck(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    assert store.waiting("load.done") == 1  # it saw nothing
    juliet.send_nowait(say(1))
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1"]


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
    assert store.calls[-1] == "load", "he has looked in vain"
    store.let_go()
    await held.settle()
    assert bodies(again) == ["1"]
    assert await store.count(await held.account(ROMEO)) == 0


async def test_who_is_cut_off_and_back_before_that_is_noticed_gets_the_rest(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(40)))
    store.hold("discard")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    assert len(bodies(romeo)) == 25
    romeo.cut()
    again = await held.client(f"{ROMEO}/orchard")
    assert again.session.account is not romeo.session.account
    again.send_nowait("<presence/>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(again) == [str(number) for number in range(25, 40)]


async def test_messages_that_are_not_stored_stay_in_their_place(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    secret = f"<no-store xmlns='{HINTS}'/>"
    await juliet.send(say(1))
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2, more=secret) + say(3) + say(4, more=secret) + say(5, more=secret) + say(6))
    juliet.send_nowait(say(7, more=secret))
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1", "2", "3", "4", "5", "6", "7"]
    juliet.expect_nothing()


async def test_what_stands_in_line_in_memory_is_bounded(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    secret = f"<no-store xmlns='{HINTS}'/>"
    juliet.send_nowait("".join(say(number, more=secret) for number in range(203)))
    await held.pass_by()
    assert bodies(romeo) == ["200", "201", "202"]
    store.let_go()
    await held.settle()
    assert bodies(romeo) == [str(number) for number in range(200)]


async def test_a_message_for_one_device_goes_to_that_device_when_its_turn_comes(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.hold("load.done")
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
    assert await store.count(await held.account(ROMEO)) == 0


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


async def test_who_is_cut_off_before_reading_gets_all_of_it_again(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(40)))
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.stop_reading()
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    assert len(bodies(romeo)) == 25, "a page, then it has to read"
    romeo.cut()
    await held.settle()
    again = await online(held, "orchard")
    assert bodies(again) == [str(number) for number in range(40)]


async def test_who_is_cut_off_later_gets_the_rest_again(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(60)))
    store.hold("discard.done")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    romeo.stop_reading()
    store.let_go()
    await held.pass_by()
    assert len(bodies(romeo)) == 50
    romeo.cut()
    await held.settle()
    assert bodies(await online(held, "orchard")) == [str(number) for number in range(25, 60)]


async def test_of_two_devices_that_come_at_once_one_gets_them(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(40)))
    store.hold("load")
    orchard, home = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home")]
    orchard.send_nowait("<presence/>")
    home.send_nowait("<presence/>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(orchard) == [str(number) for number in range(40)]
    assert bodies(home) == []


async def test_when_the_first_device_is_cut_off_the_second_takes_over(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(40)))
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
    assert bodies(home) == [str(number) for number in range(41)]


@pytest.mark.parametrize("last", [presence(-1), "<presence type='unavailable'/>"])
async def test_when_the_first_device_wants_no_more_the_second_takes_over(
    held: Harness, store: HeldBack, last: str
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(60)))
    store.hold("discard.done")
    orchard, home = [await held.client(f"{ROMEO}/{name}") for name in ("orchard", "home")]
    orchard.send_nowait("<presence/>")
    await held.pass_by()
    home.send_nowait("<presence/>")
    orchard.send_nowait(last)
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(orchard) == [str(number) for number in range(25)]
    assert bodies(home) == [str(number) for number in range(25, 60)]


async def test_when_nobody_is_left_it_stays_kept_with_its_time(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.stop_reading()
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    await held.pass_by()
    juliet.send_nowait(say(2))
    await held.pass_by()
    juliet.expect_nothing()
    romeo.cut()
    await held.advance(60)
    again = await online(held, "orchard")
    again.expect(kept(1), kept(2))
    again.expect_nothing()


async def test_a_slow_reader_does_not_hold_up_who_writes_to_him(held: Harness, store: HeldBack) -> None:
    juliet, paris = await held.client(JULIET), await held.client(PARIS)
    await juliet.send(say(1))
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.stop_reading()
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    for number in range(5):
        juliet.send_nowait(say(number) + say(f"to paris {number}", to=PARIS))
    await held.pass_by()
    assert bodies(paris) == [f"to paris {number}" for number in range(5)]
    romeo.read_on()
    await held.settle()
    assert bodies(romeo) == ["1", "0", "1", "2", "3", "4"]


async def test_large_messages_are_given_no_faster_than_they_are_read(held: Harness) -> None:
    juliet = await held.client(JULIET)
    large = "x" * 50_000
    for _ in range(10):
        await juliet.send(f"<message to='{ROMEO}'><body>{large}</body></message>")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.stop_reading()
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    assert len(bodies(romeo)) == 2
    romeo.read_on()
    await held.settle()
    assert len(bodies(romeo)) == 8


async def test_who_reads_is_sent_more_than_the_limit(held: Harness, store: HeldBack) -> None:
    """The limit is for those who are away: a sender is not turned away because what is kept is still being read."""
    limits: list[int] = []
    append = store.append

    async def note(owner: int, stanza: bytes, *, limit: int, expires: float | None = None) -> int:
        limits.append(limit)
        return await append(owner, stanza, limit=limit, expires=expires)

    store.append = note  # type: ignore[method-assign]
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.stop_reading()
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2))
    await held.pass_by()
    romeo.read_on()
    await held.settle()
    assert limits == [1_000, 2_000]


async def test_an_account_that_is_deleted_meanwhile(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send("".join(say(number) for number in range(60)))
    store.hold("load")
    romeo = await held.client(f"{ROMEO}/orchard")
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    store.kept.clear()
    store.let_go()
    await held.node.administration.delete(romeo.jid.bare)
    await held.settle()
    assert romeo.error is not None
    assert romeo.error.condition == "not-authorized"
    assert bodies(romeo) == []
    await juliet.send(say(1))
    juliet.expect(
        f"<message type='error' from='{ROMEO}' to='{JULIET}' id='1'>"
        f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/></error></message>"
    )


async def test_an_account_that_is_deleted_while_a_message_is_being_kept(server: Harness) -> None:
    juliet = await server.client(JULIET)
    await juliet.send("<iq type='get' id='1' to='romeo@capulet.lit'><query xmlns='jabber:iq:last'/></iq>")
    juliet.received.clear()
    juliet.send_nowait(say(1))  # on its way: the account is in memory
    await server.stores.accounts.delete((await server.client(f"{ROMEO}/x")).jid.bare)
    await juliet.send(say(2))
    assert all(element.get("type") == "error" for element in juliet.received)
    assert juliet.received


async def test_a_storage_that_fails_is_told_to_the_sender_and_loses_nothing(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.error = StorageUnavailable("the disk is full")
    await juliet.send(say(2))
    juliet.expect(
        f"<message type='error' from='{ROMEO}' to='{JULIET}' id='2'>"
        f"<error type='wait'><resource-constraint xmlns='{ERRORS}'/>"
        f"<text xmlns='{ERRORS}' xml:lang='en'>*</text></error></message>"
    )
    romeo = await online(held, "orchard")
    romeo.expect_nothing()
    store.error = None
    await juliet.send(say(3))
    assert bodies(romeo) == ["3"], "who is there is not turned away for what cannot be loaded"
    assert bodies(await online(held, "home")) == ["1"]
