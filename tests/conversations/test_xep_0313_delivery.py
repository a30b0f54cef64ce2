"""XEP-0313 beside live and offline messages: nothing twice, nothing lost, and nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import JULIET, ROMEO, archive, ask, query
from xmppd.storage.archive import Kind


def said(body: str) -> str:
    return f"<message to='{JULIET}' type='chat'><body>{body}</body></message>"


async def waiting(server: Harness, *bodies: str) -> None:
    """Romeo said these while Juliet was away."""
    await server.account(JULIET)
    romeo = await server.client(f"{ROMEO}/orchard")
    for body in bodies:
        await romeo.send(said(body))
        server.clock.advance(1)
    romeo.expect_nothing()
    await romeo.close()


async def delivered(client: Client) -> list[str]:
    """The texts of what comes on initial presence."""
    client.received.clear()
    await client.send("<presence/>")
    got = [body.text() for stanza in client.received if (body := stanza.child("body")) is not None]
    client.received.clear()
    return got


# XEP-0313#business-storeret-user-archives: no second copy


async def test_who_read_the_history_first_gets_no_second_copy(server: Harness) -> None:
    await waiting(server, "0", "1", "2")
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet)).bodies == ["0", "1", "2"]
    assert await delivered(juliet) == []
    await juliet.close()
    phone = await server.client(f"{JULIET}/phone")
    assert await delivered(phone) == []


async def test_who_read_a_part_gets_the_rest(server: Harness) -> None:
    await waiting(server, "0", "1", "2", "3", "4")
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet, "<max>2</max>")).bodies == ["0", "1"]
    assert (await ask(juliet, "<max>1</max><before/>")).bodies == ["4"]
    assert await delivered(juliet) == ["2", "3"]


async def test_who_only_counts_or_looks_at_somebody_else_gets_everything(server: Harness) -> None:
    await waiting(server, "0", "1")
    juliet = await server.client(f"{JULIET}/balcony")
    await ask(juliet, "<max>0</max>")
    await ask(juliet, with_="nurse@capulet.lit")
    assert await delivered(juliet) == ["0", "1"]


async def test_a_conversation_that_was_read_does_not_come_again(server: Harness) -> None:
    await waiting(server, "0")
    nurse = await server.client("nurse@capulet.lit/kitchen")
    await nurse.send(said("1"))
    await waiting(server, "2")
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet, with_=ROMEO)).bodies == ["0", "2"]
    assert await delivered(juliet) == ["1"]


async def test_what_is_no_history_comes_even_if_all_of_that_was_read(server: Harness) -> None:
    hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
    await waiting(server, "0", f"1</body>{hint}<body xml:lang='en'>", "2")
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet)).bodies == ["0", "2"]
    assert await delivered(juliet) == ["1"]


async def test_what_is_no_history_comes_though_other_such_messages_were_taken_before(server: Harness) -> None:
    hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
    romeo = await server.client(f"{ROMEO}/orchard")
    phone, tablet = [await server.client(f"{JULIET}/{name}", available=True) for name in ("phone", "tablet")]
    for device in (phone, tablet):
        await device.enable()
        device.received.clear()
    await romeo.send(f"<message to='{phone.jid}' type='chat'><body>0</body></message>")
    for body in (f"1</body>{hint}<body xml:lang='en'>", f"2</body>{hint}<body xml:lang='en'>"):
        await romeo.send(said(body))
    await tablet.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")
    await romeo.send(said(f"3</body>{hint}<body xml:lang='en'>"))
    await romeo.send(said("4"))
    for device in (phone, tablet):
        device.cut()
    await server.advance(3_600)
    laptop = await server.client(f"{JULIET}/laptop")
    assert (await ask(laptop)).bodies == ["0", "4"]
    assert await delivered(laptop) == ["3"]


async def test_what_is_no_history_and_another_device_did_not_acknowledge_comes_again(server: Harness) -> None:
    hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
    romeo = await server.client(f"{ROMEO}/orchard")
    phone = await server.client(f"{JULIET}/phone", available=True)
    await phone.enable()
    await romeo.send(said(f"1</body>{hint}<body xml:lang='en'>"))
    await phone.send("<presence type='unavailable'/>")
    await romeo.send(said("2"))
    laptop = await server.client(f"{JULIET}/laptop")
    assert (await ask(laptop)).bodies == ["2"]
    phone.cut()
    await server.advance(3_600)
    assert await delivered(laptop) == ["1"]


async def test_a_long_absence_is_made_up_for_by_history_alone(server: Harness) -> None:
    """More than what is remembered one by one."""
    id = await server.account(JULIET)
    stanza = f"<message from='{ROMEO}/orchard' to='{JULIET}' type='chat'><body>x</body></message>"
    await archive(server, JULIET, *([stanza] * 1_150), kind=Kind.OWED)
    juliet = await server.client(f"{JULIET}/balcony")
    after = ""
    pages = 0
    while True:
        shown = await ask(juliet, f"<max>100</max>{after}")
        pages += 1
        if shown.complete:
            break
        after = f"<after>{shown.set['last']}</after>"
    assert pages == 12
    assert await delivered(juliet) == []
    await juliet.close()
    await server.advance(60)
    found = await server.stores.cursors.load(id, since=0, limit=1_000)
    assert (found.count, found.cursor.above) == (0, frozenset())


async def test_what_comes_while_history_is_read_comes_once(server: Harness) -> None:
    await waiting(server, "0", "1")
    romeo = await server.client(f"{ROMEO}/orchard")
    juliet = await server.client(f"{JULIET}/balcony", available=False)
    juliet.stop_reading()
    juliet.send_nowait(f"<iq type='set' id='1'>{query()}</iq><presence/>")
    await server.pass_by()
    romeo.send_nowait(said("2"))
    await server.pass_by()
    assert all(stanza.name == "message" for stanza in juliet.received)  # not answered before it was read
    juliet.read_on()
    await server.settle()
    bodies = [body.text() for stanza in juliet.received if (body := stanza.child("body")) is not None]
    assert bodies == ["2"]
    kinds = [stanza.name for stanza in juliet.received if stanza.name != "presence"]
    assert kinds == ["message", "message", "iq", "message"]


async def test_a_connection_that_is_lost_over_a_page_settles_nothing(server: Harness) -> None:
    await waiting(server, "0", "1")
    juliet = await server.client(f"{JULIET}/balcony")
    juliet.stop_reading()
    juliet.send_nowait(f"<iq type='set' id='1'>{query()}</iq>")
    await server.pass_by()
    await juliet.close()
    phone = await server.client(f"{JULIET}/phone")
    assert await delivered(phone) == ["0", "1"]


async def test_what_else_was_asked_for_is_not_looked_up_for_who_is_gone(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await waiting(server, "0")
    juliet = await server.client(f"{JULIET}/balcony")
    juliet.stop_reading()
    for _ in range(3):
        juliet.send_nowait(f"<iq type='set' id='1'>{query()}</iq>")
    await server.pass_by()
    asked = []
    read = type(server.stores.archive).read

    async def counted(*args: Any, **options: Any) -> Any:
        asked.append(args)
        return await read(*args, **options)

    monkeypatch.setattr(type(server.stores.archive), "read", counted)
    await juliet.close()
    assert asked == []


async def interrupted(server: Harness) -> Client:
    """Juliet's client, which acknowledges, and lost its connection over a page of three messages that waited."""
    await waiting(server, "0", "1", "2")
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.enable()
    juliet.stop_reading()
    juliet.send_nowait(f"<iq type='set' id='1'>{query()}</iq>")
    await server.pass_by()
    assert [stanza.name for stanza in juliet.received if stanza.ns == "jabber:client"] == ["message"] * 3
    juliet.cut()
    await server.settle()
    return juliet


async def test_who_goes_on_with_a_lost_connection_hears_that_the_page_was_not_finished(
    server: Harness,
) -> None:
    juliet = await interrupted(server)
    again = server.unbound(f"{JULIET}/balcony")
    await again.resume(juliet, 1)
    assert [stanza.name for stanza in again.received] == ["message", "message", "iq", "r"]
    [_, _, answer, _] = again.received
    again.received.clear()
    error = answer.child("error")
    assert error is not None
    assert error.attrs["type"] == "wait"
    assert (await ask(again)).bodies == ["0", "1", "2"]
    assert await delivered(again) == []


@pytest.mark.parametrize("other", ["", "<iq type='get' id='2'><inbox xmlns='urn:xmpp:inbox:1'/></iq>"])
async def test_who_asked_for_many_pages_goes_on_with_a_lost_connection_too(
    server: Harness, other: str
) -> None:
    large = f"<message to='{JULIET}'><body>{'x' * 200_000}</body></message>"
    await server.account(JULIET)
    for number in range(8):
        sender = await server.client(f"friend{number}@capulet.lit/x")
        await sender.send(large)
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.enable()
    juliet.stop_reading()
    juliet.send_nowait(f"<iq type='set' id='1'>{query('<max>1</max>')}</iq>")
    for _ in range(7):
        juliet.send_nowait(other or f"<iq type='set' id='1'>{query()}</iq>")
    await server.pass_by()
    juliet.cut()
    await server.settle()
    again = server.unbound(f"{JULIET}/balcony")
    await again.resume(juliet, 0)
    kinds = [stanza.name for stanza in again.received if stanza.ns == "jabber:client"]
    assert kinds == ["message", *["iq"] * 8]


async def test_a_page_that_nobody_acknowledged_is_nobody_elses(server: Harness) -> None:
    await interrupted(server)
    await server.advance(3_600)
    phone = await server.client(f"{JULIET}/phone")
    await phone.send("<presence/>")
    assert all(stanza.child("result", "urn:xmpp:mam:2") is None for stanza in phone.received)
    assert sum(stanza.name == "message" for stanza in phone.received) == 3
    phone.received.clear()
    assert (await ask(phone)).bodies == ["0", "1", "2"]


# Large pages


async def test_a_page_has_a_bound_in_bytes(server: Harness) -> None:
    large = f"<message from='{ROMEO}' to='{JULIET}'><body>{'x' * 250_000}</body></message>"
    names = await archive(server, JULIET, *([large] * 9))
    juliet = await server.client(f"{JULIET}/balcony")
    seen: list[str] = []
    rsm = ""
    for count in (4, 4, 1):
        shown = await ask(juliet, rsm)
        assert (len(shown.results), shown.complete) == (count, count == 1)
        seen += shown.names
        rsm = f"<after>{shown.set['last']}</after>"
    assert seen == names
    shown = await ask(juliet, "<before/>")
    assert (shown.names, shown.complete) == (names[5:], False)


async def test_a_message_that_is_larger_than_a_page_is_one(
    server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmppd.im.pages._MOST_BYTES", 10)
    stanza = f"<message from='{ROMEO}' to='{JULIET}'><body>x</body></message>"
    names = await archive(server, JULIET, stanza, stanza)
    juliet = await server.client(f"{JULIET}/balcony")
    assert (await ask(juliet)).names == names[:1]
    assert (await ask(juliet, "<before/>")).names == names[1:]


async def test_a_client_that_does_not_read_is_given_little_at_a_time(server: Harness) -> None:
    large = f"<message from='{ROMEO}' to='{JULIET}'><body>{'x' * 30_000}</body></message>"
    await archive(server, JULIET, *([large] * 9))
    juliet = await server.client(f"{JULIET}/balcony")
    juliet.stop_reading()
    juliet.send_nowait(f"<iq type='set' id='1'>{query()}</iq>")
    await server.pass_by()
    assert len(juliet.received) == 3  # 64 KiB and what was begun
    juliet.read_on()
    await asyncio.sleep(0)
    await server.settle()
    assert len(juliet.received) == 10
