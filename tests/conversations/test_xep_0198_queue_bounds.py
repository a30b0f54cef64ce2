"""XEP-0198: the queue of a session has bounds: what is in the archive is read from there, however long one slept."""

from __future__ import annotations

from tests.support.acknowledging import BALCONY, JULIET, PHONE, ROMEO, SECRET, R, a, chat, couple, sleepers
from tests.support.harness import Client, Harness
from tests.support.kept import HeldBack
from tests.support.mail import bodies, texts

SMALL = "[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 16384"


async def missing(server: Harness, count: int) -> tuple[Client, Client]:
    """Juliet, who lost her connection before ``count`` messages came, and Romeo, who wrote them."""
    juliet, romeo = await couple(server)
    juliet.cut()
    for number in range(count):
        await romeo.send(chat(number))
    return juliet, romeo


async def test_a_long_sleep_costs_rows_and_everything_comes() -> None:
    async with Harness(toml=SMALL) as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        for number in range(90):
            await romeo.send(chat(f"{number} {'x' * 1_000}"))
        sm = juliet.session.sm
        assert sm is not None
        assert sum(len(data or b"") for data, _, _ in sm.unacknowledged()) < 16_384
        again = server.unbound(BALCONY)
        await again.resume(juliet, 0)
        named = [element.child("stanza-id", "urn:xmpp:sid:0") for element in again.received]
        assert len({name.attrs["id"] for name in named if name is not None}) == 90
        assert [body.split()[0] for body in bodies(again)] == texts(0, 90)
        await again.send(a(90))
        assert len(sm) == 0
        mailbox = juliet.session.account.mailbox
        assert mailbox is not None
        assert not mailbox._given


async def test_rows_that_were_erased_meanwhile_are_left_out_and_the_count_is_right() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10\nsm_queue_bytes = 262144") as server:
        juliet, _ = await missing(server, 40)
        rows = list(juliet.session.unacknowledged_rows())
        await server.stores.archive.erase(juliet.session.account.id, before=rows[20])
        again = server.unbound(BALCONY)
        await again.resume(juliet, 0)
        assert bodies(again) == texts(0, 10) + texts(20, 40)
        await again.send(a(30))
        assert again.error is None
        assert len(juliet.session.sm or ()) == 0
        mailbox = juliet.session.account.mailbox
        assert mailbox is not None
        assert mailbox.cursor().upto >= rows[-1], "nobody waits for what is not there any more"


async def test_what_comes_while_rows_are_read_is_behind_them() -> None:
    async with Harness(toml=SMALL) as server:
        juliet, romeo = await missing(server, 30)
        again = server.unbound(BALCONY)
        again.stop_reading()
        answer = await again.resume_nowait(juliet.sm_id, 0)
        assert answer.name == "resumed"
        romeo.send_nowait(chat("30") + chat("31", more=SECRET))
        again.send_nowait(R)
        await server.pass_by()
        again.read_on()
        await server.settle()
        assert bodies(again) == texts(0, 32)
        await again.send(a(32))
        assert again.error is None


async def test_a_connection_that_is_lost_while_it_catches_up_is_resumed_again() -> None:
    async with Harness(toml=SMALL) as server:
        juliet, _ = await missing(server, 30)
        second = server.unbound(BALCONY)
        second.stop_reading()
        await second.resume_nowait(juliet.sm_id, 0)
        await server.pass_by()
        got = len(second.received)
        assert 0 < got < 30
        second.cut()
        await server.settle()
        third = server.unbound(BALCONY)
        await third.resume(juliet, got)
        assert bodies(third) == texts(got, 30)


async def test_who_takes_over_while_rows_are_read_gets_everything_and_the_other_nothing_more() -> None:
    store = HeldBack()
    async with Harness(toml=SMALL, wrap=store.wrap) as server:
        juliet, _ = await missing(server, 30)
        store.hold("owed")
        second, third = server.unbound(BALCONY), server.unbound(BALCONY)
        await second.resume_nowait(juliet.sm_id, 0)
        await server.pass_by()
        got = len(second.received)
        await third.resume_nowait(juliet.sm_id, got)
        await server.pass_by()
        while store.waiting("owed"):
            store.step("owed")
            await server.pass_by()
        store.let_go()
        await server.settle()
        assert bodies(third) == texts(got, 30)
        assert len(second.received) == got
        assert second.missed == []


async def test_a_storage_that_fails_while_it_catches_up_costs_the_connection_only() -> None:
    store = HeldBack()
    async with Harness(toml=SMALL, wrap=store.wrap) as server:
        juliet, _ = await missing(server, 30)
        store.fail("owed")
        second = server.unbound(BALCONY)
        await second.resume(juliet, 0)
        assert second.error is not None
        assert second.error.condition == "internal-server-error"
        store.recover()
        third = server.unbound(BALCONY)
        await third.resume(juliet, len(second.received))
        assert len([*second.received, *third.received]) == 30 + 1  # <r/>


async def test_too_much_that_is_in_no_archive_ends_the_sleep() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        juliet, romeo = await couple(server)
        juliet.cut()
        await romeo.send(chat("kept"))
        for _ in range(10):
            await romeo.send(chat("psst", more=SECRET))
        assert sleepers(server) == 1
        await romeo.send(chat("psst", more=SECRET))
        assert sleepers(server) == 0
        answer = await server.unbound(BALCONY).resume(juliet, 0)
        assert answer.name == "failed"
        phone = await server.client(PHONE)
        await phone.send("<presence/>")
        assert "message" in [element.name for element in phone.received]


async def test_a_crowd_costs_the_resumption_until_it_is_acknowledged_but_not_the_stream() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        juliet, romeo = await couple(server)
        for _ in range(25):
            await romeo.send(f"<presence to='{BALCONY}'/>")
        assert juliet.error is None
        juliet.cut()
        assert (await server.unbound(BALCONY).resume(juliet, 3)).name == "failed"

        juliet = await server.client(BALCONY)
        await juliet.enable()
        for _ in range(25):
            await romeo.send(f"<presence to='{BALCONY}'/>")
        juliet.cut()
        again = server.unbound(BALCONY)
        assert (await again.resume(juliet, 24)).name == "resumed"
        again.expect(f"<presence from='{ROMEO}' to='{BALCONY}'/>", R)


async def test_who_never_acknowledges_is_closed() -> None:
    async with Harness(toml="[limits]\nsm_queue_stanzas = 10") as server:
        juliet, romeo = await couple(server)
        for number in range(150):
            await romeo.send(chat(number, JULIET))
        assert juliet.error is not None
        assert juliet.error.condition == "resource-constraint"
        assert juliet.session.over
        phone = await server.client(PHONE)
        await phone.send("<presence/>")
        got = [element for element in phone.received if element.name == "message"]
        assert len(got) == 150
