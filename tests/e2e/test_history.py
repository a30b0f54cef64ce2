"""History with slixmpp over TLS: its own idea of XEP-0313, XEP-0441 and XEP-0424."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from tests.support.process import DOMAIN, ServerProcess
from tests.support.slix import Person

PLUGINS = ("xep_0313", "xep_0424", "xep_0441")


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on which nobody has said anything but in these tests."""
    people = ["juliet", "romeo", "nurse", "tybalt", "mercutio", "benvolio", "montague"]
    server = ServerProcess(tmp_path_factory.mktemp("past"), accounts=people)
    with server.running():
        yield server


def person(server: ServerProcess, name: str, *, present: bool = True) -> Person:
    made = Person(server, name, present=present)
    for plugin in PLUGINS:
        made.xmpp.register_plugin(plugin)
    return made


async def bodies(person: Person, **query: Any) -> list[str]:
    """The texts in the history, page by page as slixmpp reads it."""
    return [
        message["mam_result"]["forwarded"]["message"]["body"]
        async for message in person.plugin("xep_0313").iterate(**query)
    ]


async def test_a_new_device_sees_what_was_said(past: ServerProcess) -> None:
    async with person(past, "juliet/balcony") as juliet:
        romeo = f"romeo@{DOMAIN}"
        said = [f"{number}: Romeo, Romeo & <wherefore>?" for number in range(25)]
        before = datetime.now(UTC)
        for text in said:
            juliet.xmpp.send_message(mto=romeo, mbody=text, mtype="chat")
        await juliet.plugin("xep_0199").ping(jid=DOMAIN)
        juliet.xmpp.send_message(mto=f"nurse@{DOMAIN}", mbody="Nurse!", mtype="chat")
        async with person(past, "romeo/orchard", present=False) as orchard:
            assert (
                await bodies(orchard, with_jid=juliet.xmpp.boundjid.bare, start=before - timedelta(minutes=1))
                == said
            )
            assert await bodies(orchard, reverse=True, rsm={"max": 7}) == said[::-1]
            assert await bodies(orchard, start=before + timedelta(days=1)) == []
            metadata = (await orchard.plugin("xep_0313").get_archive_metadata())["mam_metadata"]
            assert (
                before - timedelta(seconds=1) < metadata["start"]["timestamp"] <= metadata["end"]["timestamp"]
            )
            fields = (await orchard.plugin("xep_0313").get_fields()).get_fields()
            assert {"with", "start", "end", "before-id", "after-id", "ids"} < fields.keys()
            # Who has read it gets no second copy.
            orchard.xmpp.send_presence()
            await orchard.plugin("xep_0199").ping(jid=DOMAIN)
            orchard.quiet("message")
        async with person(past, "juliet/chamber") as chamber:
            assert await bodies(chamber, with_jid=romeo) == said
            assert await bodies(chamber) == [*said, "Nurse!"]


async def test_nobody_reads_the_history_of_others(past: ServerProcess) -> None:
    async with person(past, "juliet") as juliet:
        with pytest.raises(IqError) as refused:
            await juliet.plugin("xep_0313").retrieve(jid=f"romeo@{DOMAIN}")
        assert refused.value.condition == "forbidden"


async def test_what_is_not_wanted_is_not_kept(past: ServerProcess) -> None:
    async with person(past, "tybalt/sword") as tybalt, person(past, "mercutio/jest") as mercutio:
        preferences = tybalt.plugin("xep_0441")
        assert (await preferences.get_preferences())[0] == "always"
        await preferences.set_preferences(default="always", never=[mercutio.bare])
        default, always, never = await preferences.get_preferences()
        assert (default, list(always), list(never)) == ("always", [], [mercutio.bare])
        mercutio.xmpp.send_message(mto=tybalt.bare, mbody="Will you walk?", mtype="chat")
        await tybalt.next("message")
        assert "Will you walk?" not in await bodies(tybalt)
        assert "Will you walk?" in await bodies(mercutio)
        await preferences.set_preferences(default="always")


async def test_what_is_taken_back_is_gone(past: ServerProcess) -> None:
    async with person(past, "benvolio") as benvolio, person(past, "montague") as montague:
        secret = benvolio.xmpp.make_message(mto=montague.bare, mbody="He loves Juliet", mtype="chat")
        secret["id"] = "secret"
        secret.send()
        assert (await montague.next("message"))["body"] == "He loves Juliet"
        benvolio.plugin("xep_0424").send_retraction(
            benvolio.xmpp.make_message(mto=montague.bare)["to"], id="secret", include_fallback=True
        )
        await montague.next("message")
        for reader in (benvolio, montague):
            async with asyncio.timeout(10):
                while "He loves Juliet" in (texts := await bodies(reader)):
                    pass
            assert len(texts) == 2
