"""Answers what clients ask of their archives."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from xmppd.errors import StanzaError
from xmppd.im.archive_queries import AskForm, AskMetadata, Query
from xmppd.im.mailbox import Mailbox
from xmppd.im.pages import Page, Pages, exchanged_with, metadata
from xmppd.im.results import MAM, Paced, result
from xmppd.im.stanza_ids import StanzaIds
from xmppd.routing.iq import Request
from xmppd.routing.outbox import Outbox
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
        return AskForm.answer(groupchat=True)

    async def on_metadata(self, request: Request[AskMetadata], outbox: Outbox) -> Element:
        account = request.own
        return metadata(await self._pages.ends(account.id), partial(self._name, account))

    async def on_query(self, request: Request[Query], outbox: Outbox) -> Element:
        session, account, query = request.session, request.own, request.payload
        assert session is not None
        paced = Paced(session, account.jid)
        peer = query.filter.peer
        page = await self._pages.find(account.id, query, None if peer is None else exchanged_with(peer))
        await self._send(page.rows[::-1] if query.flipped else page.rows, account, query.id, paced)
        await self._settle(account, page)
        return page.fin(partial(self._name, account))

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
        for row in page.rows:
            if row.kind & Kind.OWED:
                mailbox.settle(row.id)
        if page.covers is not None:
            after, upto = page.covers
            if _stands_behind(mailbox, after) and mailbox.seen < upto:
                hidden = await self._first_hidden(account, mailbox, upto, step=len(page.rows) + 1)
                if _stands_behind(mailbox, after):  # meanwhile somebody may have come who takes what waits
                    mailbox.advance(min(upto, hidden - 1))

    async def _first_hidden(self, account: Account, mailbox: Mailbox, upto: int, *, step: int) -> int:
        """The first row that no client has and no page of the history shows; above ``upto`` where there is none up to
        there. ``step``: rows that are read at once.
        """
        after = mailbox.seen
        while after < upto:
            owed, _ = await self._archive.owed(account.id, after=after, limit=step)
            for row in owed:
                if row.kind & Kind.HIDDEN and not mailbox.is_done(row.id):
                    return row.id
            if len(owed) < step:
                break
            after = owed[-1].id
        return upto + 1

    def _name(self, account: Account, row: Row) -> str:
        return self._ids.text(account.id, row.id)


async def refuse(request: Request[Query | AskForm | AskMetadata], outbox: Outbox) -> Element:
    """The archive of somebody else; whether there is one is not told."""
    raise StanzaError("forbidden", "an archive is for its owner alone")  # XEP-0313#security-privacy


def _stands_behind(mailbox: Mailbox, row: int) -> bool:
    """Whether all up to ``row`` is done with, and nobody takes what comes behind it."""
    return not mailbox.open and row <= mailbox.seen
