"""Which rows a query means, and in which portions they are read: no page holds the event loop or fills the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xmppd.clock import stamp
from xmppd.errors import StanzaError
from xmppd.im.archive_queries import Query
from xmppd.im.envelope import Envelope
from xmppd.im.results import MAM
from xmppd.im.stanza_ids import StanzaIds
from xmppd.jid import Jid
from xmppd.routing.rsm import set_element
from xmppd.storage import archive as storage
from xmppd.storage.archive import ArchiveStore, Mark, Row, peer_key
from xmppd.xml.element import Element

_STEP: Final = 64  # rows read at a time
_MOST_BYTES: Final = 1_048_576  # of one page: what is more comes with the next one
_MOST_SEEN: Final = 10_000  # rows looked through before a page that has something is told as it is
_LAST: Final = 2**63 - 1  # no id is larger

Matches = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows a filter by address (XEP-0313#filter-jid) means: of those with the ``peer_key`` ``peer`` (None: of
    all), those that ``matches`` lets through. ``countable``: these are all but those whose address shares that key, so
    they are counted without reading them.
    """

    peer: int | None
    matches: Matches
    countable: bool


@dataclass(frozen=True, slots=True)
class Page:
    """``rows`` in ascending order. ``complete``: there are no more in the direction of paging. ``count``: how many the
    filter lets through, where that was asked for and is cheap to know.

    ``covers``: every row of the history above the first id, up to the second, is in ``rows``; None: they are selected.
    """

    rows: Sequence[Row]
    complete: bool
    count: int | None = None
    covers: tuple[int, int] | None = None

    def fin(self, name: Callable[[Row], str]) -> Element:
        """What stands behind the page (XEP-0313#query); rows are called what ``name`` says."""
        attrs = {"complete": "true"} if self.complete else {}
        rows = self.rows
        first, last = (name(rows[0]), name(rows[-1])) if rows else (None, None)
        return Element("fin", MAM, attrs, [set_element(first, last, count=self.count)])


def metadata(ends: Sequence[Row], name: Callable[[Row], str]) -> Element:
    """Where an archive begins and ends (XEP-0313#archive-metadata); nothing inside, if it is empty."""
    return Element(
        "metadata",
        MAM,
        children=[
            Element(which, MAM, {"id": name(row), "timestamp": stamp(row.id / 1e6)})
            for which, row in zip(("start", "end"), ends, strict=False)
        ],
    )


@dataclass(slots=True)
class _Bounds:
    """Ids above ``after`` and below ``before``; what is added makes them narrower."""

    after: int = 0
    before: int = _LAST

    def above(self, id: int) -> int:
        self.after = max(self.after, id)
        return id

    def below(self, id: int) -> int:
        self.before = min(self.before, id)
        return id


class Pages:
    """Finds pages in archives."""

    def __init__(self, archive: ArchiveStore, ids: StanzaIds, *, usual: int, most: int) -> None:
        """A page has ``usual`` rows where the client does not say how many, and ``most`` at most."""
        self._archive = archive
        self._ids = ids
        self._usual = usual
        self._most = most

    async def find(self, owner: int, query: Query, selected: Selection | None) -> Page:
        """The page of the archive of ``owner`` that ``query`` asks for, of the rows that are ``selected`` (None: all);
        ``item-not-found`` if it names a row that is not there.
        """
        filter, paging = query.filter, query.paging
        bounds = _Bounds()
        if filter.start is not None:
            bounds.above(filter.start - 1)
        if filter.end is not None:
            bounds.below(filter.end + 1)
        places = set[int]()
        if filter.after is not None:
            places.add(bounds.above(self._row(owner, filter.after)))
        if filter.before is not None:
            places.add(bounds.below(self._row(owner, filter.before)))
        ids = None if filter.ids is None else self._rows(owner, filter.ids)
        peer = None if selected is None else selected.peer
        whole = storage.Query(after=bounds.after, before=bounds.before, peer=peer, ids=ids)

        backwards = paging.before is not None
        anchor: int | None = None  # where the page before this one ended
        if paging.after is not None:
            places.add(anchor := bounds.above(self._row(owner, paging.after)))
        if paging.before:
            places.add(anchor := bounds.below(self._row(owner, paging.before)))
        limit = paging.limit(self._usual, self._most)
        if limit and anchor is not None and anchor == (bounds.before if backwards else bounds.after):
            places.discard(anchor)  # it is read with the page
        else:
            anchor = None
        for place in places:
            await self._check_place(owner, place)
        if ids is not None:
            await self._check(owner, ids)
        if not limit:
            return await self._count(owner, whole, selected)

        matches = None if selected is None else selected.matches
        wanted = replace(whole, after=bounds.after, before=bounds.before)
        rows, complete = await self._collect(owner, wanted, matches, limit, backwards, anchor)
        covers = None
        if rows and matches is None and ids is None:
            covers = (rows[0].id - 1 if backwards and not complete else bounds.after, rows[-1].id)
        return Page(rows, complete, covers=covers)

    async def ends(self, owner: int) -> Sequence[Row]:
        """The first and the last row of the archive of ``owner``; nothing if it is empty."""
        first = await self._archive.read(owner, storage.Query(), limit=1)
        if not first:
            return ()
        last = await self._archive.read(owner, storage.Query(), limit=1, backwards=True)
        return (first[0], (last or first)[0])

    # What is named

    def _row(self, owner: int, name: str) -> int:
        id = self._ids.row(owner, name)
        if id is None:
            raise _not_found()
        return id

    def _rows(self, owner: int, names: Sequence[str]) -> tuple[int, ...]:
        if len(names) > self._most:
            raise StanzaError("policy-violation", f"a query names at most {self._most} ids")
        return tuple(self._row(owner, name) for name in names)

    async def _check(self, owner: int, ids: Sequence[int]) -> None:
        """XEP-0313#query-limit-id: what is asked for has to be there."""
        if await self._archive.count(owner, storage.Query(ids=tuple(ids))) < len(ids):
            raise _not_found()

    async def _check_place(self, owner: int, id: int) -> None:
        """XEP-0313#query-limit-id, XEP-0313#query-paging-request: beside which page is asked for has to be there.

        Or nothing else may be missing there: clients also know messages that are no part of the history, and may be
        forgotten by now. They ask for what came behind, and miss nothing if the history begins before it.
        """
        beginning = await self._archive.read(owner, storage.Query(before=id + 1), limit=1)
        owed, newest = await self._archive.owed(owner, after=id - 1, limit=1)
        if newest < id or not (beginning or (owed and owed[0].id == id)):
            raise _not_found()

    # What is read

    async def _count(self, owner: int, wanted: storage.Query, selected: Selection | None) -> Page:
        """XEP-0059#count; not told where each message would have to be read for it."""
        if selected is not None and not selected.countable:
            return Page((), complete=False)
        count = await self._archive.count(owner, wanted)
        return Page((), complete=count == 0, count=count)

    async def _collect(
        self,
        owner: int,
        wanted: storage.Query,
        matches: Matches | None,
        limit: int,
        backwards: bool,
        anchor: int | None,
    ) -> tuple[list[Row], bool]:
        """The first ``limit`` rows in the direction, in ascending order, and whether these are all. ``anchor`` is the
        row at which they begin: it is read with them, which tells whether it is there.
        """
        if anchor is not None:
            wanted = _behind(wanted, anchor + 1 if backwards else anchor - 1, backwards)
        rows: list[Row] = []
        size = seen = 0
        complete = False
        while True:
            # One more than are needed tells whether there are more.
            step = _STEP if matches is not None else min(_STEP, limit + 1 - len(rows) + (anchor is not None))
            batch = await self._archive.read(
                owner, wanted, limit=step, backwards=backwards, most_bytes=_MOST_BYTES
            )
            exhausted = len(batch) < step and sum(len(row.stanza) for row in batch) < _MOST_BYTES
            if backwards:
                batch = batch[::-1]
            if batch:
                wanted = _behind(wanted, batch[-1].id, backwards)
            if anchor is not None:
                if batch and batch[0].id == anchor:
                    batch = batch[1:]
                else:
                    await self._check_place(owner, anchor)
                anchor = None
            seen += len(batch)
            for row in batch:
                if not row.stanza or (matches is not None and not matches(row)):
                    continue
                if len(rows) == limit or (rows and size + len(row.stanza) > _MOST_BYTES):
                    break
                rows.append(row)
                size += len(row.stanza)
            else:
                if exhausted:
                    complete = True
                elif not rows or seen < _MOST_SEEN:
                    continue
            break
        if backwards:
            rows.reverse()
        return rows, complete


def _behind(query: storage.Query, id: int, backwards: bool) -> storage.Query:
    """``query`` from the row ``id`` on, without it, in the direction of paging."""
    return replace(query, before=id) if backwards else replace(query, after=id)


def exchanged_with(peer: Jid) -> Selection:
    """The rows of a user that were exchanged with ``peer``: itself, or where it is bare, any of its resources
    (XEP-0313#filter-jid). A ``peer_key`` may be that of another address too.
    """
    address = str(peer)
    if peer.resource is None:
        start = address + "/"

        def is_bare(row: Row) -> bool:
            envelope = Envelope.of(row.stanza)
            other = envelope.to if row.peer & Mark.SENT else envelope.sender
            return other == address or other.startswith(start)

        return Selection(peer_key(peer), is_bare, countable=True)

    def is_full(row: Row) -> bool:
        envelope = Envelope.of(row.stanza)
        return address in (envelope.sender, envelope.to)

    return Selection(peer_key(peer), is_full, countable=False)


def _not_found() -> StanzaError:
    return StanzaError("item-not-found", "the archive has no message with that id")
