"""Messages of an archive as clients are shown them (XEP-0313#results, XEP-0297): spliced, not parsed."""

from __future__ import annotations

from typing import Final

from xmppd import ns
from xmppd.clock import stamp
from xmppd.jid import escape_attribute
from xmppd.storage.archive import Row

MAM: Final = "urn:xmpp:mam:2"

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
