"""Kept messages with two nodes over one storage: each node has its own idea of what was delivered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conversations.contacts import JULIET, ROMEO
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.mail import bodies, say, says, texts
from xmppd.cluster.interfaces import Envelope
from xmppd.jid import Jid

UNKNOWN = "<query xmlns='urn:unknown'/>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", "montague.lit", nodes=2) as server:
        yield server


@pytest_asyncio.fixture
async def held(store: HeldBack) -> AsyncIterator[Harness]:
    """Two nodes whose archive the test holds back."""
    async with Harness("capulet.lit", "montague.lit", nodes=2, wrap=store.wrap) as server:
        await server.account(ROMEO)
        yield server
        store.let_go()


async def test_what_is_kept_on_one_node_is_fetched_on_the_other(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    await server.account(ROMEO)
    await juliet.send(says(0, 30, ROMEO))
    romeo = await server.client(f"{ROMEO}/garden", node=1)
    await romeo.send("<presence/>")
    assert bodies(romeo) == texts(0, 30)


@pytest.mark.parametrize("known", [True, False], ids=["after it was told of him", "before"])
async def test_one_that_is_committed_after_the_other_node_has_looked_is_not_stuck(
    held: Harness, store: HeldBack, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    store.hold("append")
    juliet.send_nowait(say(1, ROMEO))
    await held.pass_by()
    romeo = await held.client(f"{ROMEO}/garden", node=1)
    if known:
        romeo.send_nowait("<presence/>")
        await held.pass_by()
        assert "owed" in store.calls, "he has looked in vain"
        store.let_go()
    else:
        late: list[tuple[str, Envelope]] = []
        with monkeypatch.context() as patch:
            patch.setattr(held.bus, "send", lambda *envelope: late.append(envelope))
            romeo.send_nowait("<presence/>")
            await held.pass_by()
            assert "owed" in store.calls, "he has looked in vain"
            store.let_go()
            await held.pass_by()
        for envelope in late:
            held.bus.send(*envelope)
    await held.settle()
    assert bodies(romeo) == ["1"]
    assert await held.waiting(ROMEO) == 0


async def test_a_message_from_the_other_node_does_not_overtake_what_is_kept(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    await juliet.send(say(1, ROMEO) + say(2, ROMEO))
    store.hold("owed.done")
    romeo = await held.client(f"{ROMEO}/garden", node=1)
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(3, ROMEO) + say(4, str(romeo.jid)))
    juliet.send_nowait(f"<iq type='get' id='5' to='{romeo.jid}'>{UNKNOWN}</iq>")
    await held.pass_by()
    assert bodies(romeo) == []
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["1", "2", "3", "4"]


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

    class Slow(HeldBack):
        async def stop(self, point: str) -> None:
            for _ in range(rng.choice((0, 0, 1, 2, 5, 30))):
                await asyncio.sleep(0)

    store = Slow()
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


async def test_what_came_from_the_other_node_behind_the_kept_ones_is_kept_if_nobody_takes_those(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    await juliet.send(say(1, ROMEO))
    store.hold("owed.done")
    romeo = await held.client(f"{ROMEO}/garden", node=1)
    romeo.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2, ROMEO) + say(3, str(romeo.jid)))
    await held.pass_by()
    romeo.send_nowait("<presence><priority>-1</priority></presence>")
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(romeo) == ["3"]
    await romeo.send("<presence/>")
    assert bodies(romeo) == ["1", "2"]


async def test_who_wants_messages_again_gets_what_another_node_kept_meanwhile(server: Harness) -> None:
    """Also where that node does not remember any more that it kept something."""
    juliet = await server.client(f"{JULIET}/balcony")
    romeo = await server.client(f"{ROMEO}/garden", node=1, available=True)
    for number, leave in enumerate(
        ("<presence type='unavailable'/>", "<presence><priority>-1</priority></presence>")
    ):
        await romeo.send(leave)
        await juliet.send(say(number, ROMEO))
        assert bodies(romeo) == []
        server.nodes[0].core.accounts.drop(Jid.parse(ROMEO))
        await romeo.send("<presence/>")
        assert bodies(romeo) == [str(number)]
        assert await server.waiting(ROMEO, node=1) == 0


async def test_a_message_for_a_device_on_the_other_node_goes_only_there_while_kept_ones_are_given(
    held: Harness, store: HeldBack
) -> None:
    juliet = await held.client(f"{JULIET}/balcony")
    there = await held.client(f"{ROMEO}/there", node=1)
    await there.send("<presence><priority>-1</priority></presence>")
    await juliet.send(say(1, ROMEO))
    store.hold("owed.done")
    here = await held.client(f"{ROMEO}/here")
    here.send_nowait("<presence/>")
    await held.pass_by()
    juliet.send_nowait(say(2, str(there.jid)) + say(3, ROMEO))
    await held.pass_by()
    store.let_go()
    await held.settle()
    assert bodies(here) == ["1", "3"]
    assert bodies(there) == ["2"]
    assert await held.waiting(ROMEO) == 0


async def test_a_node_does_not_count_as_delivered_what_only_another_one_can_deliver(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony")
    here = await server.client(f"{ROMEO}/here", available=True)
    there = await server.client(f"{ROMEO}/there", node=1)
    await there.enable("")
    await there.send("<presence/>")
    await here.send("<presence type='unavailable'/>")
    await juliet.send(say(1, ROMEO))
    assert bodies(there) == ["1"]
    assert await server.waiting(ROMEO) == 1, "it is not acknowledged"
    await there.close()
    await here.send("<presence/>")
    assert bodies(here) == ["1"]
    assert await server.waiting(ROMEO) == 0
