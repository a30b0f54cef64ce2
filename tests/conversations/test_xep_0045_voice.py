"""XEP-0045#requestvoice, #voiceapprove: a visitor asks for a voice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import ROOM, attend, forget, make_room, refused, seen

CRONE = "crone1@shakespeare.lit"
REQUEST = "http://jabber.org/protocol/muc#request"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        await make_room(server, CRONE, moderated=True)
        yield server


def form(*fields: tuple[str, str], type: str = "submit", form_type: str = REQUEST) -> str:
    written = "".join(f"<field var='{name}'><value>{value}</value></field>" for name, value in fields)
    return (
        f"<message id='yd53c486' to='{ROOM}'><x xmlns='jabber:x:data' type='{type}'>"
        f"<field var='FORM_TYPE'><value>{form_type}</value></field>{written}</x></message>"
    )


def answer(visitor: Client, allow: str, nick: str = "thirdwitch") -> str:
    return form(
        ("muc#role", "participant"),
        ("muc#jid", str(visitor.jid)),
        ("muc#roomnick", nick),
        ("muc#request_allow", allow),
    )


ASK = form(("muc#role", "participant"))


def approval(to: Client, visitor: Client) -> str:
    return f"""
        <message from='{ROOM}' id='yd53c486' to='{to.jid}'>
          <x xmlns='jabber:x:data' type='form'>
            <title>Voice request</title>
            <instructions>*</instructions>
            <field var='FORM_TYPE' type='hidden'><value>{REQUEST}</value></field>
            <field var='muc#role' type='list-single' label='Requested role'><value>participant</value></field>
            <field var='muc#jid' type='jid-single' label='User ID'><value>{visitor.jid}</value></field>
            <field var='muc#roomnick' type='text-single' label='Room Nickname'><value>thirdwitch</value></field>
            <field var='muc#request_allow' type='boolean' label='Grant voice to this person?'>
              <value>false</value>
            </field>
          </x>
        </message>"""


async def two(server: Harness) -> tuple[Client, Client]:
    """A moderator and a visitor."""
    moderator = await attend(server, f"{CRONE}/pda", "firstwitch")
    visitor = await attend(server, "hag66@shakespeare.lit/pda", "thirdwitch")
    forget(moderator, visitor)
    return moderator, visitor


async def test_a_visitor_asks_and_a_moderator_gives(server: Harness) -> None:
    moderator, visitor = await two(server)
    await visitor.send(ASK)
    moderator.expect(approval(moderator, visitor))
    visitor.expect_nothing()
    await moderator.send(answer(visitor, "true"))
    moderator.expect(seen(moderator, "thirdwitch", "none", "participant", jid=visitor, actor="firstwitch"))
    visitor.expect(seen(visitor, "thirdwitch", "none", "participant", codes=(110,), actor="firstwitch"))
    await moderator.send(answer(visitor, "true"))  # as a second moderator does, who has not seen that
    moderator.expect_nothing()
    await visitor.send(ASK)
    visitor.expect(refused(visitor, "not-acceptable", "modify", id="yd53c486", kind="message"))


async def test_a_moderator_need_not_give_it(server: Harness) -> None:
    moderator, visitor = await two(server)
    await visitor.send(ASK)
    forget(moderator)
    await moderator.send(answer(visitor, "false"))
    await moderator.send(form(type="cancel"))
    moderator.expect_nothing()
    visitor.expect_nothing()


async def test_nobody_gives_it_to_oneself(server: Harness) -> None:
    moderator, visitor = await two(server)
    await visitor.send(answer(visitor, "1"))
    visitor.expect(refused(visitor, "forbidden", "auth", id="yd53c486", kind="message"))
    moderator.expect_nothing()


async def test_who_asked_may_be_gone_or_another_may_have_the_nick(server: Harness) -> None:
    moderator, visitor = await two(server)
    await visitor.send(f"<presence type='unavailable' to='{ROOM}/thirdwitch'/>")
    other = await attend(server, "hecate@shakespeare.lit/broom", "thirdwitch")
    forget(moderator, other)
    for nick in ("thirdwitch", "nobody"):
        await moderator.send(answer(visitor, "true", nick))
        moderator.expect(refused(moderator, "item-not-found", "cancel", id="yd53c486", kind="message"))
    other.expect_nothing()


async def test_without_a_moderator_nobody_is_asked(server: Harness) -> None:
    moderator, visitor = await two(server)
    await moderator.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    forget(visitor)
    await visitor.send(ASK)
    visitor.expect(refused(visitor, "recipient-unavailable", "wait", id="yd53c486", kind="message"))


async def test_what_is_no_such_request_is_refused(server: Harness) -> None:
    moderator, visitor = await two(server)
    for wrong in (
        form(("muc#role", "moderator")),
        form(),
        form(("muc#role", "participant"), form_type="urn:other"),
        form(("muc#role", "participant"), type="form"),
    ):
        await visitor.send(wrong)
        visitor.expect(refused(visitor, "bad-request", "modify", id="yd53c486", kind="message"))
    stranger = await server.client("nym@shakespeare.lit/a", available=True)
    await stranger.send(ASK)
    stranger.expect(refused(stranger, "not-acceptable", "modify", id="yd53c486", kind="message"))
    moderator.expect_nothing()
