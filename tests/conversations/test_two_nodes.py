"""Two nodes over one storage: whoever is connected where, it looks like one server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterChange, RosterItem, Subscription

JULIET, ROMEO = "juliet@capulet.lit", "romeo@montague.lit"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
UNKNOWN = "<query xmlns='urn:unknown'/>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit", nodes=2) as server:
        yield server


@pytest.fixture
def store() -> HeldBack:
    return HeldBack()


@pytest_asyncio.fixture
async def held(store: HeldBack) -> AsyncIterator[Harness]:
    """Two nodes whose storage the test holds back."""
    async with Harness("capulet.lit", "montague.lit", nodes=2, wrap=store.wrap) as server:
        await server.account(ROMEO)
        yield server
        store.let_go()


async def befriend(server: Harness) -> None:
    """Each of them sees the other's presence."""
    for owner, contact in ((JULIET, ROMEO), (ROMEO, JULIET)):
        item = RosterItem(Jid.parse(contact), subscription=Subscription.BOTH)
        await server.stores.rosters.update(
            [RosterChange(await server.account(owner), item.jid, lambda before, item=item: item)]  # type: ignore[misc]
        )


def texts(client: Client) -> list[str]:
    """The bodies of the messages that came, taken away from what was received."""
    found, client.received = client.received, []
    return [body.text() for element in found if element.name == "message" for body in element.each("body")]


def say(text: object, to: str, type: str = "chat") -> str:
    return f"<message to='{to}' type='{type}' id='{text}'><body>{text}</body></message>"


# ---- messages


async def test_messages_go_both_ways_and_keep_their_order(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    await juliet.send("".join(say(number, ROMEO if number % 2 else str(romeo.jid)) for number in range(50)))
    assert texts(romeo) == [str(number) for number in range(50)]
    await romeo.send(say("O", str(juliet.jid)))
    juliet.expect(
        f"<message from='{romeo.jid}' to='{juliet.jid}' type='chat' id='O'><body>O</body></message>"
    )
    for client in (juliet, romeo):
        client.expect_nothing()


@pytest.mark.parametrize("sender", [0, 1])
async def test_a_message_to_an_account_reaches_its_devices_on_all_nodes(server: Harness, sender: int) -> None:
    devices = [
        await server.client(f"{ROMEO}/{name}", node=node, available=True)
        for name, node in (("a", 0), ("b", 1), ("c", 1))
    ]
    silent = await server.client(f"{ROMEO}/silent", node=1)
    await silent.send("<presence><priority>-1</priority></presence>")
    for client in (*devices, silent):
        client.received.clear()
    juliet = await server.client(f"{JULIET}/balcony", node=sender)
    await juliet.send(say(1, ROMEO))
    for client in devices:
        client.expect(
            f"<message from='{juliet.jid}' to='{ROMEO}' type='chat' id='1'><body>1</body></message>"
        )
        client.expect_nothing()
    silent.expect_nothing()
    await juliet.send(say(2, str(silent.jid)))
    assert texts(silent) == ["2"]


async def test_the_rules_see_what_a_resource_on_the_other_node_wants(server: Harness) -> None:
    """RFC 6121#8.5: priorities and presence are known on every node."""
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    owner = await server.account(ROMEO)
    await juliet.send(say(1, ROMEO))
    assert await server.stores.offline.count(owner) == 1
    await romeo.send("<presence><priority>-1</priority></presence>")
    await juliet.send(say(2, ROMEO))
    assert await server.stores.offline.count(owner) == 2
    await romeo.send("<presence><priority>1</priority></presence>")
    assert texts(romeo) == ["1", "2"]
    await juliet.send(say(3, ROMEO))
    assert texts(romeo) == ["3"]
    await romeo.send("<presence type='unavailable'/>")
    await juliet.send(say(4, ROMEO))
    assert texts(romeo) == []
    await romeo.close()
    await juliet.send(say(5, f"{ROMEO}/garden", type="normal"))
    juliet.expect(
        f"<message type='error' id='5' from='{ROMEO}/garden' to='{juliet.jid}'>"
        f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/></error></message>"
    )


async def test_the_language_and_the_payload_arrive_as_they_were(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    juliet.session.lang = "it"
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    await juliet.send(f"<message to='{romeo.jid}' id='&lt;'><x xmlns='urn:x' a='&amp;'>é<y/> </x></message>")
    romeo.expect(
        f"<message from='{juliet.jid}' to='{romeo.jid}' id='&lt;' xml:lang='it'>"
        "<x xmlns='urn:x' a='&amp;'>é<y/> </x></message>"
    )


async def test_a_message_for_a_device_that_left_in_the_same_moment_finds_another_way(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    await juliet.send(say(0, str(romeo.jid)))
    romeo.received.clear()
    romeo.cut()  # of which the other node does not know yet
    juliet.send_nowait(say(1, str(romeo.jid)) + say(2, ROMEO))
    juliet.send_nowait(f"<iq type='get' id='3' to='{romeo.jid}'>{UNKNOWN}</iq>")
    await server.settle()
    juliet.expect(
        f"<iq type='error' id='3' from='{romeo.jid}' to='{juliet.jid}'>"
        f"<error type='cancel'><service-unavailable xmlns='{ERRORS}'/></error></iq>"
    )
    juliet.expect_nothing()
    again = await server.client(f"{ROMEO}/home")
    await again.send("<presence/>")
    assert texts(again) == ["1", "2"]


async def test_what_came_from_the_other_node_behind_the_kept_ones_is_kept_if_nobody_takes_those(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    await juliet.send(say(1, ROMEO))
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/garden", node=1)
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2, ROMEO) + say(3, str(romeo.jid)))
    await held.pass_by()
    romeo.send_nowait("<presence><priority>-1</priority></presence>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert texts(romeo) == ["3"]
    await romeo.send("<presence/>")
    assert texts(romeo) == ["1", "2"]


async def test_a_message_for_all_devices_is_not_kept_when_one_of_them_left(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    garden = await server.client(f"{ROMEO}/garden", node=1, available=True)
    home = await server.client(f"{ROMEO}/home", node=1, available=True)
    await juliet.send(say(0, str(home.jid)))
    home.received.clear()
    garden.cut()
    juliet.send_nowait(say(1, ROMEO))
    await server.settle()
    assert texts(home) == ["1"]
    assert await server.stores.offline.count(await server.account(ROMEO)) == 0


# ---- kept messages


async def test_what_is_kept_on_one_node_is_fetched_on_the_other(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    await server.account(ROMEO)
    await juliet.send("".join(say(number, ROMEO) for number in range(30)))
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    await romeo.send("<presence/>")
    assert texts(romeo) == [str(number) for number in range(30)]


@pytest.mark.parametrize("known", [True, False], ids=["after it was told of him", "before"])
async def test_one_that_is_committed_after_the_other_node_has_looked_is_not_stuck(
    held: Harness, store: HeldBack, known: bool
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    store.hold("append")
    juliet.send_nowait(say(1, ROMEO))
    await held.pass_by()
    romeo = await held.client(f"{ROMEO}/garden", node=1)
    if known:
        romeo.send_nowait("<presence/>")
        await held.pass_by()
        assert store.calls[-1] == "load", "he has looked in vain"
        store.let_go()
    else:
        send, late = held.bus.send, []
        held.bus.send = lambda *envelope: late.append(envelope)  # type: ignore[method-assign]
        romeo.send_nowait("<presence/>")
        await held.pass_by()
        assert store.calls[-1] == "load", "he has looked in vain"
        store.let_go()
        await held.pass_by()
        held.bus.send = send  # type: ignore[method-assign]
        for envelope in late:
            send(*envelope)
    await held.settle()
    assert texts(romeo) == ["1"]
    assert await store.count(await held.account(ROMEO)) == 0


async def test_a_message_from_the_other_node_does_not_overtake_what_is_kept(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    await juliet.send(say(1, ROMEO) + say(2, ROMEO))
    store.hold("load.done")
    romeo = await held.client(f"{ROMEO}/garden", node=1)
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(3, ROMEO) + say(4, str(romeo.jid)))
    juliet.send_nowait(f"<iq type='get' id='5' to='{romeo.jid}'>{UNKNOWN}</iq>")
    await held.pass_by()
    assert texts(romeo) == []
    store.let_go()
    await held.settle()
    assert texts(romeo) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("steady", [True, False])
@pytest.mark.parametrize("seed", range(15))
async def test_every_message_comes_once_and_in_order(seed: int, steady: bool) -> None:
    """One device that comes and goes on either node, two people on both, and a storage that takes its time.

    In order while the device is ``steady``: if it stops wanting messages while some are on the bus, those are kept
    behind newer ones that the other node has kept already.
    """
    rng = random.Random(seed)
    presences = (
        ("<presence/>",) if steady else ("<presence/>", "<presence><priority>-1</priority></presence>")
    )
    store = HeldBack()

    async def stop(point: str) -> None:
        for _ in range(rng.choice((0, 0, 1, 2, 5, 30))):
            await asyncio.sleep(0)

    store.stop = stop  # type: ignore[method-assign]
    async with Harness("capulet.lit", "montague.lit", nodes=2, wrap=store.wrap) as server:
        await server.account(ROMEO)
        people = [
            await server.client(f"{JULIET}/balcony"),
            await server.client("paris@capulet.lit/street", node=1),
        ]
        sent = 0
        devices: list[Client] = []
        romeo: Client | None = None
        for _ in range(80):
            match rng.randrange(8):
                case 0 if romeo is None:
                    romeo = await server.client(f"{ROMEO}/garden", node=rng.randrange(2))
                    devices.append(romeo)
                case 1 | 2 if romeo is not None:
                    romeo.send_nowait(rng.choice(presences))
                case 3 if romeo is not None:
                    await server.settle()
                    romeo.send_nowait("<presence type='unavailable'/>")
                    await server.settle()
                    await romeo.close()
                    romeo = None
                case _:
                    sent += 1
                    rng.choice(people).send_nowait(say(sent, ROMEO))
            for _ in range(rng.choice((0, 0, 1, 3, 40))):
                await asyncio.sleep(0)
        await server.settle()
        if romeo is not None:
            await romeo.close()
        devices.append(await server.client(f"{ROMEO}/garden", node=rng.randrange(2)))
        await devices[-1].send("<presence/>")
        await server.settle()
        got = [
            (element.attrs["from"], int(element.attrs["id"]))
            for device in devices
            for element in device.received
            if element.name == "message"
        ]
        assert sorted(id for _, id in got) == list(range(1, sent + 1))
        for person in people if steady else ():
            ids = [id for sender, id in got if sender == str(person.jid)]
            assert ids == sorted(ids)


# ---- IQs


async def test_requests_and_answers_cross(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    await juliet.send(f"<iq type='get' id='1' to='{romeo.jid}'>{UNKNOWN}</iq>")
    romeo.expect(f"<iq type='get' id='1' from='{juliet.jid}' to='{romeo.jid}'>{UNKNOWN}</iq>")
    await romeo.send(f"<iq type='error' id='1' to='{juliet.jid}'><error type='cancel'/></iq>")
    juliet.expect(f"<iq type='error' id='1' from='{romeo.jid}' to='{juliet.jid}'><error type='cancel'/></iq>")
    await juliet.send(f"<iq type='get' id='2' to='{ROMEO}/nowhere'>{UNKNOWN}</iq>")
    assert [answer.get("type") for answer in juliet.received] == ["error"]
    romeo.expect_nothing()


# ---- presence


async def test_contacts_on_the_other_node_see_one_another(server: Harness) -> None:
    await befriend(server)
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    await romeo.send("<presence><status>here</status></presence>")
    romeo.received.clear()
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence/>")
    delay = "<delay xmlns='urn:xmpp:delay' from='montague.lit' stamp='*'/>"
    juliet.expect_all(
        f"<presence from='{juliet.jid}' to='{JULIET}'/>",
        f"<presence from='{romeo.jid}' to='{juliet.jid}'><status>here</status>{delay}</presence>",
    )
    juliet.expect_nothing()
    romeo.expect(f"<presence from='{juliet.jid}' to='{ROMEO}'/>")
    romeo.expect_nothing()
    await romeo.send("<presence><show>away</show></presence>")
    juliet.expect(f"<presence from='{romeo.jid}' to='{JULIET}'><show>away</show></presence>")
    await romeo.close()
    juliet.expect(f"<presence type='unavailable' from='{romeo.jid}' to='{JULIET}'/>")
    juliet.expect_nothing()


async def test_ones_own_devices_see_one_another(server: Harness) -> None:
    balcony = await server.client(f"{JULIET}/balcony", available=True)
    chamber = await server.client(f"{JULIET}/chamber", node=1)
    await chamber.send("<presence/>")
    own = "<delay xmlns='urn:xmpp:delay' from='capulet.lit' stamp='*'/>"
    chamber.expect_all(
        f"<presence from='{chamber.jid}' to='{JULIET}'/>",
        f"<presence from='{balcony.jid}' to='{chamber.jid}'>{own}</presence>",
    )
    balcony.expect(f"<presence from='{chamber.jid}' to='{JULIET}'/>")
    await chamber.close()
    balcony.expect(f"<presence type='unavailable' from='{chamber.jid}' to='{JULIET}'/>")
    balcony.expect_nothing()


async def test_a_subscription_across_nodes(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    for client in (juliet, romeo):
        await client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        client.received.clear()
    await juliet.send(f"<presence type='subscribe' to='{ROMEO}'/>")
    romeo.expect(f"<presence type='subscribe' from='{JULIET}' to='{ROMEO}'/>")
    juliet.expect(push(juliet, f"<item jid='{ROMEO}' subscription='none' ask='subscribe'/>"))
    await romeo.send(f"<presence type='subscribed' to='{JULIET}'/>")
    delay = "<delay xmlns='urn:xmpp:delay' from='montague.lit' stamp='*'/>"
    juliet.expect(
        f"<presence type='subscribed' from='{ROMEO}' to='{JULIET}'/>",
        push(juliet, f"<item jid='{ROMEO}' subscription='to'/>"),
        f"<presence from='{romeo.jid}' to='{JULIET}'>{delay}</presence>",
    )
    romeo.expect(push(romeo, f"<item jid='{JULIET}' subscription='from'/>"))
    await romeo.send("<presence><show>away</show></presence>")
    juliet.expect(f"<presence from='{romeo.jid}' to='{JULIET}'><show>away</show></presence>")


def push(client: Client, item: str) -> str:
    return (
        f"<iq type='set' id='*' from='{client.jid.bare}' to='{client.jid}'>"
        f"<query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"
    )


# ---- rosters and block lists


async def test_roster_pushes_reach_the_devices_on_the_other_node(server: Harness) -> None:
    balcony = await server.client(f"{JULIET}/balcony")
    chamber = await server.client(f"{JULIET}/chamber", node=1)
    for client in (balcony, chamber):
        await client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        client.received.clear()
    item = f"<item jid='{ROMEO}' name='R' subscription='none'/>"
    await chamber.send(
        f"<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='{ROMEO}' name='R'/></query></iq>"
    )
    balcony.expect(push(balcony, item))
    await balcony.send("<iq type='get' id='2'><query xmlns='jabber:iq:roster'/></iq>")
    balcony.expect(
        f"<iq type='result' id='2' from='{JULIET}' to='{balcony.jid}'>"
        f"<query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"
    )


async def test_a_block_list_holds_on_the_other_node(server: Harness) -> None:
    balcony = await server.client(f"{JULIET}/balcony", available=True)
    chamber = await server.client(f"{JULIET}/chamber", node=1, available=True)
    await chamber.send("<iq type='get' id='b'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    chamber.received.clear()
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    item = f"<item jid='{ROMEO}'/>"
    await balcony.send(f"<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>")
    chamber.expect(
        f"<iq type='set' id='*' from='{JULIET}' to='{chamber.jid}'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>"
    )
    await romeo.send(say(1, JULIET))
    assert [answer.get("type") for answer in romeo.received] == ["error"]
    romeo.received.clear()
    await chamber.send(say(2, str(romeo.jid)))
    assert [answer.get("type") for answer in chamber.received] == ["error"]
    await balcony.send("<iq type='set' id='2'><unblock xmlns='urn:xmpp:blocking'/></iq>")
    chamber.received.clear()
    await romeo.send(say(3, JULIET))
    assert texts(chamber) == ["3"]


# ---- one name, two nodes


async def test_the_newest_session_has_the_resource_whatever_node_it_is_on(server: Harness) -> None:
    await befriend(server)
    romeo = await server.client(f"{ROMEO}/garden", available=True)
    for round in range(3):
        old = await server.client(f"{JULIET}/balcony", node=round % 2, available=True)
        await server.settle()
        romeo.received.clear()
        new = await server.client(f"{JULIET}/balcony", node=1 - round % 2)
        await server.settle()
        assert old.error is not None
        assert old.error.condition == "conflict"
        assert new.error is None
        romeo.expect(f"<presence type='unavailable' from='{JULIET}/balcony' to='{ROMEO}'/>")
        await new.send("<presence/>")
        romeo.expect(f"<presence from='{JULIET}/balcony' to='{ROMEO}'/>")
        await romeo.send(say(round, f"{JULIET}/balcony"))
        assert texts(new) == [str(round)]
        assert texts(old) == []
        await new.close()
        romeo.received.clear()


async def test_late_news_of_an_older_session_do_not_hide_the_newer_one(server: Harness) -> None:
    """The other node told of its session just before it lost the name to one of ours."""
    old = await server.client(f"{JULIET}/balcony", node=1, available=True)
    watcher = await server.client(f"{JULIET}/watch", available=True)
    old.send_nowait("<presence><show>away</show></presence>")
    new = await server.client(f"{JULIET}/balcony")
    await server.settle()
    account = watcher.session.account
    assert account.resources["balcony"] is new.session
    assert new.error is None
    await watcher.send(say(1, str(new.jid)))
    assert texts(new) == ["1"]


# ---- administration


async def test_a_new_password_ends_the_sessions_on_all_nodes(server: Harness) -> None:
    clients = [await server.client(f"{JULIET}/{node}", node=node) for node in (0, 1)]
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    for administered_by in (0, 1):
        await server.nodes[administered_by].administration.set_credentials(Jid.parse(JULIET), {})
        await server.settle()
        assert [client.error and client.error.condition for client in clients] == ["reset", "reset"]
        assert romeo.error is None
        clients = [await server.client(f"{JULIET}/{node}", node=node) for node in (0, 1)]


async def test_a_new_password_ends_sessions_of_which_the_administered_node_knew_nothing(
    server: Harness,
) -> None:
    juliet = await server.client(f"{JULIET}/balcony", node=1)
    await server.nodes[0].administration.set_credentials(Jid.parse(JULIET), {})
    await server.settle()
    assert juliet.error is not None


async def test_a_deleted_account_is_gone_on_all_nodes(server: Harness) -> None:
    await befriend(server)
    juliet = await server.client(f"{JULIET}/balcony", node=1, available=True)
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    romeo.received.clear()
    await server.nodes[0].administration.delete(Jid.parse(JULIET))
    await server.settle()
    assert juliet.error is not None
    assert juliet.error.condition == "not-authorized"
    romeo.received.clear()
    await romeo.send(say(1, JULIET))
    assert [answer.get("type") for answer in romeo.received] == ["error"]
    for node in server.nodes:
        assert node.core.accounts.peek(Jid.parse(JULIET)) is None
    assert Jid.parse(JULIET) not in server.registry.known


async def test_a_node_that_leaves_hears_nothing_more(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    await juliet.send(say(1, ROMEO))
    assert texts(romeo) == ["1"]
    romeo.cut()
    await server.settle()
    server.nodes[1].core.directory.close()
    await juliet.send(say(2, ROMEO))
    assert await server.stores.offline.count(await server.account(ROMEO)) == 1
    ghost = await server.client(f"{ROMEO}/ghost", node=1)
    await juliet.send(say(3, str(ghost.jid)))
    assert texts(ghost) == []
