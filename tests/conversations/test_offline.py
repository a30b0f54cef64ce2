"""Messages for people who are not there: XEP-0160, XEP-0203, XEP-0334."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.clock import EPOCH
from tests.support.harness import Harness
from tests.support.kept import HeldBack
from tests.support.mail import (
    ERRORS,
    HINTS,
    JULIET,
    PARIS,
    ROMEO,
    bodies,
    coming,
    online,
    presence,
    refusal,
    say,
    says,
    texts,
)
from xmppd.clock import stamp


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as server:
        await server.account(ROMEO)
        yield server


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


async def test_whoever_wrote_words_that_are_not_kept_is_told(server: Harness) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(say(1, type="groupchat"))
    juliet.expect(
        f"<message type='error' from='{ROMEO}' to='{JULIET}' id='1'>"
        f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/></error></message>"
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


# ---- when they are delivered


async def test_they_come_once_in_order_behind_the_presence(server: Harness) -> None:
    juliet, paris = await server.client(JULIET), await server.client(PARIS)
    for number in range(60):
        await (juliet if number % 2 else paris).send(say(number))
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<presence/>")
    assert romeo.received.pop(0).name == "presence"
    assert bodies(romeo) == texts(0, 60)
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


async def test_large_messages_are_given_no_faster_than_they_are_read(held: Harness) -> None:
    juliet = await held.client(JULIET)
    large = "x" * 50_000
    for _ in range(10):
        await juliet.send(f"<message to='{ROMEO}'><body>{large}</body></message>")
    romeo = await coming(held, "orchard", reading=False)
    assert len(bodies(romeo)) == 2
    romeo.read_on()
    await held.settle()
    assert len(bodies(romeo)) == 8


async def test_a_slow_reader_does_not_hold_up_who_writes_to_him(held: Harness) -> None:
    juliet, paris = await held.client(JULIET), await held.client(PARIS)
    await juliet.send(say(1))
    romeo = await coming(held, "orchard", reading=False)
    for number in range(5):
        juliet.send_nowait(say(number) + say(f"to paris {number}", to=PARIS))
    await held.pass_by()
    assert bodies(paris) == [f"to paris {number}" for number in range(5)]
    romeo.read_on()
    await held.settle()
    assert bodies(romeo) == ["1", "0", "1", "2", "3", "4"]


# ---- trouble


async def test_an_account_that_is_deleted_meanwhile(held: Harness, store: HeldBack) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 60))
    store.hold("owed")
    romeo = await coming(held, "orchard")
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


async def test_an_account_that_is_deleted_while_a_message_is_being_kept(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    store.hold("append")
    juliet.send_nowait(say(1))
    await held.pass_by()
    assert store.waiting("append") == 1
    await held.node.administration.delete((await held.client(f"{ROMEO}/x")).jid.bare)
    store.let_go()
    await held.settle()
    await juliet.send(say(2))
    assert juliet.received[-1].get("id") == "2"
    assert all(element.get("type") == "error" for element in juliet.received)
    assert bodies(await online(held, "orchard")) == [], "who has the address now is somebody else"


async def test_a_storage_that_fails_is_told_to_the_sender_and_loses_nothing(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.fail("append", "owed")
    await juliet.send(say(2))
    juliet.expect(refusal(2, "resource-constraint", type="wait"))
    romeo = await online(held, "orchard")
    romeo.expect_nothing()
    store.recover()
    await juliet.send(say(3))
    assert bodies(romeo) == ["1", "3"], "what comes next shows that something is missing before it"
    assert bodies(await online(held, "home")) == []
    juliet.expect_nothing()


async def test_a_storage_that_fails_for_long_stops_nobody_who_is_there(
    held: Harness, store: HeldBack
) -> None:
    """What need not be stored goes on, and nothing is given before what was stored earlier."""
    juliet = await held.client(JULIET)
    await juliet.send(say(1))
    store.fail("owed")
    romeo = await online(held, "orchard")
    await juliet.send(say(2))
    await juliet.send(say(3, type="headline"))
    await held.advance(31)
    assert bodies(romeo) == ["3"]
    store.recover()
    await held.advance(31)
    assert bodies(romeo) == ["1", "2"]
    assert await held.waiting(ROMEO) == 0


@pytest.mark.parametrize("step", ["owed", "owed.done", "save", "save.done"])
async def test_what_is_kept_is_given_when_a_storage_that_failed_is_back(
    held: Harness, store: HeldBack, step: str
) -> None:
    """Not only when he logs in again; but what he has, and what cannot be remembered, is not given twice."""
    juliet = await held.client(JULIET)
    await juliet.send(says(0, 30))
    romeo = await held.client(f"{ROMEO}/orchard")
    store.fail(step)
    await romeo.send("<presence/>")
    await held.advance(16)
    store.recover()
    await held.advance(16)
    assert bodies(romeo) == texts(0, 30)
    await romeo.close()
    assert bodies(await online(held, "orchard")) == []
