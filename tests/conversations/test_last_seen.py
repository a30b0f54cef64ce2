"""When people were last seen (XEP-0012, RFC 6121#4.3.2, XEP-0256): told to those who may see their presence."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import pytest_asyncio

from tests.support.harness import Client, Harness
from xmppd.jid import Jid
from xmppd.storage.interfaces import LastSeen, RosterChange, RosterItem, StorageUnavailable, Subscription

JULIET, ROMEO, PARIS = "juliet@capulet.lit", "romeo@montague.lit", "paris@montague.lit"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
LEFT = "<delay xmlns='urn:xmpp:delay' from='montague.lit' stamp='2026-09-21T14:13:20.000Z'/>"


@pytest_asyncio.fixture
async def juliet(server: Harness) -> Client:
    """She sees Romeo's presence; nobody sees hers."""
    await put(server, JULIET, ROMEO, Subscription.TO)
    await put(server, ROMEO, JULIET, Subscription.FROM)
    return await server.client(f"{JULIET}/balcony")


async def put(server: Harness, owner: str, contact: str, subscription: Subscription) -> None:
    jid = Jid.parse(contact)
    item = RosterItem(jid, subscription=subscription)
    await server.stores.rosters.update([RosterChange(await server.account(owner), jid, lambda _: item)])


async def ask(client: Client, to: str) -> None:
    address = f" to='{to}'" if to else ""
    await client.send(f"<iq type='get' id='last'{address}><query xmlns='jabber:iq:last'/></iq>")


def seconds(client: Client, sender: str, number: int, status: str = "") -> str:
    return (
        f"<iq type='result' id='last' from='{sender}' to='{client.jid}'>"
        f"<query xmlns='jabber:iq:last' seconds='{number}'>{status}</query></iq>"
    )


def error(client: Client, sender: str, type: str, condition: str, text: bool = True) -> str:
    words = f"<text xmlns='{ERRORS}' xml:lang='en'>*</text>" if text else ""
    return (
        f"<iq type='error' id='last' from='{sender}' to='{client.jid}'>"
        f"<error type='{type}'><{condition} xmlns='{ERRORS}'/>{words}</error></iq>"
    )


async def leave(server: Harness, *last: str) -> None:
    """Romeo was there and left, sending ``last``."""
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    for xml in last:
        await romeo.send(xml)
    await romeo.close()


# XEP-0012#offline


async def test_a_contact_sees_how_long_ago_and_with_which_words_somebody_left(
    server: Harness, juliet: Client
) -> None:
    await leave(server, "<presence type='unavailable'><status>Heading Home</status></presence>")
    await server.advance(903)
    await ask(juliet, ROMEO)
    juliet.expect(seconds(juliet, ROMEO, 903, "Heading Home"))


async def test_a_lost_connection_counts_from_when_it_was_lost(server: Harness, juliet: Client) -> None:
    await leave(server, "<presence><status>Here</status></presence>")
    await server.advance(60)
    await ask(juliet, ROMEO)
    juliet.expect(seconds(juliet, ROMEO, 60))


async def test_who_has_just_left_was_seen_just_now(server: Harness, juliet: Client) -> None:
    """It is written behind; who asks before that gets the right answer all the same."""
    await leave(server)
    await ask(juliet, ROMEO)
    juliet.expect(seconds(juliet, ROMEO, 0))


async def test_the_last_of_several_resources_counts(server: Harness, juliet: Client) -> None:
    orchard = await server.client(f"{ROMEO}/orchard", available=True)
    await server.client(f"{ROMEO}/idle")  # connected, but shown to nobody
    study = await server.client(f"{ROMEO}/study", available=True)
    await orchard.close()
    await server.advance(100)
    await ask(juliet, ROMEO)
    juliet.expect(seconds(juliet, ROMEO, 0))  # XEP-0012#offline: he is there
    assert await stored(server) is None
    await study.send("<presence type='unavailable'/>")
    await server.advance(10)
    await ask(juliet, ROMEO)
    juliet.expect(seconds(juliet, ROMEO, 10))


async def test_who_was_never_there_was_never_seen(server: Harness, juliet: Client) -> None:
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.close()
    await ask(juliet, ROMEO)
    juliet.expect(error(juliet, ROMEO, "cancel", "item-not-found"))


async def test_a_long_status_is_cut(server: Harness, juliet: Client) -> None:
    await leave(server, f"<presence type='unavailable'><status>{'Ay me! ' * 1000}</status></presence>")
    await ask(juliet, ROMEO)
    query = juliet.received[0].child("query", "jabber:iq:last")
    assert query is not None
    assert query.text() == ("Ay me! " * 1000)[:1000]


@pytest.mark.parametrize(
    "to", [ROMEO, f"{ROMEO}/orchard", f"{ROMEO}/gone", "nobody@capulet.lit", "nobody@capulet.lit/gone"]
)
async def test_who_may_not_see_the_presence_learns_nothing(server: Harness, juliet: Client, to: str) -> None:
    """XEP-0012#security: neither when somebody was there nor, by the answer, whether somebody is."""
    await put(server, PARIS, ROMEO, Subscription.TO)  # a subscription of which only Paris believes
    paris = await server.client(f"{PARIS}/palace")
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await ask(paris, to)
    paris.expect(error(paris, to, "auth", "forbidden"))
    romeo.expect_nothing()


async def test_one_may_ask_about_oneself(server: Harness, juliet: Client) -> None:
    await juliet.send("<presence/><presence type='unavailable'/>")
    juliet.received.clear()
    await server.advance(5)
    await ask(juliet, "")
    juliet.expect(seconds(juliet, JULIET, 5))


async def test_who_blocks_the_asker_was_never_seen(server: Harness, juliet: Client) -> None:
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await romeo.send(
        f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{JULIET}'/></block></iq>"
    )
    await romeo.close()
    await ask(juliet, ROMEO)
    juliet.expect(error(juliet, ROMEO, "cancel", "service-unavailable", text=False))  # XEP-0191#block
    await juliet.send("<presence/>")
    juliet.expect(f"<presence from='{JULIET}/balcony' to='{JULIET}'/>")
    juliet.expect_nothing()


async def test_of_whom_one_blocks_one_is_told_nothing(server: Harness, juliet: Client) -> None:
    await leave(server)
    await juliet.send(
        f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></block></iq>"
    )
    juliet.received.clear()
    await juliet.send("<presence/>")
    juliet.expect(f"<presence from='{JULIET}/balcony' to='{JULIET}'/>")
    juliet.expect_nothing()


# XEP-0012#online: a client answers for itself


async def test_a_question_to_a_resource_goes_there(server: Harness, juliet: Client) -> None:
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await ask(juliet, f"{ROMEO}/orchard")
    romeo.expect(
        f"<iq type='get' id='last' from='{JULIET}/balcony' to='{ROMEO}/orchard'>"
        "<query xmlns='jabber:iq:last'/></iq>"
    )
    await romeo.send(
        f"<iq type='result' id='last' to='{JULIET}/balcony'><query xmlns='jabber:iq:last' seconds='123'/></iq>"
    )
    juliet.expect(seconds(juliet, f"{ROMEO}/orchard", 123))
    await ask(juliet, f"{ROMEO}/gone")
    juliet.expect(error(juliet, f"{ROMEO}/gone", "cancel", "service-unavailable", text=False))


@pytest.mark.parametrize("asker", [f"{JULIET}/balcony", f"{PARIS}/palace"])
async def test_a_question_to_a_resource_whose_roster_has_to_be_read_first(
    server: Harness, juliet: Client, asker: str
) -> None:
    romeo = await server.client(f"{ROMEO}/orchard")
    client = juliet if asker == str(juliet.jid) else await server.client(asker)
    await ask(client, f"{ROMEO}/orchard")
    if client is juliet:
        assert [stanza.get("from") for stanza in romeo.received] == [asker]
    else:
        client.expect(error(client, f"{ROMEO}/orchard", "auth", "forbidden"))
        romeo.expect_nothing()


async def test_ones_own_resources_may_ask_each_other(server: Harness, juliet: Client) -> None:
    chamber = await server.client(f"{JULIET}/chamber")
    await ask(juliet, f"{JULIET}/chamber")
    assert len(chamber.received) == 1


# XEP-0012#server


async def test_the_server_says_how_long_it_runs(server: Harness, juliet: Client) -> None:
    await server.advance(123_456)
    await ask(juliet, "capulet.lit")
    juliet.expect(seconds(juliet, "capulet.lit", 123_456))


# RFC 6121#4.3.2, XEP-0256: in presence


async def test_who_comes_online_is_told_when_contacts_left(server: Harness, juliet: Client) -> None:
    await leave(server, "<presence type='unavailable'><status>Heading Home</status></presence>")
    await server.advance(60)
    await juliet.send("<presence/>")
    juliet.expect(
        f"<presence from='{JULIET}/balcony' to='{JULIET}'/>",
        f"<presence type='unavailable' from='{ROMEO}' to='{JULIET}/balcony'><status>Heading Home</status>{LEFT}"
        "<query xmlns='jabber:iq:last' seconds='60'/></presence>",
    )
    await juliet.send("<presence/>")
    juliet.expect(f"<presence from='{JULIET}/balcony' to='{JULIET}'/>")
    juliet.expect_nothing()


async def test_who_asks_by_probe_is_told_too(server: Harness, juliet: Client) -> None:
    await leave(server)
    await server.advance(60)
    await juliet.send(f"<presence type='probe' to='{ROMEO}'/>")
    juliet.expect(
        f"<presence type='unavailable' from='{ROMEO}' to='{JULIET}/balcony'>{LEFT}"
        "<query xmlns='jabber:iq:last' seconds='60'/></presence>"
    )


async def test_who_comes_back_while_it_is_looked_up_is_not_shown_as_gone(
    server: Harness, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave(server)
    await server.advance(2)
    romeo = await server.client(f"{ROMEO}/orchard")
    await romeo.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")  # now it is in memory
    last_seen = server.stores.accounts.last_seen

    async def slow(jids: Iterable[Jid], *, unless_blocking: Iterable[Jid]) -> dict[Jid, LastSeen]:
        found = await last_seen(jids, unless_blocking=unless_blocking)
        romeo.send_nowait("<presence/>")
        assert romeo.session.presence is not None
        return found

    monkeypatch.setattr(server.stores.accounts, "last_seen", slow)
    await juliet.send("<presence/>")
    shown = [stanza.get("type") for stanza in juliet.received if str(stanza.get("from")).startswith(ROMEO)]
    assert shown[-1] is None, "the last thing said is that he is there"


# How it is kept


async def test_it_is_written_together_and_a_little_later(
    server: Harness, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    set_last_seen = server.stores.accounts.set_last_seen

    async def watched(owner: int, seen: LastSeen) -> None:
        written.append(owner)
        await set_last_seen(owner, seen)

    monkeypatch.setattr(server.stores.accounts, "set_last_seen", watched)
    for _ in range(3):
        await leave(server)
    assert written == []
    await server.advance(2)
    assert written == [await server.account(ROMEO)]


async def test_it_is_not_lost_when_the_server_stops(server: Harness, juliet: Client) -> None:
    await leave(server, "<presence type='unavailable'><status>bye</status></presence>")
    assert await stored(server) is None
    await server.node.aclose()
    assert await stored(server) == LastSeen(server.clock.now(), "bye")


async def test_it_is_tried_again_when_the_storage_comes_back(
    server: Harness, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StorageUnavailable("the disk is full")

    await leave(server)
    left = server.clock.now()
    with monkeypatch.context() as patched:
        patched.setattr(server.stores.accounts, "set_last_seen", full)
        await server.advance(2)
    assert await stored(server) is None
    await server.advance(2)
    assert await stored(server) == LastSeen(left)


async def stored(server: Harness) -> LastSeen | None:
    return (await server.stores.accounts.last_seen([Jid.parse(ROMEO)])).get(Jid.parse(ROMEO))
