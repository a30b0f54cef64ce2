"""XEP-0198: what is enabled when, what is counted, who asks, and what a wrong count leads to."""

from __future__ import annotations

import pytest

from tests.support.acknowledging import BALCONY, JULIET, ROMEO, R, a, came, chat
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.mail import bodies, texts
from tests.support.xml import matches, parse, show
from xmppd import ns
from xmppd.jid import Jid
from xmppd.sessions.offers import StreamInfo
from xmppd.stream.management import NS

UNEXPECTED = (
    f"<failed xmlns='{NS}'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
)
BAD = f"<failed xmlns='{NS}'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
PING = "<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>"


async def juliet(server: Harness) -> Client:
    """Juliet's client, available and acknowledging."""
    client = await server.client(BALCONY, available=True)
    await client.enable()
    return client


async def test_only_those_who_are_logged_in_are_offered_it(server: Harness) -> None:
    domain = Jid.parse("capulet.lit")
    offers = server.node.core.offers
    assert "sm" not in [
        feature.name for feature in offers.features(StreamInfo(domain, "192.0.2.1", True, None))
    ]
    features = offers.features(StreamInfo(domain, "192.0.2.1", True, Jid.parse(JULIET)))
    assert any(matches(parse(f"<sm xmlns='{NS}'/>")[0], feature) for feature in features)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("", ""),
        ("resume='false'", ""),
        ("resume='0' max='60'", ""),
        ("resume='true'", "id='*' resume='true' max='600'"),
        ("resume='1'", "id='*' resume='true' max='600'"),
        ("resume='true' max='60'", "id='*' resume='true' max='60'"),
        ("resume='true' max='601'", "id='*' resume='true' max='600'"),
        ("resume='true' max='99999999999999999999999999'", "id='*' resume='true' max='600'"),
    ],
)
async def test_what_is_asked_for_is_enabled_within_what_the_server_allows(
    server: Harness, asked: str, answered: str
) -> None:
    client = await server.client(BALCONY)
    await client.send(f"<enable xmlns='{NS}' {asked}/>")
    client.expect(f"<enabled xmlns='{NS}' {answered}/>")


@pytest.mark.parametrize(
    "asked", ["resume='yes'", "resume=''", "resume='1' max='0'", "max='-1'", "max='1.5'"]
)
async def test_what_makes_no_sense_is_refused_and_the_stream_goes_on(server: Harness, asked: str) -> None:
    client = await server.client(BALCONY)
    await client.send(f"<enable xmlns='{NS}' {asked}/>")
    client.expect(BAD)
    await client.send(f"<enable xmlns='{NS}'/>")
    client.expect(f"<enabled xmlns='{NS}'/>")


async def test_a_server_may_resume_nothing_or_say_where() -> None:
    async with Harness(toml="[extensions.sm]\nmax_resume_seconds = 0") as server:
        client = await server.client(BALCONY)
        assert (await client.enable()).attrs == {}
    async with Harness(toml="[extensions.sm]\nlocation = 'xmpp1.capulet.lit:5222'") as server:
        client = await server.client(BALCONY)
        assert (await client.enable()).get("location") == "xmpp1.capulet.lit:5222"
        assert (await (await server.client(ROMEO)).enable("")).attrs == {}


async def test_a_second_time_ends_the_stream(server: Harness) -> None:
    client = await juliet(server)
    await client.send(f"<enable xmlns='{NS}'/>")
    client.expect(UNEXPECTED)
    assert client.error is not None
    assert client.error.condition == "policy-violation"
    assert server.node.core.directory.sessions == []


async def test_what_is_out_of_place_is_refused(server: Harness) -> None:
    client = await server.client(BALCONY)
    await client.send(R + a(0) + f"<resume xmlns='{NS}' previd='x' h='0'/>")
    client.expect(UNEXPECTED, UNEXPECTED, UNEXPECTED)
    await client.enable()
    await client.send(f"<resume xmlns='{NS}' previd='x' h='0'/>")
    client.expect(UNEXPECTED)


async def test_stanzas_of_the_client_are_counted_from_enable_on_whatever_becomes_of_them(
    server: Harness,
) -> None:
    client = await server.client(BALCONY)
    await client.send(PING.format(1) + f"<enable xmlns='{NS}'/>" + R)
    client.expect("<iq from='*' to='*' type='result' id='1'/>", f"<enabled xmlns='{NS}'/>", a(0))
    await client.send(PING.format(2) + R)
    client.expect("<iq from='*' to='*' type='result' id='2'/>", a(1))
    await client.send("<presence/>" + R)
    client.expect(f"<presence from='{BALCONY}' to='{JULIET}'/>", a(2))
    await client.send(chat("nobody", "nobody@nowhere.lit") + "<iq type='get' id='3'/>" + R)
    bounce, refused, answer = client.received
    assert (bounce.get("type"), refused.get("type")) == ("error", "error")
    client.received = [answer]
    client.expect(a(4))


async def test_all_in_one_go(server: Harness) -> None:
    client = await server.client(BALCONY)
    client.send_nowait(
        PING.format(1) + f"<enable xmlns='{NS}' resume='true'/>" + PING.format(2) + R + "<presence/>" + R
    )
    await server.settle()
    client.expect(
        "<iq from='*' to='*' type='result' id='1'/>",
        f"<enabled xmlns='{NS}' id='*' resume='true' max='600'/>",
        "<iq from='*' to='*' type='result' id='2'/>",
        a(1),
        f"<presence from='{BALCONY}' to='{JULIET}'/>",
        a(2),
    )
    client.expect_nothing()
    # the two stanzas that came behind <enabled/>
    await client.send(a(2))
    assert client.error is None


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_what_is_acknowledged_is_durable(held: Harness, store: HeldBack, point: str) -> None:
    """DESIGN I1."""
    romeo = await held.client(ROMEO, available=True)
    await romeo.enable()
    await held.client(BALCONY, available=True)
    store.hold(point)
    romeo.send_nowait(chat("1") + chat("2") + R)
    await held.pass_by()
    romeo.expect_nothing()
    store.let_go()
    await held.settle()
    romeo.expect(a(2))


async def test_messages_behind_a_request_are_stored_with_those_in_front_of_it(
    held: Harness, store: HeldBack
) -> None:
    """And each answer counts what came before its request, though the server has dropped something behind it."""
    romeo = await held.client(ROMEO, available=True)
    await romeo.enable()
    await held.client(BALCONY, available=True)
    store.hold("append")
    await held.pass_by()
    romeo.send_nowait(chat("1"))
    await held.pass_by()  # its batch is on the way
    dropped = f"<message to='{JULIET}' type='error'/>"
    romeo.send_nowait(chat("2") + R + dropped + chat("3") + chat("4") + R)
    await held.pass_by()
    romeo.expect_nothing()
    store.let_go()
    await held.settle()
    romeo.expect(a(2), a(5))
    assert store.calls.count("append") == 2


async def test_the_server_asks_after_every_ten_stanzas_and_only_stanzas_count(server: Harness) -> None:
    client = await juliet(server)
    romeo = await server.client(ROMEO, available=True)
    for number in range(25):
        await romeo.send(chat(number))
        await client.send(R)
    asked = [
        index
        for index, element in enumerate(e for e in client.received if e.name != "a")
        if element.name == "r"
    ]
    assert asked == [10, 21]
    await client.send(a(25))
    assert client.session.sm is not None
    assert len(client.session.sm) == 0


async def test_how_often_it_asks_is_a_setting() -> None:
    async with Harness(toml="[extensions.sm]\nask_every = 1") as server:
        client = await juliet(server)
        romeo = await server.client(ROMEO, available=True)
        await romeo.send(chat("1") + chat("2"))
        client.expect(came("1"), R, came("2"), R)


async def test_more_than_was_sent_ends_the_stream_for_good(server: Harness) -> None:
    client = await juliet(server)
    romeo = await server.client(ROMEO, available=True)
    await romeo.send(chat("1"))
    await client.send(a(2))
    assert client.error is not None
    assert client.error.condition == "undefined-condition"
    assert client.error.extra == ("handled-count-too-high", NS, {"h": "2", "send-count": "1"})
    assert [session.jid.resource for session in server.node.core.directory.sessions] == ["orchard"]


@pytest.mark.parametrize("h", ["", "h=''", "h='-1'", "h='x'", "h='4294967296'"])
async def test_an_acknowledgement_of_nothing_ends_the_stream(server: Harness, h: str) -> None:
    client = await juliet(server)
    await client.send(f"<a xmlns='{NS}' {h}/>")
    assert client.error is not None
    assert client.error.condition == "bad-format"


async def test_what_was_acknowledged_is_settled_and_comes_to_nobody_again(server: Harness) -> None:
    client = await juliet(server)
    romeo = await server.client(ROMEO, available=True)
    for number in range(4):
        await romeo.send(chat(number))
    client.expect(*(came(number) for number in range(4)))
    await client.send(a(3) + "<presence type='unavailable'/>")
    server.node.clients.resumption.end(client.session)
    await server.settle()
    phone = await server.client(f"{JULIET}/phone")
    await phone.send("<presence/>")
    bodies = [show(element) for element in phone.received if element.name == "message"]
    assert len(bodies) == 1
    assert "<body>3</body>" in bodies[0]


async def test_held_presence_is_counted_when_it_is_sent(server: Harness) -> None:
    client = await juliet(server)
    romeo = await server.client(ROMEO, available=True)
    await client.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    for state in ("away", "dnd"):
        await romeo.send(f"<presence to='{BALCONY}'><show>{state}</show></presence>")
    await client.send(a(1))
    assert client.error is not None, "nothing was sent yet"

    client = await juliet(server)
    await client.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    for state in ("away", "dnd"):
        await romeo.send(f"<presence to='{BALCONY}'><show>{state}</show></presence>")
    await romeo.send(chat("1"))
    client.expect(f"<presence from='{ROMEO}' to='{BALCONY}'><show>dnd</show></presence>", came("1"))
    await client.send(a(2))
    assert client.error is None


async def test_what_has_to_be_acknowledged_is_held_back_by_nobody(server: Harness) -> None:
    client = await juliet(server)
    romeo = await server.client(ROMEO, available=True)
    await client.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    await romeo.send(f"<presence to='{BALCONY}'/>")
    stored = "<active xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>"
    await romeo.send(f"<message to='{BALCONY}' type='chat'>{stored}</message>")
    client.expect(
        f"<presence from='{ROMEO}' to='{BALCONY}'/>",
        f"<message from='{ROMEO}' to='{BALCONY}' type='chat'>{stored}</message>",
    )


async def test_who_acknowledges_slowly_gets_what_was_kept_at_his_own_pace() -> None:
    """Ten times the queue's bound waits for her: given at once, it would end her session."""
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        await server.account(JULIET)
        romeo = await server.client(ROMEO)
        await romeo.send("".join(chat(number, JULIET) for number in range(200)))
        client = await server.client(BALCONY)
        await client.enable()
        client.send_nowait("<presence/>")
        handled, read, most = 0, [], 0
        while True:
            await server.pass_by()
            got = [element for element in client.received if element.name in ("message", "presence")]
            client.received.clear()
            if not got:
                break
            read += [body.text() for element in got if (body := element.child("body", ns.CLIENT)) is not None]
            most = max(most, len(got))
            handled += len(got)
            client.send_nowait(a(handled))
        assert client.error is None
        assert read == texts(0, 200)
        assert most < 50
        assert await server.waiting(JULIET) == 0


async def test_a_slow_one_that_is_lost_leaves_the_rest_to_the_next() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        await server.account(JULIET)
        romeo = await server.client(ROMEO)
        await romeo.send("".join(chat(number, JULIET) for number in range(60)))
        client = await server.client(BALCONY)
        await client.enable("")
        client.send_nowait("<presence/>")
        await server.pass_by()
        await server.pass_by()
        client.cut()
        server.clock.advance(30)
        await server.settle()
        other = await server.client(f"{JULIET}/chamber")
        await other.send("<presence/>")
        assert bodies(other) == texts(0, 60)


async def test_what_was_kept_comes_behind_what_was_held_back(server: Harness) -> None:
    client = await server.client(BALCONY)
    romeo = await server.client(ROMEO, available=True)
    await client.enable()
    await romeo.send(chat("kept", JULIET))
    await client.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    await romeo.send(f"<presence to='{BALCONY}'/>")
    await client.send("<presence/>")
    assert [element.name for element in client.received if element.get("from") == ROMEO] == [
        "presence",
        "message",
    ]


async def test_a_pending_subscription_request_is_counted(server: Harness) -> None:
    """It is kept as bytes."""
    romeo = await server.client(ROMEO, available=True)
    await server.account(JULIET)
    await romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    client = await server.client(BALCONY)
    await client.enable()
    await client.send("<presence/>")
    stanzas = [element.name for element in client.received]
    assert stanzas == ["presence", "presence"]
    await client.send(a(2))
    assert client.error is None
