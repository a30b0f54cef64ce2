"""However large messages are, the server holds no more of an archive in memory than a page, whatever it looks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import archive, ask
from xmppd.storage.archive import Row
from xmppd.storage.sqlite.archive import SqliteArchive

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@capulet.lit"
SIZE = 100_000
MOST = 1_048_576 + 2 * SIZE  # of one page, and what it ends with


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("capulet.lit") as harness:
        yield harness


@pytest.fixture
async def juliet(server: Harness) -> Client:
    return await server.client(f"{JULIET}/balcony", available=True)


@pytest.fixture
def portions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of stanzas that each reading gave."""
    sizes = []
    read = SqliteArchive.read

    async def measured(self: SqliteArchive, *args: Any, **options: Any) -> list[Row]:
        rows = await read(self, *args, **options)
        sizes.append(sum(len(row.stanza) for row in rows))
        return rows

    monkeypatch.setattr(SqliteArchive, "read", measured)
    return sizes


def novel(sender: str, to: str, id: str, body: str = "x" * SIZE) -> str:
    return f"<message from='{sender}' to='{to}' id='{id}' type='chat'><body>{body}</body></message>"


async def test_a_page(server: Harness, juliet: Client, portions: list[int]) -> None:
    names = await archive(server, JULIET, *(novel(ROMEO, JULIET, str(id)) for id in range(40)))
    seen: list[str] = []
    while True:
        shown = await ask(juliet, f"<max>100</max><after>{seen[-1]}</after>" if seen else "<max>100</max>")
        assert shown.results
        seen += shown.names
        if shown.complete:
            break
    assert seen == names
    assert (await ask(juliet, "<before/>", with_=ROMEO)).names == names[-10:]
    assert (await ask(juliet, ids=names[5:35])).names == names[5:15]
    assert max(portions) <= MOST


async def test_a_page_without_what_was_asked_for(
    server: Harness, juliet: Client, portions: list[int]
) -> None:
    await archive(server, JULIET, *(novel(ROMEO, JULIET, str(id)) for id in range(40)))
    assert (await ask(juliet, with_=f"{ROMEO}/elsewhere")).complete
    assert max(portions) <= MOST


async def test_what_a_marker_is_about(server: Harness, juliet: Client, portions: list[int]) -> None:
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    for id in range(40):
        await romeo.send(novel(ROMEO, JULIET, str(id)))
    for shown in ("nothing", "1"):
        await juliet.send(
            f"<message to='{ROMEO}' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='{shown}'/></message>"
        )
    juliet.received.clear()
    await juliet.send("<iq type='get' id='1'><inbox xmlns='urn:xmpp:inbox:1' messages='false'/></iq>")
    entry = juliet.received[0].child("entry", "urn:xmpp:inbox:1")
    assert entry is not None
    assert entry.get("unread") == "38"
    assert max(portions) <= MOST


async def test_what_is_taken_back(server: Harness, juliet: Client, portions: list[int]) -> None:
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    for id in range(40):
        await romeo.send(novel(ROMEO, JULIET, str(id)))
    await romeo.send(
        f"<message to='{JULIET}' type='chat' id='r'><retract xmlns='urn:xmpp:message-retract:1' id='0'/></message>"
    )
    juliet.received.clear()
    shown = await ask(juliet, "<max>1</max>")
    assert shown.messages[0].child("retracted", "urn:xmpp:message-retract:1") is not None
    assert max(portions) <= MOST


async def test_a_chat_list(server: Harness, juliet: Client, portions: list[int]) -> None:
    for number in range(40):
        friend = f"friend{number}@capulet.lit"
        sender = await server.client(f"{friend}/phone")
        await sender.send(novel(friend, JULIET, "m"))
    juliet.received.clear()
    await juliet.send("<iq type='get' id='1'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
    entries = [entry for stanza in juliet.received if (entry := stanza.child("entry", "urn:xmpp:inbox:1"))]
    assert [entry.get("jid") for entry in entries] == [f"friend{n}@capulet.lit" for n in reversed(range(40))]
    assert max(portions) <= MOST
