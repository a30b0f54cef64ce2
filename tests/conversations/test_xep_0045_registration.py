"""XEP-0045#register: people register with a room, and a nick is theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from tests.support.rooms import (
    MUC,
    ROOM,
    admin,
    attend,
    done,
    enter,
    forget,
    listed,
    make_room,
    refused,
    seen,
)
from xmppd.storage.rooms import Affiliated, Affiliation

CRONE = "crone1@shakespeare.lit"
HAG = "hag66@shakespeare.lit"
ASK = f"<iq type='get' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'/></iq>"
REMOVE = f"<iq type='set' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'><remove/></query></iq>"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness("shakespeare.lit") as server:
        yield server


def submit(nick: str, form_type: str = f"{MUC}#register") -> str:
    return (
        f"<iq type='set' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'>"
        "<x xmlns='jabber:x:data' type='submit'>"
        f"<field var='FORM_TYPE'><value>{form_type}</value></field>"
        "<field var='muc#register_first'><value>Brunhilde</value></field>"
        f"<field var='muc#register_roomnick'><value>{nick}</value></field></x></query></iq>"
    )


def blank(to: Client, registered: str = "", nick: str = "") -> str:
    value = f"<value>{nick}</value>" if nick else ""
    return f"""
        <iq type='result' id='1' from='{ROOM}' to='{to.jid}'>
          <query xmlns='jabber:iq:register'>
            {registered}
            <x xmlns='jabber:x:data' type='form'>
              <title>Registration with this room</title>
              <instructions>*</instructions>
              <field var='FORM_TYPE' type='hidden'><value>{MUC}#register</value></field>
              <field var='muc#register_roomnick' type='text-single' label='Desired Nickname'>
                <required/>{value}
              </field>
            </x>
          </query>
        </iq>"""


async def come(server: Harness, jid: str, nick: str, *seers: Client) -> Client:
    client = await attend(server, jid, nick)
    forget(client, *seers)
    return client


async def test_a_user_registers(server: Harness) -> None:
    await make_room(server, CRONE)
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    hag = await come(server, f"{HAG}/pda", "thirdwitch", owner)
    await hag.send(ASK)
    hag.expect(blank(hag))
    await hag.send(submit("thirdwitch"))
    hag.expect(done(hag), seen(hag, "thirdwitch", "member", "participant", codes=(110,)))
    owner.expect(seen(owner, "thirdwitch", "member", "participant", jid=hag))
    await hag.send(ASK)
    hag.expect(blank(hag, "<registered/><username>thirdwitch</username>", "thirdwitch"))
    await owner.send(admin("get", "affiliation='member'"))
    owner.expect(listed(owner, f"affiliation='member' jid='{HAG}' nick='thirdwitch'"))


async def test_there_is_nothing_to_register_with(server: Harness) -> None:
    hag = await server.client(f"{HAG}/pda", available=True)
    await hag.send(ASK)
    hag.expect(refused(hag, "item-not-found", "cancel"))


@pytest.mark.parametrize(
    "settings",
    [{"members_only": True}, {"moderated": True}, {"locked": True}],
    ids=lambda each: next(iter(each)),
)
async def test_a_user_is_not_allowed_to_register(server: Harness, settings: dict[str, Any]) -> None:
    await make_room(server, CRONE, **settings)
    hag = await server.client(f"{HAG}/pda", available=True)
    for xml in (ASK, submit("thirdwitch")):
        await hag.send(xml)
        hag.expect(refused(hag, "not-allowed", "cancel"))


async def test_who_was_given_a_voice_may_register_with_a_moderated_room(server: Harness) -> None:
    await make_room(server, CRONE, moderated=True)
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    hag = await come(server, f"{HAG}/pda", "thirdwitch", owner)
    await hag.send(ASK)
    hag.expect(refused(hag, "not-allowed", "cancel"))
    await owner.send(admin("set", "nick='thirdwitch' role='participant'"))
    forget(hag)
    await hag.send(submit("thirdwitch"))
    hag.expect(done(hag), seen(hag, "thirdwitch", "member", "participant", codes=(110,)))


async def test_who_is_banned_registers_not(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliation.OUTCAST})
    hag = await server.client(f"{HAG}/pda", available=True)
    for xml in (ASK, submit("thirdwitch")):
        await hag.send(xml)
        hag.expect(refused(hag, "not-allowed", "cancel"))
    await hag.send(REMOVE)
    hag.expect(refused(hag, "registration-required", "auth"))


async def test_a_member_reserves_a_nick_and_another_one_later(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliation.MEMBER}, members_only=True)
    hag = await server.client(f"{HAG}/pda", available=True)
    await hag.send(ASK)
    hag.expect(blank(hag, "<registered/>"))
    for nick in ("thirdwitch", "oldhag"):
        await hag.send(submit(nick))
        hag.expect(done(hag))
    await hag.send(ASK)
    hag.expect(blank(hag, "<registered/><username>oldhag</username>", "oldhag"))
    hag.expect_nothing()


@pytest.mark.parametrize("nick", ["thirdwitch", "ThirdWitch", "firstwitch"])
async def test_a_nick_that_is_somebody_elses_is_a_conflict(server: Harness, nick: str) -> None:
    await make_room(server, CRONE, {HAG: Affiliated(Affiliation.MEMBER, "thirdwitch")})
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    hecate = await come(server, "hecate@shakespeare.lit/broom", "hecate", owner)
    await hecate.send(submit(nick))
    hecate.expect(refused(hecate, "conflict", "cancel"))
    owner.expect_nothing()


async def test_nobody_else_enters_with_a_reserved_nick(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliated(Affiliation.MEMBER, "thirdwitch")})
    hecate = await server.client("hecate@shakespeare.lit/broom", available=True)
    for nick in ("thirdwitch", "THIRDWITCH"):
        await hecate.send(enter(nick))
        (error,) = hecate.received
        assert error.get("type") == "error"
        found = error.child("error")
        assert found is not None
        assert found.child("conflict", "urn:ietf:params:xml:ns:xmpp-stanzas") is not None
        forget(hecate)
    await come(server, f"{HAG}/pda", "thirdwitch")


async def test_a_form_that_is_none_is_refused(server: Harness) -> None:
    await make_room(server, CRONE)
    hag = await server.client(f"{HAG}/pda", available=True)
    for xml in (
        submit(""),
        submit("hag", "urn:other"),
        f"<iq type='set' id='1' to='{ROOM}'><query xmlns='jabber:iq:register'/></iq>",
        submit("&#xa0;"),
    ):
        await hag.send(xml)
        hag.expect(refused(hag, "jid-malformed" if "xa0" in xml else "bad-request", "modify"))


async def test_a_member_cancels_the_registration(server: Harness) -> None:
    await make_room(server, CRONE, {HAG: Affiliated(Affiliation.MEMBER, "thirdwitch")}, members_only=True)
    owner = await come(server, f"{CRONE}/desktop", "firstwitch")
    hag = await come(server, f"{HAG}/pda", "thirdwitch", owner)
    await hag.send(REMOVE)
    hag.expect(done(hag), seen(hag, "thirdwitch", "none", "none", codes=(110, 321), gone=True))
    owner.expect(seen(owner, "thirdwitch", "none", "none", jid=hag, codes=(321,), gone=True))
    await hag.send(REMOVE)
    hag.expect(refused(hag, "registration-required", "auth"))
    await owner.send(REMOVE)  # the last owner stays
    owner.expect(refused(owner, "conflict", "cancel"))
