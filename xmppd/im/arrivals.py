"""What other nodes send to sessions of this one, where it cannot simply be delivered."""

from __future__ import annotations

from xmppd.im.delivery import Delivery
from xmppd.routing.router import Router
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Presence, Stanza
from xmppd.tasks import Tasks


class Arrivals:
    """Keeps messages behind those that come out of the storage, and finds another way for what came too late."""

    def __init__(self, delivery: Delivery, router: Router, accounts: Accounts, tasks: Tasks) -> None:
        self._delivery = delivery
        self._router = router
        self._accounts = accounts
        self._tasks = tasks

    def hold(self, session: Session, stanza: Stanza) -> bool:
        """Whether ``stanza`` for ``session`` is delivered later."""
        return isinstance(stanza, Message) and self._delivery.hold(session, stanza)

    def lost(self, stanza: Stanza) -> None:
        """The session for which ``stanza`` came is gone: here it is known who else there is."""
        to = stanza.to
        if to is None or isinstance(stanza, Presence):
            return
        account = self._accounts.peek(to.bare)
        if stanza.place is not None:
            if account is not None:
                self._delivery.missed(account)  # it is in the archive, owed to whoever else there is
            return
        if to.resource is None and account is not None and account.reachable():
            return  # RFC 6121#8.5.2.1.1: each of those has its own copy
        self._tasks.start(f"find another way to {to}", self._router.send(stanza))
