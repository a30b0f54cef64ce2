"""Two nodes over one storage: whoever is connected where, it looks like one server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conversations.contacts import ERRORS, JULIET, ROMEO, friends
from tests.support.harness import Client, Harness
from tests.support.mail import bodies, say, texts
from xmppd.jid import Jid

UNKNOWN = "<query xmlns='urn:unknown'/>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit", nodes=2) as server:
        yield server


# ---- messages


async def test_messages_go_both_ways_and_keep_their_order(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    await juliet.send("".join(say(number, ROMEO if number % 2 else str(romeo.jid)) for number in range(50)))
    assert bodies(romeo) == texts(0, 50)
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
    assert bodies(silent) == ["2"]


async def test_the_rules_see_what_a_resource_on_the_other_node_wants(server: Harness) -> None:
    """RFC 6121#8.5: priorities and presence are known on every node."""
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    await server.account(ROMEO)
    await juliet.send(say(1, ROMEO))
    assert await server.waiting(ROMEO) == 1
    await romeo.send("<presence><priority>-1</priority></presence>")
    await juliet.send(say(2, ROMEO))
    assert await server.waiting(ROMEO) == 2
    await romeo.send("<presence><priority>1</priority></presence>")
    assert bodies(romeo) == ["1", "2"]
    await juliet.send(say(3, ROMEO))
    assert bodies(romeo) == ["3"]
    await romeo.send("<presence type='unavailable'/>")
    await juliet.send(say(4, ROMEO))
    assert bodies(romeo) == []
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
    assert bodies(again) == ["1", "2"]


async def test_a_message_for_all_devices_is_not_kept_when_one_of_them_left(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    garden = await server.client(f"{ROMEO}/garden", node=1, available=True)
    home = await server.client(f"{ROMEO}/home", node=1, available=True)
    await juliet.send(say(0, str(home.jid)))
    home.received.clear()
    garden.cut()
    juliet.send_nowait(say(1, ROMEO))
    await server.settle()
    assert bodies(home) == ["1"]
    assert await server.waiting(ROMEO) == 0


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
    await friends(server, JULIET, ROMEO)
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
    assert bodies(chamber) == ["3"]


# ---- one name, two nodes


async def test_the_newest_session_has_the_resource_whatever_node_it_is_on(server: Harness) -> None:
    await friends(server, JULIET, ROMEO)
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
        assert bodies(new) == [str(round)]
        assert bodies(old) == []
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
    assert bodies(new) == ["1"]


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
    await friends(server, JULIET, ROMEO)
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
    assert bodies(romeo) == ["1"]
    romeo.cut()
    await server.settle()
    server.nodes[1].core.directory.close()
    await juliet.send(say(2, ROMEO))
    assert await server.waiting(ROMEO) == 1
    ghost = await server.client(f"{ROMEO}/ghost", node=1)
    await juliet.send(say(3, str(ghost.jid)))
    assert bodies(ghost) == []
