"""XEP-0352: Client State Indication. A phone in a pocket is not woken up by what nobody looks at.

While a client is inactive, presence and chat states wait: of each sender only the newest. As soon as anything else is
sent, or the client is active again, what waits goes out before it, so that the order is the one in which it came. The
same is done for a client that has lost its connection (XEP-0198).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from xmppd import ns
from xmppd.config.values import bound
from xmppd.extension import Extension, Setup
from xmppd.sessions.link import Gate
from xmppd.sessions.offers import StreamInfo
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Presence, Stanza
from xmppd.xml.element import Element

NS: Final = "urn:xmpp:csi:0"

_CHAT: Final = frozenset({"chat", "normal", "groupchat"})
_TRIFLES: Final = frozenset({ns.HINTS, ns.STANZA_ID, ns.DELAY})
_MOST_BYTES: Final = 262_144  # that wait for one client
_SELF: Final = "110"  # XEP-0045#enter-pres: the occupant's own presence, which a client waits for


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.csi]``."""

    presence: Annotated[bool, Meta(description="Whether presence waits while a client is inactive.")] = True
    chat_states: Annotated[
        bool, Meta(description='Whether chat states ("is typing") wait while a client is inactive.')
    ] = True
    max_held: Annotated[int, bound(100_000, "Most stanzas that wait for one client; then all are sent.")] = (
        500
    )


class Held(Gate):
    """What waits for one inactive client, in the order in which it came; ``bytes`` of it."""

    __slots__ = ("_held", "_options", "_session", "bytes")

    def __init__(self, session: Session, options: Options) -> None:
        self._session = session
        self._options = options
        self._held: dict[Hashable, tuple[Stanza, int]] = {}  # and their sizes
        self.bytes = 0

    def hold(self, stanza: Stanza) -> bool:
        about = self._about(stanza)
        if about is None:
            self.flush()
            return False
        _, former = self._held.pop(about, (None, 0))  # what is newer takes its place behind the others
        size = len(stanza.wire())
        self._held[about] = stanza, size
        self.bytes += size - former
        if 0 < self._options.max_held < len(self._held) or self.bytes > _MOST_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Send everything that waits."""
        held, self._held = self._held, {}
        self.bytes = 0
        for stanza, _ in held.values():
            self._session.send_now(stanza)

    def _about(self, stanza: Stanza) -> Hashable | None:
        """What a stanza that may wait makes older ones worthless for; None: it may not wait."""
        if isinstance(stanza, Presence):
            return stanza.sender if self._options.presence and _is_status(stanza) else None
        if isinstance(stanza, Message) and self._options.chat_states and stanza.type in _CHAT:
            copied = self._copied(stanza)
            if copied is None:
                return (str(stanza.sender), None) if _is_chat_state(stanza.elements()) else None
            return (copied.get("from"), copied.get("to")) if _is_chat_state(copied.elements()) else None
        return None

    def _copied(self, message: Message) -> Element | None:
        """The message that a carbon is a copy of."""
        if message.sender != self._session.account.jid:
            return None
        for child in message.elements():
            if child.ns == ns.CARBONS:
                forwarded = child.child("forwarded", ns.FORWARD)
                return None if forwarded is None else forwarded.child("message", ns.CLIENT)
        return None


def _is_status(presence: Presence) -> bool:
    """Whether ``presence`` tells how somebody is, rather than asks for something or answers."""
    if presence.type not in ("", "unavailable"):
        return False
    room = presence.child("x", ns.MUC_USER)
    return room is None or all(status.get("code") != _SELF for status in room.each("status"))


def _is_chat_state(children: Iterable[Element]) -> bool:
    """Whether a message with ``children`` holds a chat state and nothing that is worth reading."""
    found = False
    for child in children:
        if child.ns == ns.CHAT_STATES:
            found = True
        elif child.ns not in _TRIFLES and child.name != "thread":
            return False
    return found


class ClientStates:
    def __init__(self, options: Options) -> None:
        self._options = options

    def offer(self, stream: StreamInfo) -> Element | None:
        # XEP-0352#discovery: once the client has authenticated
        return None if stream.user is None else Element("csi", NS)

    def gate(self, session: Session) -> Gate:
        return Held(session, self._options)

    def on_inactive(self, session: Session, element: Element) -> None:
        if session.gate is None:
            session.gate = self.gate(session)

    def on_active(self, session: Session, element: Element) -> None:
        """XEP-0352#in-order-processing: what waited is sent before anything that the client asks for next."""
        if isinstance(session.gate, Held):
            session.gate.flush()
            session.gate = None


def setup(s: Setup, options: Options) -> None:
    states = ClientStates(options)
    s.core.resumption.hold_back(states.gate)
    s.stream_feature(states.offer)
    s.nonza("inactive", NS, states.on_inactive)
    s.nonza("active", NS, states.on_active)


EXTENSION: Final = Extension(
    name="csi",
    xep="0352",
    version="1.0.0",
    summary="Phones save energy: presence and chat states wait while nobody looks at the client.",
    config=Options,
    setup=setup,
)
