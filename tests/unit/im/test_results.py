from __future__ import annotations

from xmppd.im.results import result
from xmppd.storage.archive import Row

STANZA = b"<message to='romeo@capulet.lit' from='juliet@capulet.lit/balcony' type='chat'><body>Romeo?</body></message>"
MESSAGE = (
    b"<message xmlns='jabber:client' to='romeo@capulet.lit' from='juliet@capulet.lit/balcony' type='chat'>"
    b"<body>Romeo?</body></message>"
)
ROW = Row(1_782_907_200_250_000, 4, 0, STANZA)


def test_a_message_is_forwarded_as_it_is_stored() -> None:
    assert result(ROW, "abc", "f'1") == (
        b"<result xmlns='urn:xmpp:mam:2' queryid='f&apos;1' id='abc'><forwarded xmlns='urn:xmpp:forward:0'>"
        b"<delay xmlns='urn:xmpp:delay' stamp='2026-07-01T12:00:00.250Z'/>"
        + MESSAGE
        + b"</forwarded></result>"
    )


def test_without_a_query_id_none_is_told() -> None:
    assert result(ROW, "abc", None).startswith(b"<result xmlns='urn:xmpp:mam:2' id='abc'><forwarded ")
