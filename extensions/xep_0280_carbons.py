"""XEP-0280: Message Carbons. Every device of a user sees both sides of every conversation.

All of XEP-0280#recommended-rules is kept, which the feature ``urn:xmpp:carbons:rules:0`` says. A message that a
resource of the account sent to the account itself is copied once, as received.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

from xmppd import ns
from xmppd.errors import StanzaError
from xmppd.extension import Extension, NoOptions, Setup
from xmppd.jid import Jid
from xmppd.routing.iq import At, Name, Request
from xmppd.routing.outbox import Outbox
from xmppd.sessions.account import Account, Resource, Trait
from xmppd.sessions.directory import Directory
from xmppd.sessions.session import Session
from xmppd.stanza import Message
from xmppd.xml.element import Element

RULES: Final = "urn:xmpp:carbons:rules:0"
DIRECT_INVITATION: Final = "jabber:x:conference"  # XEP-0249
PAYLOADS: Final = frozenset({"urn:xmpp:receipts", ns.CHAT_STATES, "urn:xmpp:chat-markers:0"})

# What stands around a message that is copied: its bytes are spliced, not written again.
_WRAPPING: Final = f"<%b xmlns='{ns.CARBONS}'><forwarded xmlns='{ns.FORWARD}'>%b</forwarded></%b>".encode()
_REMEMBERED: Final = 32  # copied messages per account; an error comes soon or not at all


@dataclass(frozen=True, slots=True)
class Enable:
    TAG: ClassVar[Name] = Name(ns.CARBONS, "enable")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class Disable:
    TAG: ClassVar[Name] = Name(ns.CARBONS, "disable")

    @classmethod
    def parse(cls, element: Element) -> Self:
        return cls()


class Copied:
    """The messages of an account that were copied last: an error in response to one of them is copied too."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[tuple[Jid, str], None] = {}

    def add(self, peer: Jid, id: str) -> None:
        """``peer`` sent or got the message ``id``."""
        self._keys.pop((peer.bare, id), None)
        self._keys[peer.bare, id] = None
        if len(self._keys) > _REMEMBERED:
            del self._keys[next(iter(self._keys))]

    def has(self, peer: Jid, id: str) -> bool:
        return (peer.bare, id) in self._keys


class Carbons:
    """Makes the copies. Where no other resource is connected, a message costs one comparison."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def on_enable(self, request: Request[Enable], outbox: Outbox) -> None:
        self._directory.add_trait(_own_session(request), Trait.CARBONS)

    async def on_disable(self, request: Request[Disable], outbox: Outbox) -> None:
        self._directory.drop_trait(_own_session(request), Trait.CARBONS)

    def after_sent(self, message: Message, session: Session) -> None:
        account = session.account
        if len(account.resources) < 2:
            return
        others = [other for other in account.with_trait(Trait.CARBONS) if other is not session]
        # to the account itself: the copies are those of what it received
        if others and message.to is not None and message.to.bare != account.jid:
            _copy("sent", message, message.to, account, others)

    def after_received(self, message: Message, account: Account, got: Sequence[Resource]) -> None:
        if len(account.resources) <= len(got):
            return
        others = [
            other
            for other in account.with_trait(Trait.CARBONS)
            if other not in got
            and other.jid != message.sender
            # A message that is kept comes to a resource later, when that sends presence; but not soon, where
            # it did and wants no messages.
            and (got or other.presence is not None)
        ]
        if others:
            _copy("received", message, message.sender, account, others)


def _own_session(request: Request[Enable] | Request[Disable]) -> Session:
    session = request.session
    if session is None or request.at is not At.OWN:
        # XEP-0280#enabling-errors, XEP-0280#disabling-errors
        raise StanzaError("not-allowed", "carbons are a matter of each client for itself")
    return session


def _copy(
    direction: Literal["sent", "received"],
    message: Message,
    peer: Jid,
    account: Account,
    resources: Iterable[Resource],
) -> None:
    """Give a copy of ``message``, which ``peer`` sent or got, to ``resources``, if it is eligible."""
    copied = account.get(Copied)
    if message.type == "error":
        if copied is None or message.id is None or not copied.has(peer, message.id):
            return
    elif not is_eligible(message, received=direction == "received"):
        return
    elif message.id is not None:
        if copied is None:
            copied = Copied()
            account.put(copied)
        copied.add(peer, message.id)
    # XEP-0280#inbound, XEP-0280#outbound: from the bare address, or clients take it for forged
    forwarded = Element("forwarded", ns.FORWARD, children=[message.element()])
    copy = Message(
        type=message.type,
        sender=account.jid,
        to=None,
        children=[Element(direction, ns.CARBONS, children=[forwarded])],
        source=_WRAPPING % (direction.encode(), message.forwarded(), direction.encode()),
    )
    copy.wire()  # renders what all copies share
    for resource in resources:
        resource.deliver(copy.with_to(resource.jid))


def is_eligible(message: Message, *, received: bool) -> bool:
    """Whether ``message``, which is no error, is copied to other clients (XEP-0280#recommended-rules)."""
    if message.type == "groupchat":
        return False  # a room sends it to each client that is in it
    body = payload = invitation = room = False
    for child in message.elements():
        space, name = child.ns, child.name
        if (space == ns.CARBONS and name == "private") or (space == ns.HINTS and name == "no-copy"):
            return False  # XEP-0280#avoiding, XEP-0334#no-copy
        body = body or (space == ns.CLIENT and name == "body")
        payload = payload or space in PAYLOADS
        room = room or space == ns.MUC_USER
        invitation = (
            invitation
            or space == DIRECT_INVITATION
            or (space == ns.MUC_USER and child.child("invite") is not None)
        )
    if invitation:
        return True
    if room and received and message.to is not None and message.to.resource is not None:
        return False  # a private message from a room, which sends it to each client that is in it
    return message.type == "chat" or payload or (message.type == "normal" and body)


def setup(s: Setup, config: NoOptions) -> None:
    carbons = Carbons(s.core.directory)
    s.feature(ns.CARBONS, RULES)
    s.iq("set", Enable, carbons.on_enable, tuple(At))
    s.iq("set", Disable, carbons.on_disable, tuple(At))
    s.after_sent(carbons.after_sent)
    s.after_received(carbons.after_received)


EXTENSION: Final = Extension(
    name="carbons",
    xep="0280",
    version="1.0.1",
    summary="Every device of a user sees both sides of every conversation.",
    config=NoOptions,
    setup=setup,
)
