"""A client that lost its connection sends again what it has no acknowledgement of: it is stored and seen once (I2)."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.mail import JULIET, PARIS, ROMEO, bodies, online, refusal, say
from xmppd.storage.archive import Query

LATER = 601.0  # seconds: the session is no new one any more, and the start of the node is long ago


@pytest_asyncio.fixture
async def server(held: Harness) -> Harness:
    await held.account("paris@capulet.lit")
    return held


def origin(id: object) -> str:
    return f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>"


def tell(text: object, to: str = ROMEO, type: str = "chat", name: object | None = None) -> str:
    """A message that its client calls ``name``, or like its text."""
    return say(text, to=to, type=type, more=origin(text if name is None else name))


async def rows(server: Harness, *accounts: str) -> list[int]:
    """How many messages each of ``accounts`` has in its history."""
    found = [
        await server.stores.archive.read(await server.account(jid), Query(), limit=1_000) for jid in accounts
    ]
    return [len(each) for each in found]


async def again(server: Harness, client: Client, *, jid: str = JULIET) -> Client:
    """The connection of ``client`` is lost, its session too; it comes back as ``jid``."""
    await client.close()
    return await server.client(jid)


async def test_what_is_sent_again_is_stored_and_delivered_once(server: Harness) -> None:
    romeo = await online(server, "garden")
    juliet = await server.client(JULIET)
    await juliet.send(tell(1) + tell(2))
    assert bodies(romeo) == ["1", "2"]
    for resource in ("balcony", "chamber"):
        juliet = await again(server, juliet, jid=f"juliet@capulet.lit/{resource}")
        await juliet.send(tell(1) + tell(2) + tell(resource))
        assert bodies(romeo) == [resource]
        juliet.expect_nothing()
    assert await rows(server, "juliet@capulet.lit", ROMEO) == [4, 4]


async def test_her_other_clients_see_it_once(server: Harness) -> None:
    chamber = await server.client("juliet@capulet.lit/chamber")
    await chamber.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq><presence/>")
    juliet = await server.client(JULIET)
    await juliet.send(tell(1))
    juliet = await again(server, juliet)
    await juliet.send(tell(1))
    copies = [element for element in chamber.received if element.child("sent", "urn:xmpp:carbons:2")]
    assert len(copies) == 1


async def test_also_while_nobody_was_there(server: Harness) -> None:
    juliet = await server.client(JULIET)
    await juliet.send(tell(1))
    juliet = await again(server, juliet)
    await juliet.send(tell(1))
    romeo = await online(server, "garden")
    assert bodies(romeo) == ["1"]
    juliet = await again(server, juliet)
    await juliet.send(tell(1))
    romeo.expect_nothing()
    juliet.expect_nothing()
    assert await rows(server, "juliet@capulet.lit", ROMEO) == [1, 1]


@pytest.mark.parametrize("point", ["append", "append.done"])
async def test_also_while_the_first_one_is_on_its_way(server: Harness, store: HeldBack, point: str) -> None:
    romeo = await online(server, "garden")
    juliet = await server.client(JULIET)
    store.hold(point)
    juliet.send_nowait(tell(1) + tell(2))
    await server.pass_by()
    juliet.cut()
    back = await server.client("juliet@capulet.lit/chamber")
    back.send_nowait(tell(1) + tell(2) + tell(3))
    await server.pass_by()
    store.let_go()
    await server.settle()
    assert bodies(romeo) == ["1", "2", "3"]
    back.expect_nothing()
    assert await rows(server, "juliet@capulet.lit", ROMEO) == [3, 3]


async def test_also_where_the_answer_of_the_storage_was_lost(server: Harness, store: HeldBack) -> None:
    """She was told that it could not be stored, but it was."""
    romeo = await online(server, "garden")
    juliet = await server.client(JULIET)
    store.fail("append.done")
    await juliet.send(tell(1))
    juliet.expect(refusal_of(1))
    store.recover()
    await juliet.send(tell(1) + tell(2))
    juliet.expect_nothing()
    assert bodies(romeo) == ["1", "2"]
    assert await rows(server, "juliet@capulet.lit", ROMEO) == [2, 2]


async def test_a_resend_is_what_the_first_one_is_heard_of_by(server: Harness, store: HeldBack) -> None:
    """It was stored, but nobody knew; nothing else comes that would show it."""
    garden, home = await online(server, "garden"), await online(server, "home")
    juliet = await server.client(JULIET)
    store.fail("append.done")
    await juliet.send(tell(1))
    juliet.expect(refusal_of(1))
    store.recover()
    await juliet.send(tell(1))
    juliet.expect_nothing()
    garden.received = [each for each in garden.received if each.name == "message"]
    assert bodies(garden) == bodies(home) == ["1"]
    await juliet.send(tell(1))
    assert bodies(garden) == bodies(home) == []


def refusal_of(text: object) -> str:
    return refusal(text, "resource-constraint", type="wait")


OTHERS = {
    "to somebody else": (JULIET, tell(1, to=PARIS.split("/")[0])),
    "of another type": (JULIET, tell(1, type="normal")),
    "by another account": (PARIS, tell(1)),
    "with another origin-id": (JULIET, tell(1, name="x")),
}


@pytest.mark.parametrize(("sender", "message"), OTHERS.values(), ids=OTHERS)
async def test_what_is_no_resend(server: Harness, sender: str, message: str) -> None:
    romeo, paris = (
        await online(server, "garden"),
        await server.client("paris@capulet.lit/home", available=True),
    )
    juliet = await server.client(JULIET)
    await juliet.send(tell(1))
    assert bodies(romeo) == ["1"]
    await juliet.close()
    client = await server.client(sender)
    await client.send(message)
    assert bodies(romeo) + bodies(paris) == ["1"]
    client.expect_nothing()
    assert sum(await rows(server, "juliet@capulet.lit", ROMEO, "paris@capulet.lit")) == 4


@pytest.mark.parametrize("message", [say(1), tell(1, name="")], ids=["no origin-id", "an empty one"])
async def test_a_message_without_a_name_is_never_a_resend(server: Harness, message: str) -> None:
    """The attribute ``id`` says nothing: clients begin to count anew."""
    romeo = await online(server, "garden")
    juliet = await server.client(JULIET)
    await juliet.send(message)
    juliet = await again(server, juliet)
    await juliet.send(message)
    assert bodies(romeo) == ["1", "1"]
    assert await rows(server, "juliet@capulet.lit", ROMEO) == [2, 2]


async def test_it_may_go_to_another_device_of_the_same_account(server: Harness) -> None:
    """The device that she wrote to is gone, so her client sends it to the account."""
    romeo = await online(server, "garden")
    juliet = await server.client(JULIET)
    await juliet.send(tell(1, to=f"{ROMEO}/garden"))
    juliet = await again(server, juliet)
    await juliet.send(tell(1))
    assert bodies(romeo) == ["1"]


def checks(store: HeldBack) -> list[list[bool]]:
    """For each batch: which of its messages were looked for in the archive."""
    found = [[message.check > 0 for message in batch] for batch in store.appended]
    store.appended.clear()
    return found


async def test_only_the_first_messages_of_a_session_are_looked_at(server: Harness, store: HeldBack) -> None:
    """For a while, and until it has sent something new then: looking costs the database something."""
    juliet = await server.client(JULIET)
    await juliet.send(tell(1) + tell(2))
    juliet = await again(server, juliet)
    store.appended.clear()
    await juliet.send(tell(3))  # as a receipt may come in front of what is sent again
    await juliet.send(tell(1))
    assert checks(store) == [[True], [True]]
    await server.advance(LATER)
    await juliet.send(tell(2))
    await juliet.send(tell(4))
    assert checks(store) == [[True], [True]]
    await juliet.send(tell(5) + tell(6))
    assert checks(store) == [[False, False]]
    romeo = await online(server, "garden")
    assert bodies(romeo) == ["1", "2", "3", "4", "5", "6"]


async def test_later_only_what_trouble_with_the_storage_met_is_looked_for(
    server: Harness, store: HeldBack
) -> None:
    """A client that was told to try again does so on the same session; to look for all that comes would slow down a
    storage that is in trouble.
    """
    juliet, romeo = await server.client(JULIET), await online(server, "garden")
    await juliet.send(tell(1))
    await server.advance(LATER)
    await juliet.send(tell(2))
    store.appended.clear()
    store.fail("append.done")
    await juliet.send(tell(3) + tell(4))
    juliet.expect(refusal_of(3), refusal_of(4))
    store.recover()
    await juliet.send(tell(5) + tell(4) + tell(3))
    assert checks(store) == [[False, False], [False, True, True]]
    juliet.expect_nothing()
    assert await rows(server, "juliet@capulet.lit", ROMEO) == [5, 5]
    assert bodies(romeo) == ["1", "2", "3", "4", "5"]


async def test_a_session_that_goes_on_with_stream_management_is_not_checked_again(
    server: Harness, store: HeldBack
) -> None:
    """It knows what was handled (XEP-0198), and sends only the rest."""
    juliet = await server.client(JULIET)
    await juliet.enable()
    await juliet.send(tell(1))
    await server.advance(LATER)
    await juliet.send(tell(2))
    juliet.cut()
    back = server.unbound(JULIET)
    await back.resume(juliet, 0)
    await back.send(tell(3))
    assert checks(store) == [[True], [True], [False]]


@pytest.mark.parametrize(("seconds", "number"), [(3_590, 1), (3_610, 2)])
async def test_after_a_time_it_counts_as_another_message(
    store: HeldBack, seconds: float, number: int
) -> None:
    async with Harness("capulet.lit", wrap=store.wrap, toml="[limits]\nresend_seconds = 3600") as server:
        await server.account(ROMEO)
        juliet = await server.client(JULIET)
        await juliet.send(tell(1))
        juliet = await again(server, juliet)
        await server.advance(seconds)
        await juliet.send(tell(1))
        assert await rows(server, "juliet@capulet.lit", ROMEO) == [number, number]


async def test_a_note_to_oneself_is_recognised_too(server: Harness) -> None:
    juliet = await server.client(JULIET, available=True)
    await juliet.send(tell(1, to="juliet@capulet.lit"))
    assert bodies(juliet) == ["1"]
    juliet = await again(server, juliet)
    await juliet.send(tell(1, to="juliet@capulet.lit") + tell(2, to="juliet@capulet.lit"))
    assert await rows(server, "juliet@capulet.lit") == [2]
