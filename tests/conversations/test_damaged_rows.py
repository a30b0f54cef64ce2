"""A message that the database cannot give back is lost; everything around it is not."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from xmppd.im.results import MAM
from xmppd.storage.packing import Packing

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@montague.lit/orchard"


def chat(id: str, more: str = "") -> str:
    return f"<message to='{JULIET}' type='chat' id='{id}'><body>{id}</body>{more}</message>"


async def write(romeo: Client, monkeypatch: pytest.MonkeyPatch, *, damaged: int) -> None:
    """Three messages, one of which is ``damaged`` in the database."""
    for number in range(3):
        with monkeypatch.context() as patch:
            if number == damaged:
                patch.setattr(Packing, "pack", lambda self, stanza: b"\x01\xff\xff")
            await romeo.send(chat(str(number)))


@pytest.fixture
def domains() -> tuple[str, ...]:
    return ("capulet.lit", "montague.lit")


async def test_the_others_are_delivered(domains: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    async with Harness(*domains) as server:
        romeo = await server.client(ROMEO)
        await server.account(JULIET)
        await write(romeo, monkeypatch, damaged=1)
        juliet = await server.client(f"{JULIET}/balcony")
        await juliet.send("<presence/>")
        await romeo.send(chat("3"))
        assert [each.get("id") for each in juliet.received if each.name == "message"] == ["0", "2", "3"]
        assert await server.waiting(JULIET) == 0


@pytest.mark.parametrize(
    "filter", ["", f"<field var='with'><value>{ROMEO.partition('/')[0]}</value></field>"]
)
@pytest.mark.parametrize("damaged", [0, 1, 2])
async def test_the_others_are_in_the_history_and_in_the_chat_list(
    domains: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, damaged: int, filter: str
) -> None:
    async with Harness(*domains) as server:
        romeo = await server.client(ROMEO)
        await server.account(JULIET)
        await write(romeo, monkeypatch, damaged=damaged)
        juliet = await server.client(f"{JULIET}/balcony")
        form = f"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{MAM}</value></field>{filter}</x>"
        await juliet.send(f"<iq type='set' id='m'><query xmlns='{MAM}'>{form}</query></iq>")
        *found, fin = juliet.received
        assert len(found) == 2
        assert fin.get("type") == "result"
        juliet.received.clear()
        await romeo.send(chat("4", "<retract id='0' xmlns='urn:xmpp:message-retract:1'/>"))
        await juliet.send("<iq type='get' id='i'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
        await juliet.send(
            f"<message to='{ROMEO}'><displayed id='2' xmlns='urn:xmpp:chat-markers:0'/></message>"
        )
        await juliet.send("<iq type='get' id='i'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
        assert [each.get("type") for each in juliet.received if each.name == "iq"] == ["result"] * 2


async def test_a_session_goes_on_without_it(
    domains: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = "[limits]\nsm_queue_bytes = 16384"  # so little that it is read again
    async with Harness(*domains, toml=toml) as server:
        romeo = await server.client(ROMEO)
        juliet = await server.client(f"{JULIET}/balcony", available=True)
        await juliet.enable()
        juliet.cut()
        padding = f"<x xmlns='urn:example'>{'x' * 6_000}</x>"
        for number in range(3):
            with monkeypatch.context() as patch:
                if number == 1:
                    patch.setattr(Packing, "pack", lambda self, stanza: b"\x01\xff\xff")
                await romeo.send(chat(str(number), padding))
        again = server.unbound(f"{JULIET}/balcony")
        await again.resume(juliet, 0)
        assert [each.get("id") for each in again.received if each.name == "message"] == ["0", "2"]
