"""Stanzas: from elements at the edge, to bytes for many recipients, and the errors that answer them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.markup import stanza as read
from xmppd import ns
from xmppd.errors import DEFAULT_TYPES, STANZA_CONDITIONS, StanzaCondition, StanzaError
from xmppd.jid import Jid
from xmppd.stanza import (
    IQ_TYPES,
    MESSAGE_TYPES,
    PRESENCE_TYPES,
    Iq,
    Message,
    Presence,
    Stanza,
    error_condition,
    error_element,
    error_reply,
    parse,
)
from xmppd.xml.element import Element

ROMEO = Jid.parse("romeo@montague.example/orchard")
JULIET = Jid.parse("juliet@capulet.example/balcony")


def of(xml: str, lang: str | None = None) -> Stanza:
    return parse(read(xml.encode()), ROMEO, lang)


# Types


def test_a_message_with_everything() -> None:
    message = of(
        "<message from='forged@x' to='Juliet@Capulet.example/balcony' id='1' type='chat' xml:lang='en' other='x'>"
        "<body>Hi</body></message>",
        "de",
    )
    assert type(message) is Message
    assert (message.sender, message.to, message.id, message.type, message.lang) == (
        ROMEO,
        JULIET,
        "1",
        "chat",
        "en",
    )
    assert message.children == [Element("body", ns.CLIENT, {}, ["Hi"])]
    assert read(message.wire()) == Element(
        "message",
        ns.CLIENT,
        {"to": str(JULIET), "from": str(ROMEO), "id": "1", "type": "chat", "xml:lang": "en"},
        message.children,
    )
    assert read(message.wire()) == message.element()


def test_what_is_absent() -> None:
    for xml, kind, untyped in (("<message/>", Message, "normal"), ("<presence/>", Presence, "")):
        stanza = of(xml)
        assert type(stanza) is kind
        assert (stanza.to, stanza.id, stanza.type, stanza.lang, stanza.children) == (
            None,
            None,
            untyped,
            None,
            [],
        )
        assert stanza.wire() == xml.replace("/>", " from='romeo@montague.example/orchard'/>").encode()


@pytest.mark.parametrize(
    ("type", "taken"), [*((t, t) for t in MESSAGE_TYPES), ("foo", "normal"), ("", "normal")]
)
def test_types_of_messages(type: str, taken: str) -> None:
    assert of(f"<message type='{type}'/>").type == taken


@pytest.mark.parametrize("type", PRESENCE_TYPES)
def test_types_of_presence(type: str) -> None:
    assert of(f"<presence type='{type}'/>").type == type


@pytest.mark.parametrize("type", IQ_TYPES)
def test_types_of_iqs(type: str) -> None:
    iq = of(f"<iq type='{type}' id='1'><query xmlns='urn:x'/></iq>")
    assert isinstance(iq, Iq)
    assert iq.type == type
    assert iq.payload == Element("query", "urn:x")


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        ("<message to=''/>", "jid-malformed"),
        ("<message to='@x'/>", "jid-malformed"),
        ("<presence to='a b@x'/>", "jid-malformed"),
        ("<presence type='available'/>", "bad-request"),
        ("<iq id='1'><a/></iq>", "bad-request"),
        ("<iq id='1' type='foo'><a/></iq>", "bad-request"),
        ("<iq type='get'><a/></iq>", "bad-request"),
        ("<iq type='get' id=''><a/></iq>", "bad-request"),
        ("<iq type='get' id='1'/>", "bad-request"),
        ("<iq type='set' id='1'>text</iq>", "bad-request"),
        ("<iq type='set' id='1'><a/><b/></iq>", "bad-request"),
    ],
)
def test_what_is_no_stanza(xml: str, condition: str) -> None:
    with pytest.raises(StanzaError) as caught:
        of(xml)
    assert caught.value.condition == condition


def test_replies_may_be_empty_and_whitespace_does_not_count() -> None:
    assert isinstance(of("<iq type='result' id='1'/>"), Iq)
    iq = of("<iq type='get' id='1'>\n  <a/>\n</iq>")
    assert isinstance(iq, Iq)
    assert iq.payload == Element("a", ns.CLIENT)


# Reading


def test_children() -> None:
    message = of("<message>x<body>Hi</body><body xmlns='urn:x'>Ha</body><y xmlns='urn:y'/></message>")
    body = message.child("body")
    assert body is not None
    assert body.text() == "Hi"
    assert message.child("body", "urn:x") == Element("body", "urn:x", {}, ["Ha"])
    assert message.child("y") is None
    assert message.has_child_in("urn:y")
    assert not message.has_child_in("urn:z")
    assert [element.name for element in message.elements()] == ["body", "body", "y"]


@pytest.mark.parametrize(
    ("text", "priority"),
    [
        ("5", 5), ("-1", -1), ("+7", 7), (" 5\n", 5), ("0", 0), ("127", 127), ("-128", -128),
        ("128", 127), ("-129", -128), ("99999999999999999999", 127),
        ("", 0), ("high", 0), ("1.5", 0), ("0x10", 0), ("9" * 10_000, 0),
    ],
)  # fmt: skip
def test_priority(text: str, priority: int) -> None:
    presence = of(f"<presence><priority>{text}</priority></presence>")
    assert isinstance(presence, Presence)
    assert presence.priority == priority


def test_no_priority_is_zero() -> None:
    presence = of("<presence><priority xmlns='urn:x'>5</priority></presence>")
    assert isinstance(presence, Presence)
    assert presence.priority == 0


# Copies and writing


def test_the_language_of_the_stream_travels_along() -> None:
    """RFC 6120#8.1.5: elsewhere the stream has another one."""
    for xml in ("<message><body>Hallo</body></message>", "<message/>"):
        assert read(of(xml, "de").wire()).get("xml:lang") == "de"


def test_another_recipient_gets_the_same_bytes() -> None:
    message = of("<message to='a@x.example'><body><![CDATA[Hi]]></body></message>")
    other = message.with_to(JULIET)
    assert b"<![CDATA[Hi]]>" in other.wire()
    assert other.wire() == message.wire().replace(b"to='a@x.example'", b"to='%b'" % JULIET.wire)
    assert message.to == Jid.parse("a@x.example")
    assert other.children is message.children
    assert b" to=" not in message.with_to(None).wire()
    # and when the bytes were made before
    assert message.with_to(JULIET).wire() == other.wire()


def test_other_children_are_written_anew() -> None:
    message = of("<message to='a@x.example' id='1'><body>Hi</body></message>", "en")
    message.wire()
    more = message.with_child(Element("x", "urn:x"))
    assert [child.name for child in read(more.wire()).elements()] == ["body", "x"]
    assert [child.name for child in read(message.wire()).elements()] == ["body"]
    assert (more.to, more.id, more.lang, more.sender) == (message.to, "1", "en", ROMEO)
    assert read(message.with_children([]).wire()).children == []


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), min_size=1))
def test_every_attribute_is_escaped(text: str) -> None:
    message = Message(type="chat", sender=ROMEO, to=JULIET, id=text, lang=text)
    assert read(message.wire()) == message.element()


def test_a_result() -> None:
    request = of("<iq type='get' id='1' to='capulet.example'><a/></iq>")
    assert isinstance(request, Iq)
    reply = request.result(Element("b", "urn:b"))
    assert (reply.type, reply.sender, reply.to, reply.id) == (
        "result",
        Jid.parse("capulet.example"),
        ROMEO,
        "1",
    )
    assert reply.payload == Element("b", "urn:b")
    to_self = of("<iq type='get' id='1'><a/></iq>")
    assert isinstance(to_self, Iq)
    assert to_self.result().sender == ROMEO.bare
    assert to_self.result().payload is None


def test_repr_tells_who_and_what() -> None:
    assert repr(of("<message type='chat' id='1' to='a@x'/>")) == (
        "<message 'chat' from romeo@montague.example/orchard to a@x id '1'>"
    )


# Errors


@pytest.mark.parametrize("condition", sorted(STANZA_CONDITIONS))
def test_each_condition_comes_back_as_it_was(condition: StanzaCondition) -> None:
    error = StanzaError(condition, "what is wrong", extra=("too-many", "urn:x"))
    message = of("<message id='1' to='juliet@capulet.example/balcony'><body>Hi</body></message>")
    reply = error_reply(message, error)
    assert reply is not None
    assert (reply.type, reply.sender, reply.to, reply.id) == ("error", JULIET, ROMEO, "1")
    again = parse(read(reply.wire()), JULIET)
    assert error_condition(again) == condition
    element = again.child("error")
    assert element == error_element(error)
    assert element is not None
    assert element.get("type") == DEFAULT_TYPES[error.condition]
    assert [(child.name, child.ns) for child in element.elements()] == [
        (condition, ns.STANZA_ERRORS),
        ("text", ns.STANZA_ERRORS),
        ("too-many", "urn:x"),
    ]


def test_an_error_without_text() -> None:
    assert error_element(StanzaError("conflict"), JULIET) == Element(
        "error", ns.CLIENT, {"type": "cancel", "by": str(JULIET)}, [Element("conflict", ns.STANZA_ERRORS)]
    )


def test_an_error_comes_from_whom_the_stanza_was_for() -> None:
    reply = error_reply(of("<iq type='get' id='1'><a/></iq>"), StanzaError("forbidden"))
    assert isinstance(reply, Iq)
    assert (reply.sender, reply.to) == (ROMEO.bare, ROMEO)


@pytest.mark.parametrize(
    "xml", ["<message type='error'/>", "<presence type='error'/>", "<iq type='error' id='1'/>"]
)
def test_an_error_is_never_answered_with_an_error(xml: str) -> None:
    """RFC 6120#8.3.1: two servers would do so for ever."""
    assert error_reply(of(xml), StanzaError("bad-request")) is None


def test_a_result_is_not_answered_either() -> None:
    assert error_reply(of("<iq type='result' id='1'/>"), StanzaError("bad-request")) is None


def test_conditions_of_errors_that_nobody_defined() -> None:
    assert error_condition(of("<message/>")) is None
    assert error_condition(of("<message><error/></message>")) is None
    assert (
        error_condition(of(f"<message><error><what xmlns='{ns.STANZA_ERRORS}'/></error></message>")) is None
    )
    assert error_condition(of("<message><error><conflict xmlns='urn:x'/></error></message>")) is None
