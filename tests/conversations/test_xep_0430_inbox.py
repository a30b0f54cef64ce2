"""XEP-0430: the chat list as clients see it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.harness import Client, Harness
from xmppd.im import chat_list
from xmppd.xml.element import Element

DOMAIN = "capulet.lit"


@dataclass
class Listing:
    """An answer: the lines as (contact, unread), the texts of their last messages, and the ``<fin/>``."""

    lines: list[tuple[str, int]]
    texts: list[str | None]
    entries: list[Element]
    fin: dict[str, int]
    rsm: dict[str, str]
    index: str | None


async def inbox(client: Client, attributes: str = "", rsm: str = "") -> Listing:
    """Ask for the chat list; nothing else may come meanwhile."""
    client.received.clear()
    paging = f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>" if rsm else ""
    await client.send(
        f"<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1' {attributes}>{paging}</inbox></iq>"
    )
    *messages, iq = client.received
    client.received.clear()
    assert iq.name == "iq"
    assert iq.get("type") == "result", iq
    fin = iq.child("fin", "urn:xmpp:inbox:1")
    assert fin is not None
    lines, texts, entries = [], [], []
    for message in messages:
        assert message.get("from") == str(client.jid.bare)
        assert message.get("to") == str(client.jid)
        entry = message.child("entry", "urn:xmpp:inbox:1")
        assert entry is not None
        entries.append(entry)
        lines.append((entry.attrs["jid"].partition("@")[0], int(entry.attrs["unread"])))
        texts.append(body_of(message))
    answer = fin.child("set", "http://jabber.org/protocol/rsm")
    assert answer is not None
    first = answer.child("first")
    return Listing(
        lines,
        texts,
        entries,
        {name: int(value) for name, value in fin.attrs.items()},
        {child.name: child.text() for child in answer.elements()},
        None if first is None else first.get("index"),
    )


def body_of(message: Element) -> str | None:
    result = message.child("result", "urn:xmpp:mam:2")
    if result is None:
        return None
    forwarded = result.child("forwarded", "urn:xmpp:forward:0")
    assert forwarded is not None
    inner = forwarded.child("message", "jabber:client")
    assert inner is not None
    body = inner.child("body")
    assert body is not None
    return body.text()


async def say(sender: Client, to: str, text: str, more: str = "", type: str = "chat") -> None:
    await sender.send(f"<message to='{to}@{DOMAIN}' type='{type}'><body>{text}</body>{more}</message>")


async def people(server: Harness, *names: str) -> list[Client]:
    return [await server.client(f"{name}@{DOMAIN}/phone", available=True) for name in names]


async def test_a_line_tells_who_what_and_how_much() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        await say(romeo, "juliet", "It is my lady")
        await server.advance(60)
        await say(romeo, "juliet", "O, it is my love!")
        (first, second) = (message.child("stanza-id", "urn:xmpp:sid:0") for message in juliet.received)
        assert first is not None
        assert second is not None
        juliet.received.clear()
        await juliet.send("<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
        juliet.expect(
            f"""
            <message from='juliet@capulet.lit' to='juliet@capulet.lit/phone'>
              <entry xmlns='urn:xmpp:inbox:1' unread='2' jid='romeo@capulet.lit' id='{second.attrs["id"]}'/>
              <result xmlns='urn:xmpp:mam:2' queryid='q1' id='{second.attrs["id"]}'>
                <forwarded xmlns='urn:xmpp:forward:0'>
                  <delay xmlns='urn:xmpp:delay' stamp='2026-09-21T14:14:20.000Z'/>
                  <message xmlns='jabber:client' from='romeo@capulet.lit/phone' to='juliet@capulet.lit' type='chat'>
                    <body>O, it is my love!</body>
                  </message>
                </forwarded>
              </result>
            </message>
            <iq type='result' id='q1' from='juliet@capulet.lit' to='juliet@capulet.lit/phone'>
              <fin xmlns='urn:xmpp:inbox:1' total='1' unread='1' all-unread='2'>
                <set xmlns='http://jabber.org/protocol/rsm'>
                  <first index='0'>{second.attrs["id"]}</first><last>{second.attrs["id"]}</last><count>1</count>
                </set>
              </fin>
            </iq>
            """
        )
        juliet.expect_nothing()


async def test_the_newest_conversation_comes_first() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo, nurse = await people(server, "juliet", "romeo", "nurse")
        await say(romeo, "juliet", "one")
        await say(nurse, "juliet", "two")
        listing = await inbox(juliet)
        assert listing.lines == [("nurse", 1), ("romeo", 1)]
        assert listing.texts == ["two", "one"]
        assert listing.fin == {"total": 2, "unread": 2, "all-unread": 2}
        await say(juliet, "romeo", "three")
        listing = await inbox(juliet)
        assert listing.lines == [("romeo", 0), ("nurse", 1)]
        assert listing.texts == ["three", "two"]


async def test_who_has_talked_to_nobody_has_an_empty_list() -> None:
    async with Harness(DOMAIN) as server:
        (juliet,) = await people(server, "juliet")
        listing = await inbox(juliet)
        assert (listing.lines, listing.fin) == ([], {"total": 0, "unread": 0, "all-unread": 0})
        assert listing.rsm == {"count": "0"}


async def test_what_one_sends_is_read_and_reads_what_came_before() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        await say(romeo, "juliet", "one")
        await say(romeo, "juliet", "two")
        await say(juliet, "romeo", "three")
        assert (await inbox(juliet)).lines == [("romeo", 0)]
        assert (await inbox(romeo)).lines == [("juliet", 1)]
        await say(romeo, "juliet", "four")
        assert (await inbox(juliet)).lines == [("romeo", 1)]


NO_NEWS = {
    "receipt": "<received xmlns='urn:xmpp:receipts' id='m1'/>",
    "marker": "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>",
    "reaction": "<reactions xmlns='urn:xmpp:reactions:0' id='m1'><reaction>\N{BLACK HEART}</reaction></reactions>",
    "correction": "<body>*</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>",
    "chat state": "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
}


@pytest.mark.parametrize("content", NO_NEWS.values(), ids=NO_NEWS.keys())
async def test_what_is_no_message_is_not_unread_reads_nothing_and_moves_nothing(content: str) -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo, nurse = await people(server, "juliet", "romeo", "nurse")
        await say(romeo, "juliet", "one")
        await say(nurse, "juliet", "two")
        for sender, to in ((romeo, "juliet"), (juliet, "romeo"), (juliet, "stranger"), (romeo, "juliet")):
            await sender.send(f"<message to='{to}@{DOMAIN}' type='chat'>{content}</message>")
        listing = await inbox(juliet)
        assert listing.lines == [("nurse", 1), ("romeo", 1)]
        assert listing.texts == ["two", "one"]


@pytest.mark.parametrize("kind", ["receipt", "marker"])
async def test_a_text_is_news_whatever_comes_with_it(kind: str) -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        await say(romeo, "juliet", "one", NO_NEWS[kind])
        assert (await inbox(juliet)).lines == [("romeo", 1)]
        await say(romeo, "juliet", "two")
        await say(juliet, "romeo", "three", NO_NEWS[kind])
        assert (await inbox(juliet)).lines == [("romeo", 0)]
        assert (await inbox(romeo)).lines == [("juliet", 1)]


async def test_a_line_has_the_id_of_all_that_happened_last_in_its_conversation() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        await say(romeo, "juliet", "one")
        before = await inbox(juliet)
        await romeo.send(f"<message to='juliet@{DOMAIN}' type='chat'>{NO_NEWS['reaction']}</message>")
        (reaction,) = juliet.received
        id = reaction.child("stanza-id", "urn:xmpp:sid:0")
        assert id is not None
        after = await inbox(juliet)
        assert after.entries[0].attrs["id"] == id.attrs["id"] != before.entries[0].attrs["id"]
        assert after.rsm == before.rsm


async def test_without_messages() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        await say(romeo, "juliet", "one")
        for no in ("false", "0"):
            listing = await inbox(juliet, f"messages='{no}'")
            assert (listing.lines, listing.texts) == ([("romeo", 1)], [None])
        for yes in ("true", "1"):
            assert (await inbox(juliet, f"messages='{yes}'")).texts == ["one"]


async def test_only_conversations_with_unread_messages() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo, nurse, tybalt = await people(server, "juliet", "romeo", "nurse", "tybalt")
        for friend in (romeo, nurse, tybalt):
            await say(friend, "juliet", "hail")
        await say(juliet, "nurse", "good nurse")
        listing = await inbox(juliet, "unread-only='true'")
        assert listing.lines == [("tybalt", 1), ("romeo", 1)]
        assert listing.fin == {"total": 3, "unread": 2, "all-unread": 2}
        assert listing.rsm["count"] == "2"
        assert len((await inbox(juliet, "unread-only='false'")).lines) == 3


@pytest.mark.parametrize("attributes", ["unread-only='maybe'", "messages=''"])
async def test_an_attribute_that_says_neither_yes_nor_no_is_refused(attributes: str) -> None:
    async with Harness(DOMAIN) as server:
        (juliet,) = await people(server, "juliet")
        await juliet.send(f"<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1' {attributes}/></iq>")
        juliet.expect(
            "<iq type='error' id='q1' from='juliet@capulet.lit' to='juliet@capulet.lit/phone'><error type='modify'>"
            "<bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></iq>"
        )


async def ten_friends(server: Harness) -> Client:
    """Juliet, who got a message of each of ten friends, the last one of friend9."""
    (juliet,) = await people(server, "juliet")
    for number in range(10):
        (friend,) = await people(server, f"friend{number}")
        await say(friend, "juliet", f"message {number}")
    return juliet


def names(*numbers: int) -> list[tuple[str, int]]:
    return [(f"friend{number}", 1) for number in numbers]


async def test_page_by_page() -> None:
    async with Harness(DOMAIN) as server:
        juliet = await ten_friends(server)
        page = await inbox(juliet, rsm="<max>4</max>")
        assert (page.lines, page.index, page.rsm["count"]) == (names(9, 8, 7, 6), "0", "10")
        page = await inbox(juliet, rsm=f"<max>4</max><after>{page.rsm['last']}</after>")
        assert (page.lines, page.index) == (names(5, 4, 3, 2), "4")
        page = await inbox(juliet, rsm=f"<max>4</max><after>{page.rsm['last']}</after>")
        assert (page.lines, page.index) == (names(1, 0), "8")
        end = await inbox(juliet, rsm=f"<max>4</max><after>{page.rsm['last']}</after>")
        assert (end.lines, end.rsm) == ([], {"count": "10"})
        page = await inbox(juliet, rsm=f"<max>4</max><before>{page.rsm['first']}</before>")
        assert (page.lines, page.index) == (names(5, 4, 3, 2), "4")
        page = await inbox(juliet, rsm="<max>4</max><before/>")
        assert (page.lines, page.index) == (names(3, 2, 1, 0), "6")
        page = await inbox(juliet, rsm="<max>4</max><index>8</index>")
        assert (page.lines, page.index) == (names(1, 0), "8")
        assert (await inbox(juliet, rsm="<max>4</max><index>10</index>")).lines == []
        count = await inbox(juliet, rsm="<max>0</max>")
        assert (count.lines, count.rsm) == ([], {"count": "10"})


async def test_pages_stay_in_place_when_there_is_news_in_between() -> None:
    async with Harness(DOMAIN) as server:
        juliet = await ten_friends(server)
        page = await inbox(juliet, rsm="<max>4</max>")
        (friend6,) = await people(server, "friend6")
        await say(friend6, "juliet", "news of the last on that page")
        page = await inbox(juliet, rsm=f"<max>4</max><after>{page.rsm['last']}</after>")
        assert page.lines == names(5, 4, 3, 2)


async def test_the_sizes_of_pages_are_settings() -> None:
    async with Harness(DOMAIN, toml="[extensions.inbox]\npage = 2\nmax_page = 3") as server:
        juliet = await ten_friends(server)
        assert (await inbox(juliet)).lines == names(9, 8)
        assert (await inbox(juliet, rsm="<max>100</max>")).lines == names(9, 8, 7)


@pytest.mark.parametrize("rsm", ["<after>nonsense</after>", "<before>nonsense</before>"])
async def test_a_page_behind_what_is_no_id_is_not_found(rsm: str) -> None:
    async with Harness(DOMAIN) as server:
        juliet = await ten_friends(server)
        juliet.received.clear()
        await juliet.send(
            "<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1'>"
            f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set></inbox></iq>"
        )
        juliet.expect(
            "<iq type='error' id='q1' from='juliet@capulet.lit' to='juliet@capulet.lit/phone'><error type='cancel'>"
            "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></iq>"
        )


async def test_a_list_is_for_its_owner_alone() -> None:
    async with Harness(DOMAIN) as server:
        _, romeo = await people(server, "juliet", "romeo")
        await say(romeo, "juliet", "one")
        await romeo.send(
            "<iq type='get' id='q1' to='juliet@capulet.lit'><inbox xmlns='urn:xmpp:inbox:1'/></iq>"
        )
        romeo.expect(
            "<iq type='error' id='q1' from='juliet@capulet.lit' to='romeo@capulet.lit/phone'><error type='cancel'>"
            "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )


async def test_it_is_announced() -> None:
    async with Harness(DOMAIN) as server:
        (juliet,) = await people(server, "juliet")
        for to in ("juliet@capulet.lit", "capulet.lit"):
            await juliet.send(
                f"<iq type='get' id='d' to='{to}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
            )
            (iq,) = juliet.received
            juliet.received.clear()
            (query,) = iq.elements()
            assert "urn:xmpp:inbox:1" in [feature.get("var") for feature in query.each("feature")]


async def test_novels_are_left_out_of_a_page_rather_than_filling_the_buffer() -> None:
    async with Harness(DOMAIN) as server:
        (juliet,) = await people(server, "juliet")
        for number in range(8):
            (friend,) = await people(server, f"friend{number}")
            await say(friend, "juliet", "x" * 200_000)
        listing = await inbox(juliet)
        assert listing.lines == names(7, 6, 5, 4, 3, 2, 1, 0)
        assert [text is not None for text in listing.texts] == [True] * 5 + [False] * 3


async def test_what_was_erased_is_gone_from_the_list() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo, nurse = await people(server, "juliet", "romeo", "nurse")
        owner = await server.account("juliet@capulet.lit")
        await say(romeo, "juliet", "one")
        await say(nurse, "juliet", "two")
        await server.advance(60)
        after = int(server.clock.now() * 1e6)
        await say(nurse, "juliet", "three")
        assert (await inbox(juliet)).lines == [("nurse", 2), ("romeo", 1)]
        await server.stores.archive.erase(owner, before=after)
        listing = await inbox(juliet)
        assert (listing.lines, listing.texts) == ([("nurse", 1)], ["three"])
        assert listing.fin == {"total": 1, "unread": 1, "all-unread": 1}
        await server.stores.archive.erase(owner, before=2**62)
        listing = await inbox(juliet)
        assert (listing.lines, listing.fin["total"]) == ([], 0)
        await say(romeo, "juliet", "four")
        assert (await inbox(juliet)).lines == [("romeo", 1)]


async def test_in_a_message_that_was_taken_back_is_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is taken back before the list was written, or after that."""
    monkeypatch.setattr(chat_list, "_REWRITE", 3)
    async with Harness(DOMAIN) as server:
        juliet, romeo, nurse = await people(server, "juliet", "romeo", "nurse")

        async def take_back(id: str) -> None:
            await romeo.send(
                f"<message to='juliet@{DOMAIN}' type='chat' id='r{id}'>"
                f"<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/></message>"
            )

        await say(nurse, "juliet", "Juliet!")
        for id in ("m1", "m2"):
            await romeo.send(f"<message to='juliet@{DOMAIN}' id='{id}'><body>{id}</body></message>")
        assert (await inbox(juliet, "messages='false'")).lines == [("romeo", 2), ("nurse", 1)]
        assert (await server.stores.chat_lists.load(await server.account("juliet@capulet.lit"))).upto
        await take_back("m1")
        await take_back("m1")
        assert (await inbox(juliet, "messages='false'")).lines == [("romeo", 1), ("nurse", 1)]
        await romeo.send(f"<message to='juliet@{DOMAIN}' id='m3'><body>m3</body></message>")
        await take_back("m3")
        assert (await inbox(juliet, "messages='false'")).lines == [("romeo", 1), ("nurse", 1)]
        await take_back("m2")
        assert (await inbox(juliet, "messages='false'")).lines == [("romeo", 0), ("nurse", 1)]


async def test_a_retracted_message_leaves_its_tombstone_in_the_list() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        await romeo.send(f"<message to='juliet@{DOMAIN}' type='chat' id='m1'><body>one</body></message>")
        await romeo.send(
            f"<message to='juliet@{DOMAIN}' type='chat' id='m2'>"
            "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/></message>"
        )
        juliet.received.clear()
        await juliet.send("<iq type='get' id='q1'><inbox xmlns='urn:xmpp:inbox:1'/></iq>")
        juliet.expect(
            """
            <message from='juliet@capulet.lit' to='juliet@capulet.lit/phone'>
              <entry xmlns='urn:xmpp:inbox:1' unread='0' jid='romeo@capulet.lit' id='*'/>
              <result xmlns='urn:xmpp:mam:2' queryid='q1' id='*'>
                <forwarded xmlns='urn:xmpp:forward:0'>
                  <delay xmlns='urn:xmpp:delay' stamp='*'/>
                  <message xmlns='jabber:client' from='romeo@capulet.lit/phone' to='juliet@capulet.lit' type='chat'
                      id='m1'>
                    <retracted xmlns='urn:xmpp:message-retract:1' id='m2' stamp='*'/>
                  </message>
                </forwarded>
              </result>
            </message>
            """
        )
        await say(romeo, "juliet", "two")
        assert (await inbox(juliet, "messages='false'")).lines == [("romeo", 1)]
        await juliet.send(
            f"<message to='romeo@{DOMAIN}' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/></message>"
        )
        assert (await inbox(juliet, "messages='false'")).lines == [("romeo", 1)]


async def test_the_oldest_conversations_without_unread_messages_fall_off() -> None:
    async with Harness(DOMAIN, toml="[limits]\nconversations = 10") as server:
        juliet = await ten_friends(server)
        await say(juliet, "friend3", "read")
        await say(juliet, "friend5", "read")
        for name in ("eleventh", "twelfth"):
            (friend,) = await people(server, name)
            await say(friend, "juliet", "hail")
        listing = await inbox(juliet)
        assert listing.lines[:2] == [("twelfth", 1), ("eleventh", 1)]
        assert listing.lines[2:] == names(9, 8, 7, 6, 4, 2, 1, 0)


async def test_a_note_to_oneself_is_a_conversation_that_is_read() -> None:
    async with Harness(DOMAIN) as server:
        (juliet,) = await people(server, "juliet")
        await say(juliet, "juliet", "buy a dagger")
        listing = await inbox(juliet)
        assert (listing.lines, listing.texts) == ([("juliet", 0)], ["buy a dagger"])


async def test_messages_to_who_is_away_wait_in_the_list() -> None:
    async with Harness(DOMAIN) as server:
        (romeo,) = await people(server, "romeo")
        await server.account("juliet@capulet.lit")
        await say(romeo, "juliet", "one")
        juliet = await server.client("juliet@capulet.lit/phone")
        assert (await inbox(juliet)).lines == [("romeo", 1)]


async def test_two_nodes_show_the_same_list() -> None:
    async with Harness(DOMAIN, nodes=2) as server:
        phone = await server.client("juliet@capulet.lit/phone", available=True)
        laptop = await server.client("juliet@capulet.lit/laptop", node=1, available=True)
        romeo = await server.client("romeo@capulet.lit/phone", available=True)
        await say(romeo, "juliet", "one")
        assert (await inbox(phone)).lines == (await inbox(laptop)).lines == [("romeo", 1)]
        await say(laptop, "romeo", "two")
        assert (await inbox(phone)).lines == (await inbox(laptop)).lines == [("romeo", 0)]


async def test_reading_the_list_writes_it_only_after_many_messages() -> None:
    async with Harness(DOMAIN) as server:
        juliet, romeo = await people(server, "juliet", "romeo")
        owner = await server.account("juliet@capulet.lit")
        for number in range(210):
            await say(romeo, "juliet", f"message {number}")
            if number == 100:
                assert (await inbox(juliet)).lines == [("romeo", 101)]
                assert (await server.stores.chat_lists.load(owner)).version == 0
        for _ in range(2):
            assert (await inbox(juliet)).lines == [("romeo", 210)]
            checkpoint = await server.stores.chat_lists.load(owner)
            assert checkpoint.version == 1
            assert checkpoint.conversations[0].unread == 210
