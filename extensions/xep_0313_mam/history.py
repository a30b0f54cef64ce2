"""Answers what clients ask of their archives."""

from __future__ import annotations

from collections.abc import Iterable

from xmppd.clock import stamp
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0313_mam.pages import Page, Pages
from xmppd.extensions.xep_0313_mam.payloads import AskForm, AskMetadata, Query
from xmppd.im.results import MAM, Paced, result
from xmppd.im.stanza_ids import StanzaIds
from xmppd.routing.iq import Request
from xmppd.routing.outbox import Outbox
from xmppd.routing.rsm import set_element
from xmppd.sessions.account import Account
from xmppd.storage.archive import ArchiveStore, Kind, Row
from xmppd.xml.element import Element


class History:
    """The archive of each user, for that user alone (XEP-0313#security-privacy)."""

    def __init__(self, archive: ArchiveStore, pages: Pages, ids: StanzaIds) -> None:
        self._archive = archive
        self._pages = pages
        self._ids = ids

    async def on_form(self, request: Request[AskForm], outbox: Outbox) -> Element:
        return AskForm.answer()

    async def on_metadata(self, request: Request[AskMetadata], outbox: Outbox) -> Element:
        account = request.own
        # XEP-0313#archive-metadata: nothing inside, if the archive is empty
        ends = await self._pages.ends(account)
        return Element(
            "metadata",
            MAM,
            children=[
                Element(name, MAM, {"id": self._name(account, row), "timestamp": stamp(row.id / 1e6)})
                for name, row in zip(("start", "end"), ends, strict=False)
            ],
        )

    async def on_query(self, request: Request[Query], outbox: Outbox) -> Element:
        session, account, query = request.session, request.own, request.payload
        assert session is not None
        paced = Paced(session)
        page = await self._pages.find(account, query)
        await self._send(page.rows[::-1] if query.flipped else page.rows, account, query.id, paced)
        await self._settle(account, page)
        attrs = {"complete": "true"} if page.complete else {}
        ends = (
            [self._name(account, row) for row in (page.rows[0], page.rows[-1])] if page.rows else (None, None)
        )
        return Element("fin", MAM, attrs, [set_element(*ends, count=page.count)])

    async def _send(self, rows: Iterable[Row], account: Account, query_id: str | None, paced: Paced) -> None:
        """Send ``rows`` in this order."""
        for row in rows:
            name = self._name(account, row)
            # What others look for in a stanza is in none of these, so the content is not parsed.
            await paced.send(result(row, name, query_id), Element("result", MAM, {"id": name}))
        await paced.read()

    async def _settle(self, account: Account, page: Page) -> None:
        """Who has a message from the archive does not get it as an offline message too
        (XEP-0313#business-storeret-user-archives).
        """
        mailbox = account.mailbox
        if mailbox is None:
            return
        if page.covers is not None and not mailbox.open and page.covers[0] <= mailbox.seen < page.covers[1]:
            after, upto = page.covers
            owed, _ = await self._archive.owed(account.id, after=mailbox.seen, limit=len(page.rows) + 1)
            hidden = next(
                (row.id for row in owed if row.kind & Kind.HIDDEN and not mailbox.is_done(row.id)), upto + 1
            )
            mailbox.settle_range(after, min(upto, hidden - 1))
        for row in page.rows:
            if row.kind & Kind.OWED:
                mailbox.settle(row.id)

    def _name(self, account: Account, row: Row) -> str:
        return self._ids.text(account.id, row.id)


async def refuse(request: Request[Query | AskForm | AskMetadata], outbox: Outbox) -> Element:
    """The archive of somebody else; whether there is one is not told."""
    raise StanzaError("forbidden", "an archive is for its owner alone")  # XEP-0313#security-privacy
