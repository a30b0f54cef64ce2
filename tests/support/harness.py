"""A whole server in process: XML in, XML out, no sockets, time by hand, any number of nodes.

async with Harness("capulet.lit") as server:
    juliet = await server.client("juliet@capulet.lit/balcony")
    romeo = await server.client("romeo@capulet.lit/orchard")
    await juliet.send("<message to='romeo@capulet.lit/orchard'><body>Wherefore?</body></message>")
    romeo.expect("<message from='juliet@capulet.lit/balcony' to=...><body>Wherefore?</body></message>")
    romeo.expect_nothing()
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.clock import ManualClock
from tests.support.xml import matches, parse, show
from xmppd import ns
from xmppd.cluster.local import LocalBus, LocalRegistry
from xmppd.config import parse as parse_config
from xmppd.errors import StreamError
from xmppd.extension import Extension
from xmppd.extensions.table import EXTENSIONS
from xmppd.jid import Jid
from xmppd.node import Node, build
from xmppd.sessions.resumption import NotResumable
from xmppd.sessions.session import Session
from xmppd.storage.interfaces import Stores
from xmppd.storage.open import open_stores
from xmppd.stream.management import NS as SM
from xmppd.stream.management import failed
from xmppd.xml.element import Element
from xmppd.xml.parser import ParserLimits, StreamParser

STUCK_SECONDS = 10  # of real time: nothing in process takes that long


class CountedIds:
    """id1, id2, ...: predictable where the server's are not."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def token(self) -> str:
        return f"id{next(self._next)}"


class Harness:
    """Several nodes (one by default) over one in-memory storage; ``toml`` is added to the configuration, ``wrap`` may
    put something between the nodes and the storage.
    """

    def __init__(
        self,
        *domains: str,
        nodes: int = 1,
        toml: str = "",
        extensions: Iterable[Extension[Any]] = EXTENSIONS,
        wrap: Callable[[Stores], Stores] | None = None,
    ) -> None:
        self._extensions = tuple(extensions)
        options: Mapping[str, Any] = {extension.name: extension.config for extension in self._extensions}
        names = ", ".join(f'"{domain}"' for domain in domains or ("capulet.lit",))
        self.config = parse_config(f"domains = [{names}]\n{toml}", Path("/nonexistent"), options)
        self._count = nodes
        self._wrap = wrap
        self.clock = ManualClock()
        self.ids = CountedIds()
        self.nodes: list[Node] = []
        self.stores: Stores
        self.bus = LocalBus()
        self.registry = LocalRegistry(self.bus)

    async def __aenter__(self) -> Self:
        self.stores = await open_stores("sqlite::memory:", Path("/nonexistent"), clock=self.clock.now)
        if self._wrap is not None:
            self.stores = self._wrap(self.stores)
        await self._build()
        return self

    async def _build(self) -> None:
        for number in range(self._count):
            self.nodes.append(
                await build(
                    self.config,
                    self.stores,
                    self._extensions,
                    clock=self.clock,
                    ids=self.ids,
                    name=f"node{number}",
                    bus=self.bus,
                    registry=self.registry,
                )
            )

    async def restart(self, *, crash: bool = False) -> None:
        """All nodes end and are there again; no client is connected any more. ``crash``: what they did not write down
        yet is lost.
        """
        for node in self.nodes:
            if not crash:
                for session in node.core.directory.sessions:
                    session.link.fail(StreamError("system-shutdown"))
                await self.settle()
                await node.aclose()
            else:
                node.keepalive.stop()
                node.core.directory.close()
                await node.core.tasks.aclose()
                node.cursors.close()
                node.passwords.close()
        assert not any(self._failures())
        self.nodes.clear()
        self.bus = LocalBus()
        self.registry = LocalRegistry(self.bus)
        await self._build()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.settle()
        finally:
            await self._close()

    def _failures(self) -> list[int]:
        """How many bugs each node has met."""
        return [
            node.core.tasks.failures
            + node.core.inbound.failures
            + node.core.facts.failures
            + node.archiver.failures
            for node in self.nodes
        ]

    async def _close(self) -> None:
        failures = self._failures()
        for node in self.nodes:
            await node.aclose()
        await self.stores.close()
        assert not any(failures), "the server met a bug; see the log"

    @property
    def node(self) -> Node:
        """The first node."""
        return self.nodes[0]

    async def account(self, jid: str) -> int:
        """Make sure that the account ``jid`` (bare) exists; its id. It has no password: nobody logs in here."""
        bare = Jid.parse(jid).bare
        record = await self.stores.accounts.get(bare)
        if record is not None:
            return record.id
        (owner,) = await self.stores.accounts.create([(bare, {})], now=self.clock.now())
        return owner

    async def waiting(self, jid: str, *, node: int = 0) -> int:
        """How many messages are owed to ``jid`` (bare), as ``node`` counts."""
        for each in self.nodes:
            await each.cursors.flush()
        return await self.nodes[node].cursors.count(await self.account(jid))

    def unbound(self, jid: str, *, node: int = 0) -> Client:
        """A client that is logged in and has bound no resource yet, as one that is going to resume."""
        return Client(self, self.nodes[node], Jid.parse(jid))

    async def client(self, jid: str, *, node: int = 0, available: bool = False) -> Client:
        """A client bound as ``jid`` (full), whose account is made if need be; ``available``: it has sent
        initial presence.
        """
        await self.account(jid)
        client = Client(self, self.nodes[node], Jid.parse(jid))
        await client.bind()
        if available:
            await client.send("<presence/>")
            client.received.clear()
        return client

    async def settle(self) -> None:
        """Wait until nobody has anything left to do except wait for time to pass."""
        idle = 0
        while idle < 3:
            await asyncio.sleep(0)
            running = [task for node in self.nodes for task in node.core.tasks.running]
            if running:
                done, waiting = await asyncio.wait(running, timeout=STUCK_SECONDS)
                if not done:
                    names = ", ".join(task.get_name() for task in waiting)
                    raise AssertionError(f"for {STUCK_SECONDS} s nothing has happened to: {names}")
                idle = 0
            else:
                idle += 1

    async def pass_by(self) -> None:
        """Let everybody go on until they wait, be it for something that the test holds back."""
        for _ in range(6):
            await self.stores.accounts.get(
                Jid.parse("nobody@nowhere.lit")
            )  # behind all that was asked before
            for _ in range(20):
                await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        await self.settle()


class Client:
    """The far end of a bound stream. What the server sends collects in ``received`` until it is expected."""

    def __init__(self, harness: Harness, node: Node, jid: Jid) -> None:
        self._harness = harness
        self._node = node
        self.jid = jid
        self.received: list[Element] = []
        self.missed: list[Element] = []  # what was sent after the connection had been lost
        self.error: StreamError | None = None  # how the server ended the stream
        self.session: Session
        self.reading = "not asked to pause"  # what the server wants of the transport
        self._connected = True
        self._unread: asyncio.Future[bool] | None = None
        self._from_server = StreamParser(ParserLimits(), primed=True)
        self._to_server = StreamParser(ParserLimits(), primed=True)

    async def bind(self) -> None:
        core = self._node.core
        account = await core.accounts.get(self.jid.bare)
        assert account is not None
        assert self.jid.resource is not None
        jid = core.directory.choose(account, self.jid.resource)
        self.session = Session(account, jid, self, core.inbound, core.tasks, address="192.0.2.1")
        await core.directory.bind(self.session)

    # What a test does

    async def enable(self, attributes: str = "resume='true'") -> Element:
        """Enable stream management (XEP-0198); what the server says to that."""
        await self.send(f"<enable xmlns='{SM}' {attributes}/>")
        return self.received.pop()

    async def resume(self, session: Client, h: int) -> Element:
        """Go on with ``session``, of which ``h`` stanzas were handled (XEP-0198); what the server says to that."""
        answer = await self.resume_nowait(session.sm_id, h)
        await self._harness.settle()
        return answer

    async def resume_nowait(self, previd: str, h: int) -> Element:
        resumption = self._node.clients.resumption
        account = await self._node.core.accounts.get(self.jid.bare)
        assert account is not None
        try:
            resumed = await resumption.take(account, previd, h)
        except NotResumable as err:
            return failed("item-not-found", {} if err.handled is None else {"h": str(err.handled)})
        except StreamError as err:
            self.error = err
            return Element("error", ns.STREAMS)
        self.session, self._connected = resumed.session, True
        resumption.go_on(self.session, self)
        return Element("resumed", SM, {"h": str(resumed.handled), "previd": previd})

    @property
    def sm_id(self) -> str:
        """By which its session may be resumed."""
        assert self.session.sm is not None
        return self.session.sm.id

    async def send(self, xml: str) -> None:
        """Send stanzas or nonzas, and wait until the server has dealt with them."""
        self.send_nowait(xml)
        await self._harness.settle()

    def send_nowait(self, xml: str) -> None:
        for event in self._to_server.feed(xml.encode()):
            assert isinstance(event, Element), f"the test's XML is wrong: {event!r} in {xml}"
            if not self._node.core.nonzas.handle(self.session, event):
                self.session.receive(event)

    def expect(self, *xml: str) -> None:
        """The next stanzas that came are these, in this order; ``*`` stands for any value."""
        for text in xml:
            for wanted in parse(text):
                if not self.received:
                    raise AssertionError(f"{self.jid} got nothing, but should have got {show(wanted)}")
                got = self.received.pop(0)
                if not matches(wanted, got):
                    raise AssertionError(f"{self.jid} got\n  {show(got)}\ninstead of\n  {show(wanted)}")

    def expect_all(self, *xml: str) -> None:
        """The next stanzas that came are these, in any order."""
        wanted = [element for text in xml for element in parse(text)]
        got = [self.received.pop(0) for _ in wanted if self.received]
        for element in got:
            match = next((each for each in wanted if matches(each, element)), None)
            if match is None:
                raise AssertionError(
                    f"{self.jid} got\n  {show(element)}\ninstead of one of\n  {_lines(wanted)}"
                )
            wanted.remove(match)
        if wanted:
            raise AssertionError(f"{self.jid} did not get\n  {_lines(wanted)}")

    def expect_nothing(self) -> None:
        """Nothing else came."""
        if self.received:
            raise AssertionError(f"{self.jid} got\n  {_lines(self.received)}\nbut nothing was due")

    async def close(self) -> None:
        """The connection is lost or closed; the session ends."""
        self.cut()
        await self._harness.settle()

    def cut(self) -> None:
        """The connection is lost in this moment, if it was not before."""
        if self._connected:
            self._lose()
            self._node.clients.resumption.lost(self.session)

    def _lose(self) -> None:
        self._connected = False
        self.read_on()

    def stop_reading(self) -> None:
        """What the server sends from now on stays in the socket, which takes it all but is not drained."""
        if self._unread is None:
            self._unread = asyncio.get_running_loop().create_future()

    def read_on(self) -> None:
        """Read again; what was lost by then is lost."""
        unread, self._unread = self._unread, None
        if unread is not None and not unread.done():
            unread.set_result(self._connected)

    # The session's link

    def write(self, data: bytes) -> None:
        received = self.received if self._connected else self.missed
        for event in self._from_server.feed(data):
            assert isinstance(event, Element), f"the server sent {event!r} in {data!r}"
            received.append(event)

    def pause_reading(self) -> None:
        self.reading = "paused"

    def resume_reading(self) -> None:
        self.reading = "going on"

    async def drained(self) -> bool:
        return await asyncio.shield(self._unread) if self._unread is not None else self._connected

    def fail(self, error: StreamError) -> None:
        self.error = error
        self._lose()
        self._node.clients.resumption.end(self.session)

    def release(self, error: StreamError) -> None:
        self.error = error
        self._lose()


def _lines(elements: Iterable[Element]) -> str:
    return "\n  ".join(show(element) for element in elements)
