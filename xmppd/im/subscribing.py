"""Carries out subscription stanzas (RFC 6121#3): changes the rosters, then tells those whom it concerns.

Where both sides are accounts of ours, both rosters change in one transaction: it is never half done, and each roster
can be trusted about the other. All the rest, other servers and addresses without account, see the stanza when our side
is durable, and answer in their own time.

Nothing is told before the commit (I1), and what is told right behind it does not wait for anything, so that pushes come
in the order of the versions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from xmppd.clock import Clock
from xmppd.errors import StanzaError
from xmppd.ids import Ids
from xmppd.im import roster
from xmppd.im.presence_out import Broadcaster
from xmppd.im.rosters import Change, Rosters
from xmppd.im.steps import InboundStep, OutboundStep, RemovalStep
from xmppd.im.subscriptions import Inbound, Kind, farewell
from xmppd.jid import Jid
from xmppd.routing.outbox import Outbox
from xmppd.routing.router import Router
from xmppd.sessions.account import Account, Resource, Trait
from xmppd.sessions.accounts import Accounts
from xmppd.sessions.session import Session
from xmppd.stanza import Presence
from xmppd.storage.interfaces import NoSuchAccount, RosterFull, RosterUpdate

KINDS: Final = frozenset(kind.value for kind in Kind)
"""The types of presence that are subscription stanzas."""

_HOUR: Final = 3_600.0
_AT_ONCE: Final = 100  # contacts that are told at once that an account goes away; they share commits

log = logging.getLogger("xmppd.im")


class Subscribing:
    """What users send, what comes from outside, and what follows from removing a contact."""

    def __init__(
        self,
        accounts: Accounts,
        router: Router,
        rosters: Rosters,
        broadcaster: Broadcaster,
        clock: Clock,
        ids: Ids,
        *,
        requests_per_hour: int,
        request_bytes: int,
    ) -> None:
        """``requests_per_hour`` may one account send; of one larger than ``request_bytes`` the text is not kept
        (0: no bound).
        """
        self._accounts = accounts
        self._router = router
        self._rosters = rosters
        self._broadcaster = broadcaster
        self._ids = ids
        self._request_bytes = request_bytes
        self._allowance = _Allowance(clock, requests_per_hour)

    # What a user sends

    async def send(self, session: Session, presence: Presence) -> None:
        """The client of ``session`` sends ``presence``, a subscription stanza with a ``to``."""
        account, kind = session.account, Kind(presence.type)
        assert presence.to is not None
        contact = presence.to.bare
        if contact == account.jid:
            raise StanzaError("not-allowed", "everybody sees their own presence")
        if kind is Kind.SUBSCRIBE:
            self._allowance.take(account)
        stanza = _between(presence, account.jid, contact)  # RFC 6121#3.1.2: bare JIDs on both sides
        peer = await self._local(contact)
        if peer is None:
            await self._send_out(account, kind, stanza, session)
        elif kind is Kind.SUBSCRIBE and self._broadcaster.incoming(stanza, peer) is None:
            await self._send_out(account, kind, stanza, None)
        else:
            await self._send_across(account, peer, kind, stanza)

    async def _send_out(
        self, account: Account, kind: Kind, stanza: Presence, session: Session | None
    ) -> None:
        """Only our side changes, then the stanza leaves; it goes nowhere where ``session`` is None (XEP-0191#block:
        nobody learns that they are blocked)."""
        contact = stanza.to
        assert contact is not None
        ours = OutboundStep(kind, contact)
        (update,) = await self._update([Change(account, contact, ours)])
        before, behind = Outbox(), Outbox()
        self._push(account, update, before)
        if ours.effect.send_unavailable:
            self._broadcaster.hide(account, contact, before)
        if ours.effect.send_presence:
            self._broadcaster.show(account, contact, behind)
        await self._carry_out(before)
        if session is not None and ours.effect.route:
            waiting = self._router.route(stanza, session)
            if waiting is not None:
                await waiting
        await self._carry_out(behind)

    async def _send_across(self, account: Account, peer: Account, kind: Kind, stanza: Presence) -> None:
        """Both sides are ours and change together, the answer included that the peer gave beforehand."""
        ours = OutboundStep(kind, peer.jid)
        theirs = InboundStep(lambda: kind if ours.effect.route else None, account.jid, self._request(stanza))
        answer = InboundStep(lambda: theirs.effect.reply, peer.jid)
        our_update, their_update, answer_update = await self._update(
            [
                Change(account, peer.jid, ours),
                Change(peer, account.jid, theirs),
                Change(account, peer.jid, answer),
            ]
        )
        outbox = Outbox()
        if ours.effect.send_unavailable:
            self._broadcaster.hide(account, peer.jid, outbox)
        self._arrive(peer, stanza, theirs, their_update, outbox)
        self._push(account, our_update, outbox)
        if answer.kind is not None:
            self._arrive(
                account, _presence(answer.kind, peer.jid, account.jid), answer, answer_update, outbox
            )
        if ours.effect.send_presence:
            self._broadcaster.show(account, peer.jid, outbox)
        self._show_or_hide(peer, account.jid, theirs.effect, outbox)
        await self._carry_out(outbox)

    # What comes from outside

    async def receive(self, account: Account, presence: Presence) -> None:
        """``account`` gets ``presence``, a subscription stanza of somebody who is none of our accounts."""
        kind, contact = Kind(presence.type), presence.sender.bare
        if contact == account.jid:
            return
        stanza = _between(presence, contact, account.jid)
        theirs = InboundStep(lambda: kind, contact, self._request(stanza))
        (update,) = await self._update([Change(account, contact, theirs)])
        outbox = Outbox()
        self._arrive(account, stanza, theirs, update, outbox)
        if theirs.effect.reply is not None:
            outbox.send(_presence(theirs.effect.reply, account.jid, contact))
        self._show_or_hide(account, contact, theirs.effect, outbox)
        await self._carry_out(outbox)

    # What follows from removing a contact

    async def remove(self, account: Account, contact: Jid, outbox: Outbox, *, unlisted: bool = False) -> None:
        """Remove ``contact`` from the roster of ``account`` and end what there is between them (RFC 6121#2.5.2).

        ``item-not-found`` where there is no such contact; ``unlisted``: requests of strangers are meant as well.
        """
        peer = await self._local(contact) if contact.resource is None else None
        ours = RemovalStep(unlisted=unlisted)
        changes = [Change(account, contact, ours)]
        theirs = [InboundStep(partial(ours.kind, position), account.jid) for position in (0, 1)]
        if peer is not None:
            changes += [Change(peer, account.jid, step) for step in theirs]
        our_update, *their_updates = await self._update(changes)
        if ours.seen_us:
            self._broadcaster.hide(account, contact, outbox)
        stanzas = [_presence(kind, account.jid, contact) for kind in ours.kinds]
        if peer is None:
            self._push(account, our_update, outbox)  # first: what is sent may wait, and pushes come in order
            for stanza in stanzas:
                outbox.send(stanza)
            return
        for stanza, step, update in zip(stanzas, theirs, their_updates, strict=False):
            self._arrive(peer, stanza, step, update, outbox)
            self._show_or_hide(peer, account.jid, step.effect, outbox)
        self._push(account, our_update, outbox)

    async def farewell(self, account: Account) -> None:
        """``account`` is about to be deleted: end what there is between it and its contacts, on both sides.

        Returns when that is durable and they have been told.
        """
        known = await self._rosters.get(account)
        contacts = [contact for contact, _ in farewell(known.items.values())]
        for start in range(0, len(contacts), _AT_ONCE):
            await asyncio.gather(
                *(self._take_leave(account, contact) for contact in contacts[start : start + _AT_ONCE])
            )

    async def _take_leave(self, account: Account, contact: Jid) -> None:
        outbox = Outbox()
        try:
            await self.remove(account, contact, outbox, unlisted=True)
        except StanzaError as err:  # one of both was faster
            log.info("%s had not to be told that %s is gone: %s", contact, account.jid, err)
        await self._carry_out(outbox)

    # What they share

    async def _local(self, jid: Jid) -> Account | None:
        """The account ``jid``, if it is one of ours."""
        if jid.local is None or not self._router.is_local(jid):
            return None
        return await self._accounts.get(jid)

    def _request(self, stanza: Presence) -> bytes:
        """``stanza`` as it is kept until it is answered (RFC 6121#3.1.3)."""
        wire = stanza.wire()
        if self._request_bytes and len(wire) > self._request_bytes:
            return stanza.with_children([]).wire()
        return wire

    async def _update(self, changes: Sequence[Change]) -> list[RosterUpdate]:
        try:
            return await self._rosters.update(changes)
        except RosterFull as err:
            raise StanzaError(
                "resource-constraint", "a roster is full, or too many requests wait there"
            ) from err
        except NoSuchAccount as err:
            raise StanzaError("service-unavailable", "the account was deleted") from err

    def _arrive(
        self, recipient: Account, stanza: Presence, step: InboundStep, update: RosterUpdate, outbox: Outbox
    ) -> None:
        """``recipient`` is told of ``stanza`` where it made a difference, and of what it did to the roster.

        What somebody whom it blocks takes back or grants holds all the same, or the two rosters would contradict each
        other; it just does not hear of it from them.
        """
        if step.effect.deliver and self._broadcaster.incoming(stanza, recipient) is not None:
            for resource in _listeners(recipient, step.kind):
                outbox.call(partial(resource.deliver, stanza))
        self._push(recipient, update, outbox)

    def _show_or_hide(self, account: Account, contact: Jid, effect: Inbound, outbox: Outbox) -> None:
        if effect.send_presence:
            self._broadcaster.show(account, contact, outbox)
        if effect.send_unavailable:
            self._broadcaster.hide(account, contact, outbox)

    def _push(self, account: Account, update: RosterUpdate, outbox: Outbox) -> None:
        if update.visible:
            outbox.push(account, roster.push(update), Trait.ROSTER)

    async def _carry_out(self, outbox: Outbox) -> None:
        await self._router.carry_out(outbox, self._ids.token)


def _listeners(account: Account, kind: Kind | None) -> Sequence[Resource]:
    """Who of ``account`` gets a subscription stanza of ``kind``.

    RFC 6121#3.1.3: a request is for all who are available. RFC 6121#3.1.6, #3.2.3, #3.3.3: an answer is for all who
    asked for the roster; those who are available without having done so would else never learn it.
    """
    if kind is Kind.SUBSCRIBE:
        return account.available()
    return [
        resource
        for resource in account.resources.values()
        if resource.traits & Trait.ROSTER or resource.presence is not None
    ]


def _between(presence: Presence, sender: Jid, to: Jid) -> Presence:
    """``presence`` from ``sender`` to ``to``."""
    return Presence(
        type=presence.type,
        sender=sender,
        to=to,
        id=presence.id,
        lang=presence.lang,
        children=presence.children,
    )


def _presence(kind: Kind, sender: Jid, to: Jid) -> Presence:
    return Presence(type=kind.value, sender=sender, to=to)


class _Allowance:
    """How many requests each account may still send within the hour that began with its first one."""

    def __init__(self, clock: Clock, per_hour: int) -> None:
        self._clock = clock
        self._per_hour = per_hour
        self._spent: dict[
            int, tuple[float, int]
        ] = {}  # by account id: when its hour ends, how many were sent

    def take(self, account: Account) -> None:
        """One more; ``resource-constraint`` if it is one too many."""
        if not self._per_hour:
            return
        now = self._clock.monotonic()
        ends, spent = self._spent.pop(account.id, (now + _HOUR, 0))
        if ends <= now:
            ends, spent = now + _HOUR, 0
        self._spent[account.id] = ends, min(spent + 1, self._per_hour)
        self._forget_old(now)
        if spent >= self._per_hour:
            raise StanzaError("resource-constraint", f"{self._per_hour} requests an hour are enough")

    def _forget_old(self, now: float) -> None:
        """Those who have asked for nothing for longest stand first."""
        while self._spent:
            first = next(iter(self._spent))
            if self._spent[first][0] > now:
                return
            del self._spent[first]
