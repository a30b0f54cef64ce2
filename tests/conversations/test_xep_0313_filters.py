"""XEP-0313: queries for a part of the history, by contact, by time and by id; and those that make no sense."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import JULIET, NURSE, ROMEO, archive, ask, chat, query, refused, said


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
    for module in ("tests.support.history", "xmppd.im.pages"):
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


@pytest.mark.parametrize("field", ["before_id", "after_id", "ids"])
async def test_an_id_that_is_not_there_is_not_found(server: Harness, juliet: Client, field: str) -> None:
    # XEP-0313#query-limit-id
    [name] = await archive(server, JULIET, *said("0"))
    gone = server.node.core.stanza_ids.text(await server.account(JULIET), 12)
    for absent in ("nonsense", gone):
        await refused(juliet, query(**{field: absent}), "cancel", "item-not-found")
    await refused(juliet, query(ids=[name, gone]), "cancel", "item-not-found")


async def test_fields_without_a_value_are_no_filters(server: Harness, juliet: Client) -> None:
    await archive(server, JULIET, *said("0"))
    assert (await ask(juliet, with_="", start="", ids=[], include_groupchat="true")).bodies == ["0"]


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
