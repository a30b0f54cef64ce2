"""XEP-0198: Stream Management. A client and the server tell each other what they have got, and a client that lost its
connection goes on where it was.

What is counted and kept is in ``xmppd.stream.management``, how a session outlives its connection in
``xmppd.sessions.resumption``. Here is what a client says on a stream that is bound, and what becomes of stanzas that
nobody will acknowledge any more and that are not in the archive, which is the queue for all that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from xmppd import ns
from xmppd.clock import Clock, stamp
from xmppd.config.values import Address, Kind, parse_address
from xmppd.errors import StanzaCondition, StanzaError, StreamError
from xmppd.extension import Extension, Setup
from xmppd.ids import Ids
from xmppd.routing.router import Router
from xmppd.sessions.account import Trait
from xmppd.sessions.facts import SessionGone
from xmppd.sessions.offers import StreamInfo
from xmppd.sessions.session import Session
from xmppd.stanza import Iq, Message, Stanza
from xmppd.stream.management import NS, Bounds, Management, ack, failed, read_count
from xmppd.tasks import Tasks
from xmppd.xml.element import Element
from xmppd.xml.writer import to_bytes

_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False, None: False}
_KEPT_TYPES: Final = frozenset({"normal", "chat"})


def _location(value: object, _: Path) -> Address:
    if not isinstance(value, str):
        raise ValueError("it is no text")
    return parse_address(value)


LOCATION: Final = Kind(_location, 'such as "xmpp1.example.org:5222" or "[2001:db8::1]:5222"')


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``[extensions.sm]``."""

    max_resume_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=86_400,
            description="How long a session waits for a client that lost its connection; 0: it ends with it.",
        ),
    ] = 600
    ask_every: Annotated[
        int,
        Meta(ge=1, le=1_000, description="After how many stanzas a client is asked what it has got."),
    ] = 10
    location: Annotated[
        Address | None,
        LOCATION,
        Meta(
            description="Where clients should come back to; without it, where they found the server before."
        ),
    ] = None


class StreamManagement:
    def __init__(self, options: Options, bounds: Bounds, clock: Clock, ids: Ids) -> None:
        self._options = options
        self._bounds = bounds
        self._clock = clock
        self._ids = ids

    def offer(self, stream: StreamInfo) -> Element | None:
        # XEP-0198#feature: once the client has authenticated
        return None if stream.user is None else Element("sm", NS)

    # What clients say, on a bound stream

    def on_enable(self, session: Session, element: Element) -> None:
        session.in_turn(partial(self._enable, session, element))

    def _enable(self, session: Session, element: Element) -> None:
        if session.ending:
            return
        if session.sm is not None:
            # XEP-0198#enable: at most one attempt; the example has the one, the text asks for the other
            _fail(session, "unexpected-request")
            session.link.fail(StreamError("policy-violation", "stream management is enabled already"))
            return
        wanted = _BOOLEANS.get(element.get("resume"))
        most = _seconds(element.get("max"), self._options.max_resume_seconds)
        if wanted is None or most is None:
            _fail(session, "bad-request")
            return
        sm = Management(self._bounds, session.handled, self._clock.now)
        attrs: dict[str, str] = {}
        if wanted and most:
            sm.id, sm.seconds = self._ids.token(), float(most)
            attrs = {"id": sm.id, "resume": "true", "max": str(most)}
            if self._options.location is not None:
                attrs["location"] = str(self._options.location)
        session.link.write(to_bytes(Element("enabled", NS, attrs)))
        session.sm = sm

    def on_resume(self, session: Session, element: Element) -> None:
        """XEP-0198#resumption: instead of binding a resource, not after it."""
        session.in_turn(partial(_fail, session, "unexpected-request"))

    def on_request(self, session: Session, element: Element) -> None:
        # DESIGN I1: what it acknowledges is durable
        session.once_handled(partial(self._answer, session))

    def _answer(self, session: Session, handled: int) -> None:
        sm = session.sm
        if sm is None:
            _fail(session, "unexpected-request")
        else:
            session.link.write(ack(handled - sm.base))

    def on_ack(self, session: Session, element: Element) -> None:
        sm = session.sm
        if sm is None:
            session.in_turn(partial(_fail, session, "unexpected-request"))
            return
        h = read_count(element.get("h"))
        if h is None:
            session.link.fail(StreamError("bad-format", "<a/> has an attribute h, which is a number"))
            return
        try:
            rows = sm.acknowledge(h)
        except StreamError as err:
            session.link.fail(err)
        else:
            session.settle(rows)


class Leftovers:
    """What a session that is over did not acknowledge, and no archive has (XEP-0198#acking): treated as if it came for
    a resource that is not there (RFC 6121#8.5.3.2).
    """

    def __init__(self, router: Router, clock: Clock, tasks: Tasks) -> None:
        self._router = router
        self._clock = clock
        self._tasks = tasks

    def on_gone(self, fact: SessionGone) -> None:
        session = fact.session
        left = [each for each in session.unacknowledged_stanzas() if self._matters(each[0], session)]
        if left:
            self._tasks.start(f"what {session.jid} did not acknowledge", self._send(left))

    def _matters(self, stanza: Stanza, session: Session) -> bool:
        account = session.account
        if isinstance(stanza, Iq):
            return stanza.sender.local is not None and stanza.sender != account.jid
        return (
            isinstance(stanza, Message)
            and stanza.type in _KEPT_TYPES
            # What was for all has reached the others already; so has what was copied to them.
            and stanza.to == session.jid
            and stanza.sender != account.jid
            and not account.with_trait(Trait.CARBONS)
            # Without one it is a chat state, or the like.
            and stanza.child("body") is not None
        )

    async def _send(self, stanzas: Iterable[tuple[Stanza, float]]) -> None:
        for stanza, at in stanzas:
            if isinstance(stanza, Iq):
                # RFC 6121#8.5.3.2.3
                await self._router.bounce(stanza, StanzaError("service-unavailable"))
                continue
            if not stanza.has_child_in(ns.DELAY):
                attrs = {
                    "from": stanza.to.domain if stanza.to else "",
                    "stamp": stamp(at or self._clock.now()),
                }
                stanza = stanza.with_child(Element("delay", ns.DELAY, attrs))
            await self._router.send(stanza)


def _fail(session: Session, condition: StanzaCondition) -> None:
    session.link.write(to_bytes(failed(condition)))


def _seconds(text: str | None, most: int) -> int | None:
    """For how long a client that asks for ``text`` may resume; None where that is no positive number."""
    if text is None:
        return most
    digits = text.lstrip("0")
    if not (digits.isascii() and digits.isdigit()):
        return None
    return most if len(digits) > 9 else min(most, int(digits))


def setup(s: Setup, options: Options) -> None:
    core, limits = s.core, s.core.config.limits
    bounds = Bounds(limits.sm_queue_stanzas, limits.sm_queue_bytes, options.ask_every)
    management = StreamManagement(options, bounds, core.clock, core.ids)
    core.resumption.offered = True
    s.stream_feature(management.offer)
    s.nonza("enable", NS, management.on_enable)
    s.nonza("resume", NS, management.on_resume)
    s.nonza("r", NS, management.on_request)
    s.nonza("a", NS, management.on_ack)
    s.on(SessionGone, Leftovers(core.router, core.clock, core.tasks).on_gone)


EXTENSION: Final = Extension(
    name="sm",
    xep="0198",
    version="1.6.3",
    summary="Nothing is lost when a connection is: clients resume where they were, and both sides acknowledge.",
    config=Options,
    setup=setup,
)
