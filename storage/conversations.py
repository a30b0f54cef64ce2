"""How the conversations of a chat list are kept: a byte that tells the form, then 36 bytes for each."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from xmppd.storage.archive import Conversation

_FORM: Final = b"\1"
_LINE: Final = Struct("<qqqqI")  # peer, last, message, read, unread


def write_conversations(conversations: Iterable[Conversation]) -> bytes:
    """The conversations as bytes, in their order."""
    return _FORM + b"".join(
        [_LINE.pack(line.peer, line.last, line.message, line.read, line.unread) for line in conversations]
    )


def read_conversations(data: bytes) -> tuple[Conversation, ...]:
    """What was written; ``ValueError`` where a newer program wrote it."""
    if data[:1] != _FORM:
        raise ValueError(f"a chat list is kept in the form {data[:1]!r}, which this program does not know")
    return tuple(
        [
            Conversation(peer, last, message, unread, read)
            for peer, last, message, read, unread in _LINE.iter_unpack(data[1:])
        ]
    )
