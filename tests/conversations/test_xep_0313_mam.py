"""XEP-0313: what users see of their history."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import archive, ask, query
from xmppd.storage.archive import Kind

JULIET = "juliet@capulet.lit"
ROMEO = "romeo@montague.lit"
NURSE = "nurse@capulet.lit"


@pytest.fixture
async def server() -> AsyncIterator[Harness]:
    async with Harness(
        "capulet.lit", "montague.lit", toml="[extensions.mam]\npage = 4\nmax_page = 6\n"
    ) as harness:
        yield harness


@pytest.fixture
async def juliet(server: Harness) -> Client:
    return await server.client(f"{JULIET}/chamber")


def chat(sender: str, to: str, body: str) -> str:
    return f"<message from='{sender}' to='{to}' type='chat'><body>{body}</body></message>"


def said(*bodies: str) -> list[str]:
    """Romeo said these to Juliet."""
    return [chat(f"{ROMEO}/orchard", JULIET, body) for body in bodies]


def error(juliet: Client, type: str, condition: str, text: str = "") -> str:
    said = f"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>{text}</text>" if text else ""
    return (
        f"<iq type='error' from='{JULIET}' to='{juliet.jid}' id='1'><error type='{type}'>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{said}</error></iq>"
    )


async def refused(juliet: Client, payload: str, type: str, condition: str, text: str) -> None:
    await juliet.send(f"<iq type='set' id='1'>{payload}</iq>")
    juliet.expect(error(juliet, type, condition, text))
    juliet.expect_nothing()


# What is shown


async def test_both_sides_of_a_conversation_are_in_both_histories(server: Harness) -> None:
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    await romeo.send(f"<message to='{JULIET}' type='chat' id='a'><body>Neither, fair saint</body></message>")
    await server.advance(90.25)
    await juliet.send(
        f"<message to='{romeo.jid}' type='chat' id='b' xml:lang='en'><body>By whose direction?</body></message>"
    )
    await server.advance(10)
    juliet.received.clear()
    romeo.received.clear()
    for client in (juliet, romeo):
        await client.send("<iq type='set' id='juliet1'><query xmlns='urn:xmpp:mam:2' queryid='f27'/></iq>")
        first, second = (
            f"""<message from='{client.jid.bare}' to='{client.jid}'>
              <result xmlns='urn:xmpp:mam:2' queryid='f27' id='*'>
                <forwarded xmlns='urn:xmpp:forward:0'>
                  <delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>
                  {message}
                </forwarded>
              </result>
            </message>"""
            for stamp, message in (
                (
                    "2026-09-21T14:13:20.000Z",
                    f"<message xmlns='jabber:client' from='{ROMEO}/orchard' to='{JULIET}' type='chat' id='a'>"
                    "<body>Neither, fair saint</body></message>",
                ),
                (
                    "2026-09-21T14:14:50.250Z",
                    f"<message xmlns='jabber:client' from='{JULIET}/balcony' to='{ROMEO}/orchard' type='chat' id='b'"
                    " xml:lang='en'><body>By whose direction?</body></message>",
                ),
            )
        )
        names = [result.attrs["id"] for message in client.received[:2] for result in message.elements()]
        client.expect(
            first,
            second,
            f"""<iq type='result' from='{client.jid.bare}' to='{client.jid}' id='juliet1'>
              <fin xmlns='urn:xmpp:mam:2' complete='true'>
                <set xmlns='http://jabber.org/protocol/rsm'><first>{names[0]}</first><last>{names[1]}</last></set>
              </fin>
            </iq>""",
        )
        client.expect_nothing()


async def test_the_name_of_a_delivered_message_is_that_of_the_archived_one(server: Harness) -> None:
    """XEP-0313#archives_id, for who gets it and for other devices of who sent it."""
    juliet = await server.client(f"{JULIET}/balcony", available=True)
    romeo = await server.client(f"{ROMEO}/orchard", available=True)
    phone = await server.client(f"{ROMEO}/phone", available=True)
    await phone.send("<iq type='set' id='1'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    phone.received.clear()
    await romeo.send(f"<message to='{JULIET}' type='chat'><body>Neither</body></message>")
    [message] = juliet.received
    [carbon] = phone.received
    [copied] = next(carbon.elements()).elements()
    sent = copied.child("message", "jabber:client")
    assert sent is not None
    for client, shown in ((juliet, message), (phone, sent)):
        named = shown.child("stanza-id", "urn:xmpp:sid:0")
        assert named is not None
        assert named.attrs["by"] == str(client.jid.bare)
        client.received.clear()
        assert (await ask(client)).names == [named.attrs["id"]]


async def test_names_outlive_the_server(server: Harness, juliet: Client) -> None:
    # XEP-0359#stanza-id: stable
    names = await archive(server, JULIET, *said("0", "1"))
    await server.restart()
    juliet = await server.client(f"{JULIET}/chamber")
    assert (await ask(juliet)).names == names


async def test_an_archive_without_messages_is_complete_and_empty(juliet: Client) -> None:
    await juliet.send("<iq type='set' id='1'><query xmlns='urn:xmpp:mam:2'/></iq>")
    juliet.expect(
        f"<iq type='result' from='{JULIET}' to='{juliet.jid}' id='1'><fin xmlns='urn:xmpp:mam:2' complete='true'>"
        "<set xmlns='http://jabber.org/protocol/rsm'/></fin></iq>"
    )


async def test_a_query_may_be_addressed_to_the_own_account_and_have_no_query_id(
    server: Harness, juliet: Client
) -> None:
    await archive(server, JULIET, *said("one"))
    await juliet.send(f"<iq type='set' id='1' to='{JULIET}'><query xmlns='urn:xmpp:mam:2'/></iq>")
    [message, _] = juliet.received
    assert "queryid" not in next(message.elements()).attrs


async def test_what_only_waits_for_somebody_is_no_history(server: Harness, juliet: Client) -> None:
    await archive(server, JULIET, *said("secret"), kind=Kind.OWED | Kind.HIDDEN)
    assert (await ask(juliet)).results == []
    assert (await ask(juliet, "<max>0</max>")).set == {"count": "0"}


async def test_content_comes_as_it_was_sent(server: Harness, juliet: Client) -> None:
    body = "&lt;b>&amp;amp; 'quotes' &quot;&#13;🏴‍☠️"
    [message] = said(body)
    await archive(server, JULIET, message)
    assert (await ask(juliet)).bodies == ["<b>&amp; 'quotes' \"\r🏴‍☠️"]


# Who may ask


@pytest.mark.parametrize("whose", [NURSE, ROMEO, "nobody@capulet.lit"])
@pytest.mark.parametrize(
    ("type", "payload"),
    [
        ("set", "<query xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<query xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<metadata xmlns='urn:xmpp:mam:2'/>"),
        ("get", "<prefs xmlns='urn:xmpp:mam:2'/>"),
        ("set", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>"),
    ],
)
async def test_an_archive_is_for_its_owner_alone(
    server: Harness, juliet: Client, whose: str, type: str, payload: str
) -> None:
    # XEP-0313#security-privacy; whether the account exists is not told
    await server.account(NURSE)
    await archive(server, ROMEO, chat(ROMEO, JULIET, "secret"))
    await juliet.send(f"<iq type='{type}' id='1' to='{whose}'>{payload}</iq>")
    juliet.expect(
        f"<iq type='error' from='{whose}' to='{juliet.jid}' id='1'><error type='auth'>"
        "<forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>*</text></error></iq>"
    )
    juliet.expect_nothing()


async def test_the_server_itself_has_no_archive(juliet: Client) -> None:
    await juliet.send(f"<iq type='set' id='1' to='capulet.lit'>{query()}</iq>")
    juliet.expect(
        f"<iq type='error' from='capulet.lit' to='{juliet.jid}' id='1'><error type='cancel'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )


async def test_the_name_of_a_message_in_another_archive_names_nothing(
    server: Harness, juliet: Client
) -> None:
    await archive(server, JULIET, *said("one"))
    [name] = await archive(server, NURSE, chat(ROMEO, NURSE, "one"))
    await refused(juliet, query(ids=[name]), "cancel", "item-not-found", "*")


# Filters


async def test_with_selects_one_conversation(server: Harness, juliet: Client) -> None:
    # XEP-0313#filter-jid: a bare address matches all its resources
    names = await archive(
        server,
        JULIET,
        chat(f"{ROMEO}/orchard", JULIET, "0"),
        chat(f"{NURSE}/x", JULIET, "1"),
        chat(f"{JULIET}/chamber", ROMEO, "2"),
        chat(ROMEO, f"{JULIET}/chamber", "3"),
        chat(f"{JULIET}/chamber", f"{ROMEO}/phone", "4"),
        chat(f"{JULIET}/chamber", JULIET, "5"),
    )
    assert (await ask(juliet, with_=ROMEO)).names == [names[0], names[2], names[3], names[4]]
    assert (await ask(juliet, with_="ROMEO@Montague.lit")).bodies == ["0", "2", "3", "4"]
    assert (await ask(juliet, with_=NURSE)).names == [names[1]]
    assert (await ask(juliet, with_="mercutio@verona.lit")).names == []
    assert (await ask(juliet, with_=f"{ROMEO}/orchard")).names == [names[0]]
    assert (await ask(juliet, with_=f"{ROMEO}/phone")).names == [names[4]]
    assert (await ask(juliet, with_=f"{ROMEO}/nowhere")).names == []


async def test_with_the_own_address_selects_notes_to_oneself(server: Harness, juliet: Client) -> None:
    # XEP-0313#filter-jid: otherwise every message would match
    await archive(server, JULIET, *said("0"), chat(f"{JULIET}/chamber", ROMEO, "1"))
    await juliet.send(f"<message to='{JULIET}' type='chat'><body>2</body></message>")
    await juliet.send(f"<message to='{JULIET}/phone' type='chat'><body>3</body></message>")
    juliet.received.clear()
    assert (await ask(juliet)).bodies == ["0", "1", "2", "3"]
    assert (await ask(juliet, with_=JULIET)).bodies == ["2", "3"]


async def test_addresses_that_share_a_key_are_told_apart(
    server: Harness, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tests.support.history", "xmppd.extensions.xep_0313_mam.pages"):
        monkeypatch.setattr(f"{module}.peer_key", lambda peer: 4)
    await archive(server, JULIET, *said("0"), chat(JULIET, NURSE, "1"), chat(JULIET, ROMEO, "2"))
    assert (await ask(juliet, with_=ROMEO)).bodies == ["0", "2"]
    assert (await ask(juliet, with_=NURSE)).bodies == ["1"]


async def test_start_and_end_are_part_of_the_span(server: Harness, juliet: Client) -> None:
    # XEP-0313#filter-time; the first message came at 14:13:20, the others a second apart
    await archive(server, JULIET, *said("20", "21", "22", "23"))
    assert (await ask(juliet, start="2026-09-21T14:13:21Z")).bodies == ["21", "22", "23"]
    assert (await ask(juliet, start="2026-09-21T14:13:21.001Z")).bodies == ["22", "23"]
    assert (await ask(juliet, end="2026-09-21T14:13:21Z")).bodies == ["20", "21"]
    assert (await ask(juliet, end="2026-09-21T14:13:20.999Z")).bodies == ["20"]
    assert (await ask(juliet, start="2026-09-21T16:13:21+02:00", end="2026-09-21T14:13:22.5Z")).bodies == [
        "21",
        "22",
    ]
    assert (await ask(juliet, start="2026-09-22T00:00:00Z")).bodies == []
    assert (await ask(juliet, start="2026-09-21T14:13:23Z", end="2026-09-21T14:13:20Z")).bodies == []
    assert (await ask(juliet, start="1969-01-01T00:00:00Z", end="9999-12-31T23:59:59.999999Z")).complete


async def test_the_time_that_a_client_was_told_is_the_time_it_may_ask_by(
    server: Harness, juliet: Client
) -> None:
    server.clock.advance(0.0004567)
    await archive(server, JULIET, *said("0", "1"))
    assert (await ask(juliet, end="2026-09-21T14:13:20.000Z")).bodies == ["0"]
    assert (await ask(juliet, start="2026-09-21T14:13:20.000Z")).bodies == ["0", "1"]


async def test_ids_bound_what_is_shown(server: Harness, juliet: Client) -> None:
    # XEP-0313#query-limit-id
    names = await archive(server, JULIET, *said("0", "1", "2", "3"))
    assert (await ask(juliet, after_id=names[1])).bodies == ["2", "3"]
    assert (await ask(juliet, before_id=names[2])).bodies == ["0", "1"]
    assert (await ask(juliet, after_id=names[0], before_id=names[3])).bodies == ["1", "2"]
    assert (await ask(juliet, after_id=names[3], before_id=names[0])).bodies == []
    assert (await ask(juliet, after_id=names[3])).bodies == []
    # before-id does not turn the direction
    assert (await ask(juliet, "<max>1</max>", before_id=names[2])).bodies == ["0"]
    assert (await ask(juliet, "<max>1</max><before/>", after_id=names[0], before_id=names[3])).bodies == ["2"]


async def test_single_messages_are_fetched_by_id(server: Harness, juliet: Client) -> None:
    names = await archive(server, JULIET, *said("0", "1", "2", "3", "4", "5", "6"))
    shown = await ask(juliet, ids=[names[4], names[2], names[4]])
    assert shown.bodies == ["2", "4"]
    assert shown.complete
    shown = await ask(juliet, "<max>2</max>", ids=[names[0], names[2], names[5]])
    assert (shown.bodies, shown.complete) == (["0", "2"], False)
    assert (await ask(juliet, f"<after>{names[2]}</after>", ids=[names[0], names[2], names[5]])).bodies == [
        "5"
    ]
    assert (await ask(juliet, "<max>1</max><before/>", ids=[names[0], names[5]])).bodies == ["5"]
    assert (await ask(juliet, with_=NURSE, ids=names[:2])).bodies == []
    await refused(juliet, query(ids=names), "modify", "policy-violation", "a query names at most 6 ids")


@pytest.mark.parametrize("field", ["before_id", "after_id", "ids"])
async def test_an_id_that_is_not_there_is_not_found(server: Harness, juliet: Client, field: str) -> None:
    # XEP-0313#query-limit-id
    [name] = await archive(server, JULIET, *said("0"))
    gone = server.node.core.stanza_ids.text(await server.account(JULIET), 12)
    for absent in ("nonsense", gone):
        await refused(juliet, query(**{field: absent}), "cancel", "item-not-found", "*")
    await refused(juliet, query(ids=[name, gone]), "cancel", "item-not-found", "*")


@pytest.mark.parametrize("max", ["", "<max>0</max>"])
@pytest.mark.parametrize("field", ["before", "after"])
async def test_a_page_beside_an_id_that_is_not_there_is_not_found(
    server: Harness, juliet: Client, field: str, max: str
) -> None:
    # XEP-0313#query-paging-request
    await archive(server, JULIET, *said("0", "1"))
    gone = server.node.core.stanza_ids.text(await server.account(JULIET), 12)
    for absent in ("nonsense", gone):
        await refused(juliet, query(f"{max}<{field}>{absent}</{field}>"), "cancel", "item-not-found", "*")


async def test_a_client_asks_for_what_came_behind_a_message_that_is_no_history(
    server: Harness, juliet: Client
) -> None:
    """It was delivered with an id like all others, and may be forgotten by now."""
    hidden = Kind.OWED | Kind.HIDDEN
    [first] = await archive(server, JULIET, *said("hidden"), kind=hidden)
    await archive(server, JULIET, *said("0"))
    [middle] = await archive(server, JULIET, *said("hidden"), kind=hidden)
    forgotten = server.node.core.stanza_ids.text(
        await server.account(JULIET), int(server.clock.now() * 1e6) - 9
    )
    await archive(server, JULIET, *said("1"))
    [last] = await archive(server, JULIET, *said("hidden"), kind=hidden)
    assert (await ask(juliet, f"<after>{first}</after>")).bodies == ["0", "1"]
    for name in (middle, forgotten):
        assert (await ask(juliet, f"<after>{name}</after>")).bodies == ["1"]
        assert (await ask(juliet, f"<before>{name}</before>")).bodies == ["0"]
        assert (await ask(juliet, after_id=name)).bodies == ["1"]
        await refused(juliet, query(ids=[name]), "cancel", "item-not-found", "*")
    assert (await ask(juliet, f"<after>{last}</after>")).bodies == []
    # Before and behind this one there may have been others that were erased.
    erased = server.node.core.stanza_ids.text(await server.account(JULIET), 12)
    await refused(juliet, query(f"<after>{erased}</after>"), "cancel", "item-not-found", "*")


async def test_an_id_that_an_older_backup_does_not_have_is_not_found(server: Harness, juliet: Client) -> None:
    await archive(server, JULIET, *said("0"))
    lost = server.node.core.stanza_ids.text(await server.account(JULIET), int(server.clock.now() * 1e6) + 1)
    await refused(juliet, query(f"<after>{lost}</after>"), "cancel", "item-not-found", "*")


# What is wrong


@pytest.mark.parametrize(
    ("payload", "condition", "text"),
    [
        (
            query(start="yesterday"),
            "bad-request",
            "start: 'yesterday' is no time such as 2026-07-01T12:00:00Z",
        ),
        (query(end="2026-02-30T00:00:00Z"), "bad-request", "*"),
        (query(with_="@"), "jid-malformed", "*"),
        (query(with_=[ROMEO, NURSE]), "bad-request", "the field with has one value"),
        (query(include_groupchat="perhaps"), "bad-request", "include-groupchat is true or false"),
        (query("<max>many</max>"), "bad-request", "*"),
        (query("<max>-1</max>"), "bad-request", "*"),
        (query().replace("'q'", f"'{'q' * 257}'"), "bad-request", "a queryid has at most 256 characters"),
        (query(end="x").replace("submit", "form"), "bad-request", "a form that is sent is of type submit"),
        (
            query(end="x").replace("<value>urn:xmpp:mam:2<", "<value>urn:xmpp:mam:1<"),
            "bad-request",
            "the FORM_TYPE of this form is urn:xmpp:mam:2",
        ),
        (
            "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='with'/></x></query>",
            "bad-request",
            "the FORM_TYPE of this form is urn:xmpp:mam:2",
        ),
        (query(end="x").replace("var='end'", ""), "bad-request", "a field of a form has a var"),
    ],
)
async def test_nonsense_is_refused_with_a_reason(
    juliet: Client, payload: str, condition: str, text: str
) -> None:
    await refused(juliet, payload, "modify", condition, text)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        # XEP-0313#query-form
        (query(**{"{urn:example}text": "Juliet"}), "this archive has no filter '{urn:example}text'"),
        # XEP-0059#jump
        (query("<index>3</index>"), "pages are found by &lt;after/> and &lt;before/>"),
        # XEP-0313#business-storeret-pubsub-archives
        (query().replace("queryid", "node"), "this archive has no nodes"),
    ],
)
async def test_what_is_not_there_is_said_to_be_so(juliet: Client, payload: str, text: str) -> None:
    await refused(juliet, payload, "cancel", "feature-not-implemented", text)


async def test_fields_without_a_value_are_no_filters(server: Harness, juliet: Client) -> None:
    await archive(server, JULIET, *said("0"))
    assert (await ask(juliet, with_="", start="", ids=[], include_groupchat="true")).bodies == ["0"]


# Pages


async def test_pages_follow_one_another(server: Harness, juliet: Client) -> None:
    # XEP-0313#query-paging; the server gives four where nothing is said, and six at most
    names = await archive(server, JULIET, *said(*map(str, range(8))))
    shown = await ask(juliet)
    assert shown.bodies == ["0", "1", "2", "3"]
    assert shown.set == {"first": names[0], "last": names[3]}
    assert not shown.complete
    assert (await ask(juliet, "<max>100</max>")).bodies == ["0", "1", "2", "3", "4", "5"]
    shown = await ask(juliet, f"<max>3</max><after>{names[3]}</after>")
    assert (shown.bodies, shown.complete) == (["4", "5", "6"], False)
    shown = await ask(juliet, f"<max>3</max><after>{names[4]}</after>")
    assert (shown.bodies, shown.complete) == (["5", "6", "7"], True)
    shown = await ask(juliet, f"<after>{names[7]}</after>")
    assert (shown.bodies, shown.complete, shown.set) == ([], True, {})


async def test_pages_backwards_are_in_order_too(server: Harness, juliet: Client) -> None:
    # XEP-0059#last, XEP-0059#backwards
    names = await archive(server, JULIET, *said(*map(str, range(6))))
    shown = await ask(juliet, "<max>2</max><before/>")
    assert (shown.bodies, shown.complete) == (["4", "5"], False)
    assert shown.set == {"first": names[4], "last": names[5]}
    shown = await ask(juliet, f"<max>2</max><before>{names[4]}</before>")
    assert (shown.bodies, shown.complete) == (["2", "3"], False)
    shown = await ask(juliet, f"<max>2</max><before>{names[2]}</before>")
    assert (shown.bodies, shown.complete) == (["0", "1"], True)
    shown = await ask(juliet, f"<max>2</max><before>{names[0]}</before>")
    assert (shown.bodies, shown.complete, shown.set) == ([], True, {})


async def test_a_page_between_two_ids_is_the_last_one(server: Harness, juliet: Client) -> None:
    """RSM leaves open what both mean."""
    names = await archive(server, JULIET, *said(*map(str, range(6))))
    rsm = f"<max>2</max><after>{names[0]}</after><before>{names[4]}</before>"
    assert (await ask(juliet, rsm)).bodies == ["2", "3"]


async def test_a_flipped_page_has_the_same_messages_in_reverse(server: Harness, juliet: Client) -> None:
    # XEP-0313#query-paging-flip
    names = await archive(server, JULIET, *said("0", "1", "2", "3"))
    shown = await ask(juliet, "<max>2</max>", "<flip-page/>")
    assert (shown.bodies, shown.set) == (["1", "0"], {"first": names[0], "last": names[1]})
    shown = await ask(juliet, "<max>2</max><before/>", "<flip-page/>")
    assert (shown.bodies, shown.set) == (["3", "2"], {"first": names[2], "last": names[3]})


async def test_a_page_of_a_conversation_ends_where_that_does(server: Harness, juliet: Client) -> None:
    names = await archive(
        server, JULIET, *said("0", "1"), chat(NURSE, JULIET, "2"), *said("3"), chat(NURSE, JULIET, "4")
    )
    shown = await ask(juliet, "<max>3</max>", with_=ROMEO)
    assert (shown.bodies, shown.complete) == (["0", "1", "3"], True)
    shown = await ask(
        juliet, f"<max>2</max><after>{names[2]}</after>", with_=ROMEO
    )  # a message of another one
    assert (shown.bodies, shown.complete) == (["3"], True)
    shown = await ask(
        juliet, f"<max>2</max><before>{names[2]}</before>", with_=ROMEO, start="2026-09-21T14:13:21Z"
    )
    assert (shown.bodies, shown.complete) == (["1"], True)


async def test_how_many_there_are_is_told_who_asks_for_no_more(server: Harness, juliet: Client) -> None:
    # XEP-0059#count: of all pages
    names = await archive(server, JULIET, *said("0", "1"), chat(NURSE, JULIET, "2"), *said("3"))
    shown = await ask(juliet, "<max>0</max>")
    assert (shown.results, shown.set, shown.complete) == ([], {"count": "4"}, False)
    assert (await ask(juliet, "<max>0</max>", with_=ROMEO)).set == {"count": "3"}
    assert (await ask(juliet, "<max>0</max>", with_=ROMEO, after_id=names[0])).set == {"count": "2"}
    assert (await ask(juliet, f"<max>0</max><after>{names[2]}</after>")).set == {"count": "4"}
    assert (await ask(juliet, "<max>0</max>", with_=f"{ROMEO}/orchard")).set == {}
    assert (await ask(juliet, "<max>1</max>")).set.keys() == {"first", "last"}


# What may be asked


async def test_a_client_finds_out_about_filters(juliet: Client) -> None:
    # XEP-0313#query-form
    await juliet.send("<iq type='get' id='form1'><query xmlns='urn:xmpp:mam:2'/></iq>")
    juliet.expect(
        f"""<iq type='result' from='{JULIET}' to='{juliet.jid}' id='form1'>
          <query xmlns='urn:xmpp:mam:2'>
            <x xmlns='jabber:x:data' type='form'>
              <field type='hidden' var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>
              <field type='jid-single' var='with'/>
              <field type='text-single' var='start'/>
              <field type='text-single' var='end'/>
              <field type='text-single' var='before-id'/>
              <field type='text-single' var='after-id'/>
              <field type='list-multi' var='ids'>
                <validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:string'><open/></validate>
              </field>
              <field type='boolean' var='include-groupchat'/>
            </x>
          </query>
        </iq>"""
    )


async def test_metadata_say_where_the_archive_begins_and_ends(server: Harness, juliet: Client) -> None:
    # XEP-0313#archive-metadata
    ask_metadata = "<iq type='get' id='1'><metadata xmlns='urn:xmpp:mam:2'/></iq>"
    await juliet.send(ask_metadata)
    juliet.expect(
        f"<iq type='result' from='{JULIET}' to='{juliet.jid}' id='1'><metadata xmlns='urn:xmpp:mam:2'/></iq>"
    )
    names: list[str] = []
    for bodies, stamp in (("0", "20"), ("12", "22")):
        names += await archive(server, JULIET, *said(*bodies))
        await juliet.send(ask_metadata)
        juliet.expect(
            f"""<iq type='result' from='{JULIET}' to='{juliet.jid}' id='1'>
              <metadata xmlns='urn:xmpp:mam:2'>
                <start id='{names[0]}' timestamp='2026-09-21T14:13:20.000Z'/>
                <end id='{names[-1]}' timestamp='2026-09-21T14:13:{stamp}.000Z'/>
              </metadata>
            </iq>"""
        )


async def test_what_an_account_can_do_is_announced_there_and_not_at_the_server(juliet: Client) -> None:
    # XEP-0313#support: only at addresses that have an archive
    announced = {}
    for at in (JULIET, "capulet.lit"):
        await juliet.send(
            f"<iq type='get' id='1' to='{at}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        info = next(juliet.received.pop().elements())
        announced[at] = {feature.attrs["var"] for feature in info.each("feature")}
    mine = {
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:2#extended",
        "urn:xmpp:mam:2#groupchat-field",
        "http://jabber.org/protocol/rsm",
    }
    assert mine <= announced[JULIET]
    assert not mine & announced["capulet.lit"]
