"""Two people chat with slixmpp over TLS: everything a user does, with a client that is not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from tests.support.process import DOMAIN, PASSWORD, ServerProcess
from tests.support.slix import LoginRefused, Person
from tests.support.wire import Wires

MECHANISMS = ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", None]


@pytest.mark.parametrize("direct", [True, False], ids=["direct TLS", "STARTTLS"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_login(mechanism: str | None, direct: bool, town: ServerProcess) -> None:
    """None: with what the client itself chooses among those on offer."""
    async with Person(town, "juliet", mechanism=mechanism, direct_tls=direct) as juliet:
        assert await juliet.plugin("xep_0199").ping(jid=DOMAIN) < 10


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_refused(mechanism: str | None, town: ServerProcess) -> None:
    with pytest.raises(LoginRefused):
        async with Person(town, "juliet", password="wrong", mechanism=mechanism):
            pass


async def test_an_unknown_user_is_refused(town: ServerProcess) -> None:
    with pytest.raises(LoginRefused):
        async with Person(town, "rosaline"):
            pass


async def test_the_newest_session_wins_a_resource(town: ServerProcess) -> None:
    async with Person(town, "juliet/balcony") as first:
        async with Person(town, "juliet/balcony") as second:
            assert (await first.next("stream_error"))["condition"] == "conflict"
            await second.plugin("xep_0199").ping(jid=DOMAIN)


async def pair(one: Person, other: Person) -> None:
    """Each sees the other's presence."""
    one.xmpp.send_presence_subscription(pto=other.bare)
    request = await other.next("presence_subscribe")
    assert request["from"].bare == one.bare
    other.xmpp.send_presence_subscription(pto=one.bare, ptype="subscribed")
    await one.next("presence_subscribed")
    other.xmpp.send_presence_subscription(pto=one.bare)
    assert (await one.next("presence_subscribe"))["from"].bare == other.bare
    one.xmpp.send_presence_subscription(pto=other.bare, ptype="subscribed")
    await other.next("presence_subscribed")
    await one.until("presence_available", from_(other))
    await other.until("presence_available", from_(one))
    for person in (one, other):  # each has been told of the change of its roster by now
        await person.plugin("xep_0199").ping(jid=DOMAIN)


def from_(person: Person) -> Any:
    return lambda stanza: stanza["from"].bare == person.bare


async def test_two_people_meet_talk_and_part(town: ServerProcess) -> None:
    async with Person(town, "tybalt/sword") as tybalt:
        async with Person(town, "mercutio/jest") as mercutio:
            # Contacts
            await tybalt.xmpp.update_roster(mercutio.bare, name="That Mercutio", groups=["Montagues", "Foes"])
            await pair(tybalt, mercutio)
            entry = tybalt.xmpp.client_roster[mercutio.bare]
            assert entry["name"] == "That Mercutio"
            assert sorted(entry["groups"]) == ["Foes", "Montagues"]
            assert entry["subscription"] == "both"
            # Presence
            mercutio.xmpp.send_presence(pshow="away", pstatus="at the feast", ppriority=5)
            away = await tybalt.next("presence_away")
            assert (away["status"], away["priority"]) == ("at the feast", 5)
            # Messages, both ways
            tybalt.xmpp.send_message(mto=mercutio.bare, mbody="Thou consort'st with Romeo.", mtype="chat")
            heard = await mercutio.next("message")
            assert (heard["body"], heard["from"]) == ("Thou consort'st with Romeo.", tybalt.xmpp.boundjid)
            heard.reply("Consort! What, dost thou make us minstrels? & <so> on \N{CROSSED SWORDS}").send()
            answer = await tybalt.next("message")
            assert (
                answer["body"] == "Consort! What, dost thou make us minstrels? & <so> on \N{CROSSED SWORDS}"
            )
            mercutio.xmpp.send_presence(ptype="unavailable", pstatus="a plague")
            gone = await tybalt.until("presence_unavailable", from_(mercutio))
            assert gone["status"] == "a plague"
        # Last seen
        activity = await tybalt.plugin("xep_0012").get_last_activity(mercutio.bare)
        assert 0 <= activity["last_activity"]["seconds"] < 30
        assert activity["last_activity"]["status"] == "a plague"
        # What comes while nobody is there
        for number in range(3):
            tybalt.xmpp.send_message(mto=mercutio.bare, mbody=f"Coward {number}", mtype="chat")
        await tybalt.plugin("xep_0199").ping(jid=DOMAIN)
        async with Person(town, "mercutio/jest") as mercutio:
            for number in range(3):
                late = await mercutio.next("message")
                assert late["body"] == f"Coward {number}"
                assert late["delay"]["stamp"] is not None
                assert late["delay"]["from"] == DOMAIN
            await tybalt.until("presence_available", from_(mercutio))
            # The contact is given up
            await tybalt.xmpp.del_roster_item(mercutio.bare)
            await mercutio.until("presence_unavailable", from_(tybalt))
        with pytest.raises(IqError) as refused:
            await tybalt.plugin("xep_0012").get_last_activity(mercutio.bare)
        assert refused.value.condition in ("forbidden", "service-unavailable")


@pytest.fixture
async def juliet(town: ServerProcess) -> AsyncIterator[Person]:
    async with Person(town, "juliet/balcony") as person:
        yield person


@pytest.fixture
async def romeo(town: ServerProcess) -> AsyncIterator[Person]:
    async with Person(town, "romeo/orchard") as person:
        yield person


async def test_carbons(town: ServerProcess, juliet: Person, romeo: Person) -> None:
    async with Person(town, "juliet/chamber") as other:
        for device in (juliet, other):
            await device.plugin("xep_0280").enable()
        romeo.xmpp.send_message(mto=juliet.xmpp.boundjid, mbody="She speaks", mtype="chat")
        assert (await juliet.next("message"))["body"] == "She speaks"
        assert (await other.next("carbon_received"))["carbon_received"]["body"] == "She speaks"
        juliet.xmpp.send_message(mto=romeo.xmpp.boundjid, mbody="Ay me", mtype="chat")
        assert (await romeo.next("message"))["body"] == "Ay me"
        assert (await other.next("carbon_sent"))["carbon_sent"]["body"] == "Ay me"


async def test_blocking(juliet: Person, romeo: Person) -> None:
    await juliet.plugin("xep_0191").block(romeo.bare)
    blocked = await juliet.plugin("xep_0191").get_blocked()
    assert {str(item["jid"]) for item in blocked["blocklist"]} == {romeo.bare}
    romeo.xmpp.send_message(mto=juliet.bare, mbody="Hello?", mtype="chat")
    bounced = await romeo.next("message_error")
    assert bounced["error"]["condition"] == "service-unavailable"
    await juliet.plugin("xep_0191").unblock(romeo.bare)
    romeo.xmpp.send_message(mto=juliet.bare, mbody="Hello again", mtype="chat")
    assert (await juliet.next("message"))["body"] == "Hello again"
    juliet.quiet("message")


async def test_vcards(juliet: Person, romeo: Person) -> None:
    vcard = juliet.plugin("xep_0054").make_vcard()
    vcard["FN"] = "Juliet Capulet"
    vcard["NICKNAME"] = "jule"
    await juliet.plugin("xep_0054").publish_vcard(vcard)
    got = await romeo.plugin("xep_0054").get_vcard(juliet.bare)
    assert got["vcard_temp"]["FN"] == "Juliet Capulet"


async def test_avatars(juliet: Person, romeo: Person) -> None:
    """XEP-0153: contacts learn from the hash in presence that there is a new picture."""
    await pair(juliet, romeo)
    picture = b"\x89PNG" + bytes(1_000)
    # slixmpp wants to change a vCard that is there; whether none is an empty one is up to the server (XEP-0054).
    await juliet.plugin("xep_0054").publish_vcard(juliet.plugin("xep_0054").make_vcard())
    await juliet.plugin("xep_0153").set_avatar(avatar=picture, mtype="image/png")
    await romeo.until("vcard_avatar_update", from_(juliet))
    got = await romeo.plugin("xep_0054").get_vcard(juliet.bare)
    assert got["vcard_temp"]["PHOTO"]["BINVAL"] == picture


async def test_private_storage(juliet: Person) -> None:
    from slixmpp.plugins.xep_0048 import Bookmarks

    bookmarks = Bookmarks()
    bookmarks.add_conference("coven@chat.shakespeare.lit", "nick", name="Coven")
    await juliet.plugin("xep_0049").store(bookmarks)
    got = await juliet.plugin("xep_0049").retrieve("bookmarks")
    (room,) = got["private"]["bookmarks"]["conferences"]
    assert room["jid"] == "coven@chat.shakespeare.lit"


async def test_what_the_server_says_of_itself(juliet: Person) -> None:
    info = await juliet.plugin("xep_0030").get_info(jid=DOMAIN)
    assert info["disco_info"]["features"] >= {
        "jabber:iq:version", "urn:xmpp:ping", "urn:xmpp:time", "urn:xmpp:blocking",
        "urn:xmpp:carbons:2", "vcard-temp", "msgoffline",
    }  # fmt: skip
    assert ("server", "im") in {identity[:2] for identity in info["disco_info"]["identities"]}
    version = await juliet.plugin("xep_0092").get_version(DOMAIN)
    assert version["software_version"]["name"]
    time = await juliet.plugin("xep_0202").get_entity_time(DOMAIN)
    assert time["entity_time"].xml.findtext("{urn:xmpp:time}utc").endswith("Z")
    items = await juliet.plugin("xep_0030").get_items(jid=DOMAIN)
    assert items["disco_items"] is not None


async def test_requests_between_clients(juliet: Person, romeo: Person) -> None:
    version = await romeo.plugin("xep_0092").get_version(juliet.xmpp.boundjid)
    assert version["type"] == "result"
    assert await romeo.plugin("xep_0199").ping(jid=juliet.xmpp.boundjid) < 10


async def test_an_inactive_client_is_left_in_peace(town: ServerProcess) -> None:
    """XEP-0352: presence waits, messages do not; when they come, what waited comes before them."""
    async with Person(town, "sampson") as sampson, Person(town, "gregory") as gregory:
        await pair(sampson, gregory)
        sampson.plugin("xep_0352").send_inactive()
        await sampson.plugin("xep_0199").ping(jid=DOMAIN)
        while not sampson._queues["presence_available"].empty():
            await sampson.next("presence_available")
        for status in ("one", "two", "three"):
            gregory.xmpp.send_presence(pstatus=status)
        await gregory.plugin("xep_0199").ping(jid=DOMAIN)
        sampson.quiet("presence_available")
        gregory.xmpp.send_message(mto=sampson.xmpp.boundjid, mbody="Wake up", mtype="chat")
        assert (await sampson.next("message"))["body"] == "Wake up"
        assert (await sampson.next("presence_available"))["status"] == "three"
        sampson.plugin("xep_0352").send_active()


async def test_a_new_password(town: ServerProcess) -> None:
    async with Person(town, "nurse") as nurse:
        await nurse.plugin("xep_0077").change_password("a new one")
    with pytest.raises(LoginRefused):
        async with Person(town, "nurse"):
            pass
    async with Person(town, "nurse", password="a new one") as nurse:
        await nurse.plugin("xep_0077").change_password(PASSWORD)


async def test_the_end_of_an_account(town: ServerProcess) -> None:
    async with Person(town, "paris") as paris:
        await paris.plugin("xep_0077").cancel_registration()
        await paris.next("disconnected")
    with pytest.raises(LoginRefused):
        async with Person(town, "paris"):
            pass


async def test_a_lost_connection_is_an_absence(town: ServerProcess) -> None:
    """Not only a goodbye makes others see that somebody is gone."""
    async with Person(town, "benvolio") as benvolio, Wires(town) as wires:
        wire = await wires.login("montague", available=True)
        await wire.send(f"<presence type='subscribed' to='{benvolio.bare}'/>")
        await wire.ping()
        benvolio.xmpp.send_presence_subscription(pto=f"montague@{DOMAIN}")
        await benvolio.until("presence_available", lambda got: got["from"] == wire.jid)
        wire.reset()
        gone = await benvolio.next("presence_unavailable")
        assert gone["from"] == wire.jid
