"""XEP-0424: what is taken back is gone from the history of both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import JULIET, ROMEO, archive, ask
from tests.support.xml import matches, parse, show
from xmppd.storage.archive import ArchiveStore
from xmppd.storage.interfaces import StorageUnavailable


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness(
        "capulet.lit", "montague.lit", toml="[extensions.retraction]\nlook_back = 5\n"
    ) as harness:
        yield harness


def say(id: str, body: str, to: str = JULIET, more: str = "") -> str:
    return f"<message to='{to}' type='chat' id='{id}'><body>{body}</body>{more}</message>"


def take_back(original: str, to: str = JULIET, id: str = "retract-message-1") -> str:
    return (
        f"<message type='chat' to='{to}' id='{id}'>"
        f"<retract id='{original}' xmlns='urn:xmpp:message-retract:1'/>"
        "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/>"
        "<body>/me retracted a previous message, but it's unsupported by your client.</body>"
        "<store xmlns='urn:xmpp:hints'/></message>"
    )


async def history(*clients: Client) -> list[str]:
    """The texts in the history of all ``clients``, which have the same; a tombstone is a cross."""
    texts: list[list[str]] = []
    for client in clients:
        client.received.clear()
        shown = (await ask(client, "<max>100</max>")).messages
        texts.append(
            [
                "†"
                if message.child("retracted", "urn:xmpp:message-retract:1") is not None
                else body.text()
                if (body := message.child("body")) is not None
                else "-"
                for message in shown
            ]
        )
    assert all(each == texts[0] for each in texts)
    return [text[:3] for text in texts[0]]


async def test_a_tombstone_is_left_on_both_sides(server: Harness, juliet: Client, romeo: Client) -> None:
    # XEP-0424#tombstones
    await romeo.send(say("1", "one"))
    await romeo.send(say("wrong-recipient-1", "secret", more="<x xmlns='urn:leak'/><thread>t</thread>"))
    await server.advance(72.5)
    await romeo.send(take_back("wrong-recipient-1"))
    assert juliet.received[-1].child("retract", "urn:xmpp:message-retract:1") is not None
    assert await history(juliet, romeo) == ["one", "†", "/me"]
    for client in (juliet, romeo):
        shown = await ask(client)
        [wanted] = parse(
            f"""<message type='chat' from='{ROMEO}/orchard' to='{JULIET}' id='wrong-recipient-1'>
              <retracted stamp='2026-09-21T14:14:32.500Z' xmlns='urn:xmpp:message-retract:1' id='retract-message-1'/>
            </message>"""
        )
        assert matches(wanted, shown.messages[1]), show(shown.messages[1])
        assert shown.messages[2].child("retract", "urn:xmpp:message-retract:1") is not None


async def test_the_other_side_takes_nothing_back(server: Harness, juliet: Client, romeo: Client) -> None:
    # XEP-0424#rules
    await romeo.send(say("1", "one"))
    await juliet.send(take_back("1", to=ROMEO))
    paris = await server.client("paris@capulet.lit/street")
    await paris.send(take_back("1"))
    await paris.send(take_back("1", to=ROMEO))
    romeo.received.clear()
    assert (await ask(romeo)).bodies[0] == "one"
    juliet.received.clear()
    assert (await ask(juliet)).bodies[0] == "one"


async def test_another_device_of_the_author_takes_it_back(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await romeo.send(say("1", "one"))
    phone = await server.client(f"{ROMEO}/phone", available=True)
    await phone.send(take_back("1"))
    assert await history(juliet, romeo) == ["†", "/me"]


async def test_the_origin_id_names_it_too(juliet: Client, romeo: Client) -> None:
    await romeo.send(say("x", "one", more="<origin-id xmlns='urn:xmpp:sid:0' id='o&apos;1'/>"))
    await romeo.send(take_back("o&apos;1"))
    assert await history(juliet, romeo) == ["†", "/me"]


async def test_corrections_hold_the_same_secret(juliet: Client, romeo: Client) -> None:
    await romeo.send(say("1", "secert"))
    await romeo.send(say("2", "secret", more="<replace xmlns='urn:xmpp:message-correct:0' id='1'/>"))
    await romeo.send(say("3", "other", more="<replace xmlns='urn:xmpp:message-correct:0' id='0'/>"))
    await romeo.send(take_back("1"))
    assert await history(juliet, romeo) == ["†", "†", "oth", "/me"]


async def test_who_takes_a_correction_back_means_the_message(juliet: Client, romeo: Client) -> None:
    replaces = "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>"
    await romeo.send(say("0", "zero"))
    await romeo.send(say("1", "secert"))
    await romeo.send(say("2", "secret", more=replaces))
    await romeo.send(say("3", "SECRET", more=replaces))
    await romeo.send(take_back("2"))
    assert await history(juliet, romeo) == ["zer", "†", "†", "†", "/me"]


async def test_corrections_of_each_other_are_taken_back(juliet: Client, romeo: Client) -> None:
    for id, other in (("1", "2"), ("2", "1")):
        await romeo.send(say(id, "x", more=f"<replace xmlns='urn:xmpp:message-correct:0' id='{other}'/>"))
    await romeo.send(take_back("1"))
    assert await history(juliet, romeo) == ["†", "†", "/me"]


async def test_the_newest_of_that_name_is_meant(juliet: Client, romeo: Client) -> None:
    for body in ("one", "two"):
        await romeo.send(say("1", body))
    await romeo.send(take_back("1"))
    assert await history(juliet, romeo) == ["one", "†", "/me"]


async def test_a_retraction_is_not_taken_back(juliet: Client, romeo: Client) -> None:
    """XEP-0424#rules: it stays in the archive, whatever it is called."""
    await romeo.send(say("1", "one"))
    await romeo.send(take_back("1", id="1"))
    await romeo.send(take_back("1", id="2"))
    assert await history(juliet, romeo) == ["†", "/me", "/me"]


async def test_what_does_not_name_itself_or_its_original_leaves_no_tombstone(
    juliet: Client, romeo: Client
) -> None:
    await romeo.send(say("1", "one"))
    await romeo.send(take_back("1").replace("id='retract-message-1'", ""))
    await romeo.send(take_back("1").replace("retract id='1'", "retract"))
    await romeo.send(take_back("nothing"))
    assert await history(juliet, romeo) == ["one", "/me", "/me", "/me"]


async def test_what_is_too_far_back_stays(juliet: Client, romeo: Client) -> None:
    for id in range(6):
        await romeo.send(say(str(id), str(id)))
    await romeo.send(take_back("0"))
    await romeo.send(take_back("2"))
    assert await history(juliet, romeo) == ["0", "1", "†", "3", "4", "5", "/me", "/me"]


async def test_an_old_message_is_found_page_by_page() -> None:
    async with Harness("capulet.lit", "montague.lit") as server:
        juliet = await server.client(f"{JULIET}/balcony", available=True)
        romeo = await server.client(f"{ROMEO}/orchard", available=True)
        await romeo.send(say("first", "one"))
        filler = f"<message from='{ROMEO}' to='{JULIET}'><body>first</body></message>"
        for owner in (JULIET, ROMEO):
            await archive(server, owner, *([filler] * 250))
        await romeo.send(take_back("first"))
        for client in (juliet, romeo):
            client.received.clear()
            assert (await ask(client, "<max>1</max>")).bodies == []


async def test_who_was_away_does_not_get_what_was_taken_back(server: Harness, romeo: Client) -> None:
    await server.account(JULIET)
    await romeo.send(say("1", "secret"))
    await romeo.send(take_back("1"))
    juliet = await server.client(f"{JULIET}/balcony")
    await juliet.send("<presence/>")
    assert [stanza.attrs.get("id") for stanza in juliet.received if stanza.name == "message"] == [
        "retract-message-1"
    ]
    assert await history(juliet, romeo) == ["†", "/me"]


async def test_a_note_to_oneself_is_taken_back(server: Harness, juliet: Client) -> None:
    await juliet.send(say("1", "one"))
    await juliet.send(take_back("1"))
    assert await history(juliet) == ["†", "/me"]


async def test_that_the_server_does_this_is_announced(juliet: Client) -> None:
    # XEP-0424#disco, XEP-0424#tombstones
    for at in (JULIET, "capulet.lit"):
        await juliet.send(
            f"<iq type='get' id='1' to='{at}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        info = next(juliet.received.pop().elements())
        features = {feature.attrs["var"] for feature in info.each("feature")}
        assert {"urn:xmpp:message-retract:1", "urn:xmpp:message-retract:1#tombstone"} <= features


async def test_to_take_back_twice_is_to_take_back_once(juliet: Client, romeo: Client) -> None:
    for body in ("one", "two"):
        await romeo.send(say("1", body))
    await romeo.send(take_back("1"))
    await romeo.send(take_back("1", id="again"))
    assert await history(juliet, romeo) == ["one", "†", "/me", "/me"]


async def test_what_a_storage_that_is_away_keeps_is_taken_back_when_it_is_there_again(
    server: Harness,
    juliet: Client,
    romeo: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await romeo.send(say("1", "one"))

    async def fail(*args: object) -> bool:
        raise StorageUnavailable("full")

    with monkeypatch.context() as patched:
        patched.setattr(type(server.stores.archive), "replace", fail)
        await romeo.send(take_back("1"))
        assert "1 messages that were taken back stay in the archive for now: full" in caplog.text
        await server.advance(15)
        await romeo.send(say("2", "two"))
        await romeo.send(take_back("2", id="retract-message-2"))
        assert await history(juliet, romeo) == ["one", "/me", "two", "/me"]
    await server.advance(10)
    assert await history(juliet, romeo) == ["†", "/me", "†", "/me"]


CORRECTS_1 = "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>"


@pytest.mark.parametrize("replaced", range(5))
async def test_what_a_crash_came_in_between_of_is_taken_back_at_the_next_start(
    server: Harness, monkeypatch: pytest.MonkeyPatch, replaced: int
) -> None:
    """The server dies behind so many of the six tombstones: the message and two corrections, in two archives."""
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await server.account(JULIET)
    for id, body in (("0", "zero"), ("1", "one")):
        await romeo.send(say(id, body))
    for id, body in (("2", "two"), ("3", "three")):
        await romeo.send(say(id, body, more=CORRECTS_1))
    replace = type(server.stores.archive).replace
    done = 0

    async def die(store: ArchiveStore, owner: int, id: int, stanza: bytes, kind: int) -> bool:
        nonlocal done
        if done == replaced:
            raise StorageUnavailable("full")
        done += 1
        return await replace(store, owner, id, stanza, kind)

    with monkeypatch.context() as patched:
        patched.setattr(type(server.stores.archive), "replace", die)
        await romeo.send(take_back("2"))
    await server.restart(crash=True)
    romeo = await server.client(f"{ROMEO}/orchard")
    juliet = await server.client(f"{JULIET}/balcony")
    server.node.start()
    await server.settle()
    assert await history(juliet, romeo) == ["zer", "†", "†", "†", "/me"]
    assert await server.stores.pending.list() == []


async def test_only_what_takes_something_back_is_looked_at_again(
    server: Harness, juliet: Client, romeo: Client
) -> None:
    await romeo.send(say("1", "one"))
    await romeo.send(f"<message to='{JULIET}'><received xmlns='urn:xmpp:receipts' id='1'/></message>")
    await romeo.send(take_back("1").replace("id='retract-message-1'", ""))
    assert await server.stores.pending.list() == []
    await romeo.send(take_back("1"))
    assert await server.stores.pending.list() == [], "it is done"
    assert await history(juliet, romeo) == ["†", "-", "/me", "/me"]
