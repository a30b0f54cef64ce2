from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmppd.im.envelope import Envelope
from xmppd.jid import Jid, only_xml
from xmppd.stanza import MESSAGE_TYPES, Message
from xmppd.xml.element import text_element

JULIET, ROMEO = Jid.parse("juliet@capulet.lit/balcony"), Jid.parse("romeo@capulet.lit")
ADDRESSES = [
    JULIET,
    ROMEO,
    Jid.parse('romeo@capulet.lit/it\'s <his> & "hers"'),
    Jid.parse("mußt@bücher.example/ö"),
    Jid.parse("capulet.lit"),
]


@given(
    st.sampled_from(ADDRESSES),
    st.sampled_from(ADDRESSES),
    st.none() | st.text(),
    st.sampled_from(sorted(MESSAGE_TYPES)),
    st.none() | st.text(max_size=5),
    st.booleans(),
)
def test_what_was_written_is_read(
    sender: Jid, to: Jid, id: str | None, type: str, lang: str | None, body: bool
) -> None:
    children = [text_element("body", "jabber:client", "id='>' <message to='eve@evil.lit'>")] if body else []
    message = Message(type=type, sender=sender, to=to, id=id, lang=lang, children=[*children])
    wanted = Envelope(str(sender), str(to), None if id is None else only_xml(id), type)
    assert Envelope.of(message.wire()) == wanted


def test_what_a_room_stores_is_to_nobody() -> None:
    assert Envelope.of(b"<message from='a' id='1'/>") == Envelope("a", "", "1", "normal")


@pytest.mark.parametrize(
    "stanza",
    [
        b"",
        b"<message",
        b"<presence from='a' to='b'/>",
        b"<messages from='a' to='b'/>",
        b"<message to='b'/>",
        b'<message from="a" to="b"/>',
        b"<message to='b' from='a' evil='c'/>",
        b"<message to='b' from='a' from='c'/>",
        b"<message from='a' to='b'/>",
        b"<message to='b' from='a<'/>",
        b"<message to='b' from='a\xff'/>",
        b" <message to='b' from='a'/>",
    ],
)
def test_what_no_server_stored_is_refused(stanza: bytes) -> None:
    with pytest.raises(ValueError, match=r"stored message|decode"):
        Envelope.of(stanza)
