"""How long history is kept: what the operator says for the server, and for single accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.harness import Harness
from tests.support.history import archive, ask
from xmppd.storage.interfaces import StorageUnavailable

JULIET = "juliet@capulet.lit"
NURSE = "nurse@capulet.lit"
PARIS = "paris@capulet.lit"
DAY = 86_400.0


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit", toml="[archive]\ndays = 10\n") as harness:
        yield harness


async def keep(server: Harness, owner: str, days: int) -> None:
    await server.stores.preferences.set_days(await server.account(owner), days)


async def write_daily(server: Harness, days: int, *owners: str) -> None:
    for day in range(days):
        for owner in owners:
            await archive(
                server, owner, f"<message from='romeo@montague.lit' to='{owner}'><body>{day}</body></message>"
            )
        server.clock.advance(DAY - len(owners))


async def kept(server: Harness, owner: str) -> list[str]:
    client = await server.client(f"{owner}/x")
    bodies = (await ask(client, "<max>100</max>")).bodies
    await client.close()
    return bodies


async def test_each_keeps_as_much_as_is_meant_for_it(server: Harness) -> None:
    await keep(server, NURSE, 2)
    await keep(server, PARIS, 100)  # longer than the server keeps anything
    await write_daily(server, 12, JULIET, NURSE, PARIS)
    server.node.retention.start()
    await server.settle()
    ten = ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]
    assert await kept(server, JULIET) == ten
    assert await kept(server, NURSE) == ["10", "11"]
    assert await kept(server, PARIS) == ten
    await server.advance(DAY)
    assert await kept(server, JULIET) == ten[1:]
    assert await kept(server, NURSE) == ["11"]


async def test_everything_is_kept_where_nothing_is_said() -> None:
    async with Harness("capulet.lit") as server:
        await write_daily(server, 3, JULIET)
        server.clock.advance(4_000 * DAY)
        server.node.retention.start()
        await server.settle()
        assert await kept(server, JULIET) == ["0", "1", "2"]


async def test_many_messages_are_erased_in_portions(server: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmppd.im.retention._BATCH", 2)
    monkeypatch.setattr("xmppd.im.retention._OWNERS", 1)
    await keep(server, NURSE, 1)
    await keep(server, PARIS, 1)
    await write_daily(server, 7, JULIET, NURSE, PARIS)
    server.clock.advance(7 * DAY)
    server.node.retention.start()
    await server.settle()
    assert await kept(server, JULIET) == ["4", "5", "6"]
    assert await kept(server, NURSE) == []
    assert await kept(server, PARIS) == []


async def test_what_is_no_history_is_forgotten_once_it_was_delivered(server: Harness) -> None:
    # XEP-0334#no-permanent-store
    juliet = await server.account(JULIET)
    nurse = await server.client(f"{NURSE}/x")
    await nurse.send(
        f"<message to='{JULIET}' type='chat'><body>secret</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>"
    )
    server.node.retention.start()
    await server.settle()
    client = await server.client(f"{JULIET}/x")
    await client.send("<presence/>")
    assert "secret" in [body.text() for each in client.received if (body := each.child("body"))]
    await client.close()
    assert (await server.stores.archive.owed(juliet, after=0, limit=9))[0] != []
    await server.advance(3_700)
    assert (await server.stores.archive.owed(juliet, after=0, limit=9))[0] == []


async def test_a_name_of_what_was_erased_is_not_found_and_never_used_again(server: Harness) -> None:
    # XEP-0313#business-ids
    await keep(server, JULIET, 1)
    [old] = await archive(server, JULIET, f"<message from='{NURSE}' to='{JULIET}'><body>0</body></message>")
    server.clock.advance(2 * DAY)
    server.node.retention.start()
    await server.settle()
    server.clock._now -= 3 * DAY  # the clock is set back
    names = await archive(server, JULIET, f"<message from='{NURSE}' to='{JULIET}'><body>1</body></message>")
    juliet = await server.client(f"{JULIET}/x")
    assert (await ask(juliet)).names == names != [old]
    await juliet.send(
        "<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>"
        f"<after>{old}</after></set></query></iq>"
    )
    juliet.expect(
        f"<iq type='error' from='{JULIET}' to='{juliet.jid}' id='1'><error type='cancel'>"
        "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></iq>"
    )


async def test_the_storage_is_maintained_while_the_server_runs() -> None:
    calls: list[str] = []

    async def maintain() -> None:
        calls.append("maintained")

    async with Harness("capulet.lit", wrap=lambda stores: replace(stores, maintain=maintain)) as server:
        server.node.retention.start()
        await server.settle()
        await server.advance(3_600)
    assert len(calls) == 2


async def test_a_storage_that_fails_is_asked_again_an_hour_later(
    server: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await write_daily(server, 1, JULIET)
    server.clock.advance(11 * DAY)

    async def fail(self: object, *, before: int, limit: int = 0) -> int:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(type(server.stores.archive), "expire", fail)
        server.node.retention.start()
        await server.settle()
    assert "old messages are not erased: away" in caplog.text
    assert await kept(server, JULIET) == ["0"]
    await server.advance(3_600)
    assert await kept(server, JULIET) == []
