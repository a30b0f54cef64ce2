"""What was kept is given to a client as it acknowledges (XEP-0198), and nobody waits for one that is gone."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from xmppd.stream.management import NS

JULIET = "juliet@capulet.lit"
BALCONY = f"{JULIET}/balcony"
ROMEO = "romeo@montague.lit/orchard"
SMALL = "[limits]\nsm_queue_stanzas = 10\n"


def chats(count: int) -> str:
    return "".join(
        f"<message to='{JULIET}' type='chat' id='{number}'><body>{number}</body></message>"
        for number in range(count)
    )


def messages(client: Client) -> list[int]:
    return [int(each.attrs["id"]) for each in client.received if each.name == "message"]


def stanzas(client: Client) -> int:
    """How many it got since it enabled stream management, which it did first."""
    return sum(each.ns == "jabber:client" for each in client.received)


def ack(client: Client, before: int = 0) -> str:
    return f"<a xmlns='{NS}' h='{before + stanzas(client)}'/>"


async def kept(server: Harness, count: int) -> None:
    """So many messages wait for Juliet."""
    await server.account(JULIET)
    romeo = await server.client(ROMEO)
    await romeo.send(chats(count))


async def behind(server: Harness, resource: str = "balcony", resume: str = "resume='true'") -> Client:
    """A client that was given more than it acknowledged."""
    client = await server.client(f"{JULIET}/{resource}")
    await client.enable(resume)
    client.send_nowait("<presence/>")
    await server.pass_by()
    return client


async def test_who_comes_back_under_the_same_name_need_not_wait_for_its_former_session() -> None:
    async with Harness("capulet.lit", "montague.lit", toml=SMALL) as server:
        await kept(server, 60)
        former = await behind(server)
        assert len(messages(former)) < 60
        again = await server.client(BALCONY)
        again.send_nowait("<presence/>")
        await server.pass_by()
        assert messages(again) == list(range(60))


async def test_who_takes_messages_need_not_wait_for_one_that_sleeps() -> None:
    async with Harness("capulet.lit", "montague.lit", toml=SMALL) as server:
        await kept(server, 60)
        phone = await behind(server)
        taken = messages(phone)
        phone.cut()
        other = await server.client(f"{JULIET}/chamber")
        other.send_nowait("<presence/>")
        await server.pass_by()
        assert messages(other) == [number for number in range(60) if number not in taken]


async def test_one_that_sleeps_is_given_no_more_than_it_may_have_unacknowledged() -> None:
    async with Harness("capulet.lit", "montague.lit", toml=SMALL) as server:
        await kept(server, 300)
        phone = await behind(server)
        phone.cut()
        await server.pass_by()
        server.clock.advance(60)
        await server.pass_by()
        assert not phone.session.over
        assert len(phone.session.sm or ()) < 100
        again = server.unbound(BALCONY)
        await again.resume_nowait(phone.sm_id, stanzas(phone))
        got = messages(phone)
        for _ in range(60):
            await server.pass_by()
            again.send_nowait(ack(again, stanzas(phone)))
        assert again.error is None
        assert got + messages(again) == list(range(300))
        assert await server.waiting(JULIET) == 0


async def test_what_comes_live_while_one_sleeps_stands_behind_what_was_kept() -> None:
    async with Harness("capulet.lit", "montague.lit", toml=SMALL) as server:
        await kept(server, 100)
        phone = await behind(server)
        phone.cut()
        romeo = await server.client(f"{ROMEO}2")
        romeo.send_nowait(f"<message to='{JULIET}' type='chat' id='100'><body>100</body></message>")
        await server.pass_by()
        again = server.unbound(BALCONY)
        await again.resume_nowait(phone.sm_id, stanzas(phone))
        for _ in range(30):
            await server.pass_by()
            again.send_nowait(ack(again, stanzas(phone)))
        assert messages(phone) + messages(again) == list(range(101))


async def test_a_client_is_asked_before_it_is_waited_for() -> None:
    """It would not be asked before a thousand stanzas."""
    toml = SMALL + "[extensions.sm]\nask_every = 1000"
    async with Harness("capulet.lit", "montague.lit", toml=toml) as server:
        await kept(server, 60)
        client = await behind(server, resume="")
        assert any(each.name == "r" for each in client.received)
        client.cut()


async def test_who_never_acknowledges_is_not_left_without_messages_for_good() -> None:
    async with Harness("capulet.lit", "montague.lit", toml=SMALL) as server:
        await kept(server, 60)
        client = await behind(server, resume="")
        for _ in range(20):
            server.clock.advance(10)
            await server.pass_by()
        assert messages(client) == list(range(60))
        client.send_nowait(ack(client))


async def test_two_that_do_not_read_get_nothing_twice() -> None:
    async with Harness("capulet.lit", "montague.lit") as server:
        await kept(server, 3)
        one = await server.client(f"{JULIET}/one")
        two = await server.client(f"{JULIET}/two")
        one.stop_reading()
        two.stop_reading()
        one.send_nowait("<presence/>")
        await server.pass_by()
        two.send_nowait("<presence/>")
        for _ in range(10):
            server.clock.advance(10)
            await server.pass_by()
        assert messages(one) == [0, 1, 2]
        assert messages(two) == [0, 1, 2]
        one.read_on()
        two.read_on()


@pytest.mark.parametrize("acks", [True, False])
async def test_a_session_that_ends_while_it_is_waited_for_leaves_all_to_who_is_there(acks: bool) -> None:
    async with Harness("capulet.lit", "montague.lit", toml=SMALL) as server:
        await kept(server, 60)
        client = await server.client(BALCONY)
        if acks:
            await client.enable("")
        else:
            client.stop_reading()
        client.send_nowait("<presence/>")
        await server.pass_by()
        other = await server.client(f"{JULIET}/chamber")
        other.send_nowait("<presence/>")
        await server.pass_by()
        client.cut()
        await server.pass_by()
        assert messages(other) == list(range(60))


async def test_nothing_is_written_again_and_again_to_a_connection_that_is_lost() -> None:
    """Its session ends when the storage has what it sent, which takes its time."""
    store = HeldBack()
    async with Harness("capulet.lit", "montague.lit", wrap=store.wrap) as server:
        await kept(server, 3)
        juliet = await server.client(BALCONY)
        juliet.stop_reading()
        juliet.send_nowait("<presence/>")
        await server.pass_by()
        store.hold("append")
        juliet.send_nowait(f"<message to='{ROMEO}' type='chat'><body>last words</body></message>")
        await server.pass_by()
        juliet.cut()
        await server.pass_by()
        assert not juliet.session.over
        assert len(juliet.missed) < 4
        store.let_go()
        await server.settle()
        assert await server.waiting(JULIET) == 3
