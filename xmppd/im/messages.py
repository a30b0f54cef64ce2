"""Which resources get a message, and what becomes of one that none gets (RFC 6121#8.5, table 1).

===========================  =======  =======  =========  ========  ======
to                           normal   chat     groupchat  headline  error
===========================  =======  =======  =========  ========  ======
no such account              bounce   bounce   bounce     drop      drop
bare, nobody reachable       keep     keep     bounce     drop      drop
bare, somebody reachable     all      all      bounce     all       drop
full, resource connected     it       it       it         it        it
full, else: nobody reachable bounce   keep     bounce     drop      drop
full, else                   bounce   all      bounce     drop      drop
===========================  =======  =======  =========  ========  ======

*Reachable* resources are available with a priority that is not negative; *all* are all of these, not only the
most available: people expect a message on every device. *keep* is XEP-0160. The recipient's address is left
as the sender wrote it (RFC 6121#8.5.2.1.1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from xmppd.errors import StanzaError
from xmppd.im.offline import Offline, worth_keeping
from xmppd.routing.router import Waiting
from xmppd.sessions.account import Account, Resource
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Stanza

Received = Callable[[Message, Account, Sequence[Resource]], None]


class Messages:
    """The ``AccountHandler`` for messages."""

    def __init__(self, offline: Offline) -> None:
        self._offline = offline
        self._received: list[Received] = []
        offline.set_delivery(self._deliver, self._tell)

    def after_received(self, hook: Received) -> None:
        """Call ``hook`` with each message to a local account and the resources that got it, once it was
        delivered; with none once it was kept.
        """
        self._received.append(hook)

    def accept(self, stanza: Stanza, account: Account, session: Session | None) -> Waiting:
        assert isinstance(stanza, Message)
        assert stanza.to is not None
        resource_name = stanza.to.resource
        type = stanza.type
        if resource_name is not None:
            resource = account.resources.get(resource_name)
            if resource is not None:
                return self._deliver_in_order(stanza, account, (resource,))
            if type == "error" or type == "headline":
                return None
            if type != "chat":
                raise StanzaError("service-unavailable")  # RFC 6121#8.5.3.2.1
        if type == "groupchat":
            # RFC 6121#8.5.2.1.1: only a room sends these, to full JIDs
            raise StanzaError("service-unavailable")
        if type == "error":
            return None
        resources = account.reachable()
        if resources:
            return self._deliver_in_order(stanza, account, resources)
        if type == "headline":
            return None
        return self._keep(stanza, account)

    def accept_stranger(self, stanza: Stanza, session: Session | None) -> Waiting:
        if stanza.type in ("error", "headline"):
            return None
        raise StanzaError("service-unavailable")  # RFC 6121#8.5.1

    def accept_server(self, stanza: Stanza, session: Session | None) -> Waiting:
        if stanza.type in ("error", "headline"):
            return None
        raise StanzaError("service-unavailable", "nobody reads messages to the server itself")

    def _deliver_in_order(
        self, message: Message, account: Account, resources: Sequence[Resource]
    ) -> Awaitable[None] | None:
        """Deliver now, unless older messages for the account are still on their way out of the storage (I5)."""
        if self._offline.is_busy(account):
            if worth_keeping(message):
                return self._offline.keep(message, account)
            self._offline.let_pass(message, account)
            return None
        self._deliver(message, account, resources)
        return None

    def _deliver(self, message: Message, account: Account, resources: Sequence[Resource]) -> None:
        """Give ``message`` to ``resources``, and tell those who make copies."""
        for resource in resources:
            resource.deliver(message)
        for hook in self._received:
            hook(message, account, resources)

    def _tell(self, message: Message, account: Account, resources: Sequence[Resource]) -> None:
        """``resources`` have got ``message``, or nobody has and it is kept."""
        for hook in self._received:
            hook(message, account, resources)

    def _keep(self, message: Message, account: Account) -> Awaitable[None] | None:
        if worth_keeping(message):
            return self._offline.keep(message, account)
        # Nobody is told that it is lost (XEP-0334#no-store): any answer would show strangers whether somebody is there.
        return None
