"""Messages of an archive as clients are shown them (XEP-0313#results, XEP-0297): spliced, not parsed, and no faster
than they are read.
"""

from __future__ import annotations

import asyncio
from typing import Final

from xmppd import ns
from xmppd.clock import stamp
from xmppd.errors import StanzaError
from xmppd.jid import Jid, escape_attribute
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.storage.archive import Row
from xmppd.xml.element import Element

MAM: Final = "urn:xmpp:mam:2"

_CHUNK: Final = 65_536  # bytes given to a client before it has to read
_OPEN: Final = b"<message"
_RESULT: Final = (
    f"<result xmlns='{MAM}'%b id='%b'><forwarded xmlns='{ns.FORWARD}'><delay xmlns='{ns.DELAY}' stamp='%b'/>"
    f"<message xmlns='{ns.CLIENT}'%b</forwarded></result>"
).encode()


def result(row: Row, id: str, query_id: str | None) -> bytes:
    """The ``<result/>`` that forwards the message in ``row``, called ``id`` on the wire, in answer to a query with the
    ``query_id`` (None: none).
    """
    query = "" if query_id is None else f" queryid='{escape_attribute(query_id)}'"
    time = stamp(row.id / 1e6)  # ids tell when (see storage.archive)
    return _RESULT % (query.encode(), id.encode(), time.encode(), row.stanza.removeprefix(_OPEN))


class Paced:
    """Messages that a client gets before the answer to its request. Others that it asked for at the same time wait
    meanwhile, so that they do not fill the memory together.
    """

    def __init__(self, session: Session, sender: Jid) -> None:
        """The messages come from ``sender``. ``StanzaError`` where nobody reads."""
        if not session.listens:
            raise _unfinished()
        self._session = session
        self._sender = sender
        self._size = 0

    async def send(self, content: bytes, *parsed: Element) -> None:
        """Send a message with ``content``, of which ``parsed`` is what others look for in stanzas. ``StanzaError``
        where the connection was lost before the client had read.
        """
        session = self._session
        session.deliver(
            Message(
                type="normal",
                sender=self._sender,
                to=session.jid,
                children=list(parsed),
                source=content,
            )
        )
        self._size += len(content)
        if self._size >= _CHUNK:
            await self.read()

    async def read(self) -> None:
        """Wait until the client has read everything; as ``send``."""
        self._size = 0
        drained = await self._session.link.drained()
        await asyncio.sleep(0)  # a session with too much to acknowledge has ended by then
        if not drained or self._session.ending:
            raise _unfinished()


def _unfinished() -> StanzaError:
    return StanzaError("resource-constraint", "the connection was lost in between; ask again")
