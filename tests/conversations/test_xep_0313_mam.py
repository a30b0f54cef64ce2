"""XEP-0313: what users see of their history, who may see it, and what a client finds out about it."""

from __future__ import annotations

import pytest

from tests.support.harness import Client, Harness
from tests.support.history import JULIET, NURSE, ROMEO, archive, ask, chat, query, refused, said
from xmppd.storage.archive import Kind


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
    juliet = await server.client(f"{JULIET}/balcony")
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
    await refused(juliet, query(ids=[name]), "cancel", "item-not-found")


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
