"""What a handler wants to be told to others, sent only after its transaction has committed."""

from __future__ import annotations

from collections.abc import Callable

from xmppd.jid import Jid
from xmppd.sessions.account import Account, Trait
from xmppd.stanza import Iq, Stanza
from xmppd.xml.element import Element


class Outbox:
    """Collects effects in order; the core carries them out behind the handler's reply. Nothing is sent if it
    fails.
    """

    def __init__(self) -> None:
        self.effects: list[Send | Push | Call] = []

    def send(self, stanza: Stanza) -> None:
        """Route ``stanza`` by its ``to``."""
        self.effects.append(Send(stanza))

    def push(self, account: Account, payload: Element, trait: Trait) -> None:
        """An IQ set with ``payload`` to each resource of ``account`` that has ``trait``."""
        self.effects.append(Push(account, payload, trait))

    def call(self, effect: Callable[[], object]) -> None:
        """Call ``effect``, e.g. to change what is kept in memory."""
        self.effects.append(Call(effect))


class Send:
    __slots__ = ("stanza",)

    def __init__(self, stanza: Stanza) -> None:
        self.stanza = stanza


class Call:
    __slots__ = ("effect",)

    def __init__(self, effect: Callable[[], object]) -> None:
        self.effect = effect


class Push:
    """An IQ push to some resources of one account."""

    __slots__ = ("account", "payload", "trait")

    def __init__(self, account: Account, payload: Element, trait: Trait) -> None:
        self.account = account
        self.payload = payload
        self.trait = trait

    def deliver(self, new_id: Callable[[], str]) -> None:
        account = self.account
        for resource in account.with_trait(self.trait):
            # RFC 6121#2.1.6: a push comes from the account's bare JID and is addressed to the resource
            resource.deliver(
                Iq(type="set", sender=account.jid, to=resource.jid, id=new_id(), children=[self.payload])
            )


def account_address(stanza: Stanza) -> Jid:
    """Whom a stanza without ``to`` is for: the sender's own account (RFC 6120#10.3.1)."""
    return stanza.sender.bare if stanza.to is None else stanza.to
