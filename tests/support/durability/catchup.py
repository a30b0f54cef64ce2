"""How a client catches up: it reads its history behind the last message that it has (XEP-0313), page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

from xmppd import ns
from xmppd.xml.element import Element

MAM: Final = "urn:xmpp:mam:2"
RSM: Final = "http://jabber.org/protocol/rsm"

_ids = count(1)


class CatchUp:
    """Reads everything behind ``after`` (empty: from the first day on), and calls ``finished``. One is used once."""

    def __init__(
        self, after: str, page: int, send: Callable[[str], None], finished: Callable[[], None]
    ) -> None:
        self.last = after
        self.done = False
        self._page = page
        self._send = send
        self._finished = finished
        self._id = ""
        self._ask()

    def _ask(self) -> None:
        self._id = f"mam{next(_ids)}"
        behind = f"<after>{self.last}</after>" if self.last else ""
        self._send(
            f"<iq type='set' id='{self._id}'><query xmlns='{MAM}' queryid='{self._id}'>"
            f"<set xmlns='{RSM}'><max>{self._page}</max>{behind}</set></query></iq>"
        )

    def take_end(self, iq: Element) -> bool:
        """Whether ``iq`` answers the page that was asked for; the next one is asked for."""
        if iq.get("id") != self._id:
            return False
        fin = iq.child("fin", MAM)
        if iq.get("type") != "result" or fin is None:
            # The storage is away. Ask again; a client that gives up would miss what it has not got.
            self._ask()
            return True
        page = fin.child("set", RSM)
        last = None if page is None else page.child("last", RSM)
        if last is not None:
            self.last = last.text()
        if fin.get("complete") == "true":
            self.done = True
            self._finished()
        else:
            self._ask()
        return True


def results(message: Element) -> Iterator[tuple[str, Element]]:
    """The id in the archive and the message that ``message`` brings from it, if it does."""
    result = message.child("result", MAM)
    if result is not None:
        forwarded = result.child("forwarded", ns.FORWARD)
        inner = None if forwarded is None else forwarded.child("message", ns.CLIENT)
        if inner is not None:
            yield result.get("id") or "", inner
