"""Who is there? The answers to presence probes (RFC 6121#4.3), and all that a newly available resource is told.

Between accounts of ours no probe is sent: what its answers would be is known here. For contacts who are not there it
takes one look into the storage, however many they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from xmppd.im.last_seen import LastSeenKeeper
from xmppd.im.presence_out import Broadcaster
from xmppd.im.rosters import KnownRoster, Rosters
from xmppd.jid import Jid
from xmppd.routing.router import Router, Waiting
from xmppd.sessions.account import Account
from xmppd.sessions.session import Session
from xmppd.stanza import Presence
from xmppd.storage.interfaces import RosterItem


class Probes:
    """Answers for accounts, and greets their resources."""

    def __init__(
        self, router: Router, rosters: Rosters, broadcaster: Broadcaster, last_seen: LastSeenKeeper
    ) -> None:
        self._router = router
        self._rosters = rosters
        self._broadcaster = broadcaster
        self._last_seen = last_seen

    # A resource of ours has become available

    def greet(self, session: Session, known: KnownRoster) -> Waiting:
        """Tell ``session`` who else is available, and who waits for an answer (RFC 6121#4.2.2, #3.1.3)."""
        account = session.account
        for other in account.available():
            if other is not session and other.presence is not None:
                session.deliver(other.presence.with_to(session.jid))
        for item in known.requests:
            self._remind(session, item)
        away: list[Jid] = []
        elsewhere: list[Presence] = []
        for contact in known.watched:
            probe = Presence(type="probe", sender=account.jid, to=contact)
            if self._broadcaster.outgoing(probe, account) is None:
                continue
            recipient = self._broadcaster.connected(contact)
            if recipient is not None and recipient.available():
                if self._broadcaster.incoming(probe, recipient) is not None:
                    self._show(session, recipient)
            elif not self._router.is_local(contact):
                elsewhere.append(probe)
            elif recipient is None and self._broadcaster.has_to_be_sent(contact):
                # on another node; the answer is for this resource alone
                elsewhere.append(Presence(type="probe", sender=session.jid, to=contact))
            else:
                away.append(contact)
        return self._ask(session, away, elsewhere) if away or elsewhere else None

    def _remind(self, session: Session, item: RosterItem) -> None:
        """Give ``session`` the request of ``item`` once more (RFC 6121#3.1.3)."""
        request = Presence(type="subscribe", sender=item.jid, to=session.account.jid)
        if item.request is not None and self._broadcaster.incoming(request, session.account) is not None:
            session.write(item.request)

    def _show(self, session: Session, contact: Account) -> None:
        """Give ``session`` the presence of each resource of ``contact``."""
        for resource in contact.available():
            if resource.presence is not None:
                copy = self._broadcaster.incoming(resource.presence.with_to(session.jid), session.account)
                if copy is not None:
                    session.deliver(copy)

    async def _ask(self, session: Session, away: Sequence[Jid], elsewhere: Sequence[Presence]) -> None:
        """Look up when the contacts ``away`` were last seen, and send the probes ``elsewhere``.

        Nothing is said of those who were never seen, and none can tell these from those who block the user.
        """
        if away:
            seen = await self._last_seen.of(away, session.account.jid)
            for contact, left in seen.items():
                if not self._is_back(contact) and session.presence is not None:
                    session.deliver(self._last_seen.presence(contact, left, session.jid))
        for probe in elsewhere:
            await self._router.send(probe)

    def _is_back(self, contact: Jid) -> bool:
        """Whether ``contact`` became available while we looked when it was last seen; then it told so itself."""
        recipient = self._broadcaster.connected(contact)
        return recipient is not None and bool(recipient.available())

    # Somebody asks

    async def answer(self, account: Account, probe: Presence) -> None:
        """Answer ``probe``, sent to ``account`` by a server for one of its users, or by a client (RFC 6121#4.3.2)."""
        asker = probe.sender
        known = self._rosters.peek(account) or await self._rosters.get(account)
        if asker.bare != account.jid and not known.shows_to(asker):
            if known.is_asked_by(asker):
                return  # "unsubscribed" would deny the request at the asker's side, where it still waits at ours
            await self._router.send(Presence(type="unsubscribed", sender=account.jid, to=asker.bare))
            return
        answers = [
            resource.presence.with_to(asker)
            for resource in account.available()
            if resource.presence is not None
        ]
        if not answers:
            seen = await self._last_seen.of((account.jid,), asker)
            answers = [self._last_seen.presence(account.jid, seen.get(account.jid), asker)]
        for answer in answers:
            await self._router.send(answer)
