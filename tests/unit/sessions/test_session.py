"""A session's own rules: stanzas in order however long one takes, reading paused at the bound, an end that waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio

from xmppd.errors import StreamError
from xmppd.jid import Jid
from xmppd.sessions.account import Account
from xmppd.sessions.session import Session
from xmppd.stanza import Message, Stanza
from xmppd.tasks import Tasks
from xmppd.xml.element import Element


class Wire:
    """A connection that notes what happens to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading: list[str] = []
        self.error: StreamError | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        self.reading.append("pause")

    def resume_reading(self) -> None:
        self.reading.append("resume")

    async def drained(self) -> bool:
        return True

    def fail(self, error: StreamError) -> None:
        self.error = error

    def release(self, error: StreamError) -> None:
        self.error = error


class Handler:
    """Handles elements; those called ``slow`` wait until they are let go."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.waiting: list[asyncio.Future[None]] = []

    def __call__(self, session: Session, element: Element) -> Awaitable[None] | None:
        if element.name == "slow":
            return self._slow(element)
        self.handled.append(element.get("n") or element.name)
        return None

    async def _slow(self, element: Element) -> None:
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate
        self.handled.append(f"slow {element.get('n') or ''}".strip())

    async def let_go(self) -> None:
        self.waiting.pop(0).set_result(None)
        await passes()


async def passes() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def stanza(number: int, name: str = "message") -> Element:
    return Element(name, "jabber:client", {"n": str(number)})


@pytest_asyncio.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.aclose()
    assert tasks.failures == 0


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def session(handler: Handler, wire: Wire, tasks: Tasks) -> Session:
    jid = Jid.parse("juliet@capulet.lit/balcony")
    return Session(Account(1, jid.bare), jid, wire, handler, tasks)


async def test_what_needs_no_waiting_is_handled_at_once(
    session: Session, handler: Handler, tasks: Tasks
) -> None:
    for number in range(3):
        session.receive(stanza(number))
    assert handler.handled == ["0", "1", "2"]
    assert not session.busy
    assert tasks.running == (), "the hot path starts no task"


async def test_what_comes_behind_a_slow_one_keeps_its_place(session: Session, handler: Handler) -> None:
    session.receive(stanza(0, "slow"))
    session.receive(stanza(1))
    session.receive(stanza(2, "slow"))
    session.receive(stanza(3))
    await passes()
    assert handler.handled == []
    await handler.let_go()
    assert handler.handled == ["slow 0", "1"]
    session.receive(stanza(4))
    await handler.let_go()
    assert handler.handled == ["slow 0", "1", "slow 2", "3", "4"]
    assert not session.busy
    session.receive(stanza(5))
    assert handler.handled[-1] == "5"


async def test_reading_pauses_when_enough_waits_and_goes_on_when_all_is_handled(
    session: Session, handler: Handler, wire: Wire
) -> None:
    session.receive(stanza(0, "slow"))
    for number in range(1, 32):
        session.receive(stanza(number))
    assert wire.reading == []
    session.receive(stanza(32))
    session.receive(stanza(33))  # it was read already
    assert wire.reading == ["pause"]
    await passes()
    await handler.let_go()
    assert handler.handled == ["slow 0", *map(str, range(1, 34))]
    assert wire.reading == ["pause", "resume"]
    session.receive(stanza(34, "slow"))
    await passes()
    await handler.let_go()
    assert wire.reading == ["pause", "resume"]


async def test_what_comes_as_soon_as_reading_goes_on_is_handled_behind(
    session: Session, handler: Handler, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transport may give what it still holds before ``resume_reading`` returns."""

    def resume() -> None:
        session.receive(stanza(99, "slow"))
        session.receive(stanza(100))

    monkeypatch.setattr(wire, "resume_reading", resume)
    for number in range(34):
        session.receive(stanza(number, "message" if number else "slow"))
    await passes()
    await handler.let_go()
    assert handler.handled[-1] == "33"
    assert session.busy
    await handler.let_go()
    assert handler.handled[-2:] == ["slow 99", "100"]


async def test_the_end_waits_for_what_was_sent_before(session: Session, handler: Handler, wire: Wire) -> None:
    ended: list[str] = []
    session.receive(stanza(0, "slow"))
    session.receive(stanza(1))
    session.finish(lambda: ended.append("end"))
    await passes()
    assert ended == []
    await handler.let_go()
    assert handler.handled == ["slow 0", "1"]
    assert ended == ["end"]


async def test_the_end_comes_at_once_when_nothing_is_being_handled(session: Session, tasks: Tasks) -> None:
    ended: list[str] = []
    session.finish(lambda: ended.append("end"))
    assert ended == ["end"]

    async def last() -> None:
        await asyncio.sleep(0)
        ended.append("last")

    session.finish(last)
    await tasks.finish(1)
    assert ended == ["end", "last"]


async def test_the_end_comes_even_when_handling_is_cancelled(session: Session, tasks: Tasks) -> None:
    ended: list[str] = []
    session.receive(stanza(0, "slow"))
    session.finish(lambda: ended.append("end"))
    await passes()
    await tasks.aclose()
    assert ended == ["end"]


class Held:
    """A gate that holds messages without a body."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.held: list[Stanza] = []

    def hold(self, stanza: Stanza) -> bool:
        if stanza.children:
            self.flush()
            return False
        self.held.append(stanza)
        return True

    def flush(self) -> None:
        held, self.held = self.held, []
        for stanza in held:
            self._session.link.write(stanza.wire())


async def test_when_the_server_stops_nothing_more_is_begun(
    session: Session, handler: Handler, tasks: Tasks
) -> None:
    for number in range(4):
        session.receive(stanza(number, "slow"))
    await passes()
    assert len(handler.waiting) == 1
    await tasks.aclose()
    assert not tasks.running
    assert not session.busy


async def test_a_gate_may_hold_stanzas_but_nothing_overtakes_them(session: Session, wire: Wire) -> None:
    message = Message(type="chat", sender=session.jid, to=None)
    session.gate = Held(session)
    session.deliver(message)
    assert wire.written == []
    session.write(b"<kept/>")
    assert wire.written == [message.wire(), b"<kept/>"]
    session.gate = None
    session.deliver(message)
    assert len(wire.written) == 3


async def test_extensions_keep_what_they_like_under_their_own_class(session: Session) -> None:
    assert session.get(Wire) is None
    wire = Wire()
    session.put(wire)
    session.put("text")
    assert session.get(Wire) is wire
    assert session.get(str) == "text"
    account = session.account
    account.put(wire)
    assert account.get(Wire) is wire
    account.drop(Wire)
    account.drop(Wire)
    assert account.get(Wire) is None
    assert account._data is None, "an idle account holds no dict"
