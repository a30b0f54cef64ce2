"""A phone: it sends numbered letters, takes what comes, and comes back whatever happens to its connection.

On a new connection it tries to resume its stream. Where that fails it binds anew and sends again all letters that no
``<a h/>`` covered, with the same origin-id, if they have one. One that ``reads_history`` catches up there too, before
or after it shows itself; the other kind relies on what it is given.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from random import Random
from typing import Final, Protocol
from xml.sax.saxutils import escape

from tests.support.durability.catchup import CatchUp, results
from tests.support.durability.letters import Letter, Post, Seen, Sight, text_of
from tests.support.durability.outgoing import ASK, ENABLE, NS, Contradiction, Outgoing
from tests.support.process import DOMAIN, Address
from tests.support.wire import LoginFailed, Wire
from xmppd import ns
from xmppd.xml.element import Element

PLAIN: Final = 0.2  # of the letters have no origin-id
ASK_EVERY: Final = 5  # stanzas
MOST_ON_THE_WAY: Final = 30  # a phone that hears no <a/> sends no more
LOGIN_SECONDS: Final = 6.0
STANZAS: Final = ("message", "presence", "iq")
TYPING: Final = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"


class Surroundings(Protocol):
    """What a phone knows of the world."""

    post: Post
    tls: ssl.SSLContext
    talking: bool
    pause: float  # mean seconds between a phone's bursts
    address: Address


class Lost(Exception):
    """This connection is over; there will be another one."""


class Phone:
    """One user's. ``run`` until it is cancelled."""

    def __init__(
        self, name: str, peers: list[str], world: Surroundings, rng: Random, *, reads_history: bool
    ) -> None:
        self.name = name
        self.peers = peers
        self.seen = Seen()
        self.own: dict[str, set[str]] = {}  # what it sent, as its history shows it: stanza-ids by key
        self._world = world
        self._post = world.post
        self._rng = rng
        self._reads_history = reads_history
        self._sm = Outgoing()
        self._wire: Wire | None = None
        self.away = False  # out of reach, until somebody says otherwise
        self._why = ""  # it was cut off the last time
        self._stream = 0
        self._sent = dict.fromkeys(peers, 0)
        self._unasked = 0
        self._asked = False
        self._again: list[Letter] = []  # refused, and to be sent once more
        self._last = ""  # the newest row of its archive that it has, with all before it
        self._catchup: CatchUp | None = None
        self._hidden = False  # until it has caught up
        self._shown = True  # the server did not refuse to

    @property
    def quiet(self) -> bool:
        """Whether it is there and everything that it sent has an answer."""
        catchup = self._catchup
        caught_up = catchup is None or catchup.done
        return self._wire is not None and not len(self._sm) and not self._again and caught_up

    def state(self) -> str:
        there = "connected" if self._wire is not None else "away"
        return f"{self.name} is {there}, {len(self._sm)} without <a/>, {len(self._again)} to send again"

    # Connections

    async def run(self) -> None:
        while True:
            try:
                await self._connect()
            except (Lost, EOFError, OSError, TimeoutError, LoginFailed) as err:
                self._missed(f"lost its connection: {type(err).__name__} {err}")
            except Contradiction as err:
                self._post.problem(f"{self.name} was told {err}")
                self._sm.start()
            except AssertionError as err:
                self._post.problem(f"{self.name} at login: {err}")
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
            while self.away:  # noqa: ASYNC110 - as if it looked for a network
                await asyncio.sleep(0.1)

    def _missed(self, why: str) -> None:
        """Note it, but not again and again while nobody is there."""
        if why != self._why:
            self._post.happened(why, self.name)
        self._why = why

    async def _connect(self) -> None:
        async with asyncio.timeout(LOGIN_SECONDS):
            wire = await Wire.connect(self._world.address, tls=self._world.tls)
        self._post.ports[wire.writer.get_extra_info("sockname")[1]] = self.name
        talking: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await self._log_in(wire)
            self._wire = wire
            talking = asyncio.create_task(self._talk())
            await self._listen(wire)
        finally:
            self._wire = None
            wire.abort()
            if talking is not None:
                talking.cancel()
                await asyncio.gather(talking, return_exceptions=True)

    async def _log_in(self, wire: Wire) -> None:
        await wire.open()
        await wire.authenticate(self.name)
        features = await wire.open()
        self._post.figures.logins += 1
        self._why = ""
        if features.child("sm", NS) is None:
            raise AssertionError("no stream management is offered")
        self._asked = False
        self._unasked = 0
        # Now and then a phone forgets what it was doing, as after a crash of its own.
        if self._sm.id and self._rng.random() < 0.9 and await self._resume(wire):
            return
        await self._bind(wire)

    async def _resume(self, wire: Wire) -> bool:
        sm = self._sm
        await wire.send(f"<resume xmlns='{NS}' previd='{sm.id}' h='{sm.handled}'/>")
        got = await wire.receive()
        count = got.get("h")
        if count is not None:
            self._acknowledged(int(count))
        if got.name == "failed":
            self._post.figures.not_resumed += 1
            return False
        if got.name != "resumed" or got.get("previd") != sm.id or count is None:
            raise self._ended(got)
        self._post.figures.resumed += 1
        self._post.happened(f"resumed its stream {self._stream} at h={count}", self.name)
        for xml in sm.again():
            wire.write(xml)
        wire.write(ASK)
        self._asked = True
        return True

    async def _bind(self, wire: Wire) -> None:
        # One that reads its history may come back as another device.
        resource = (
            "phone" if not self._reads_history or self._rng.random() < 0.7 else f"r{self._rng.random()}"
        )
        await wire.send(
            f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind></iq>"
        )
        got = await wire.receive()
        if got.get("type") != "result":
            raise self._ended(got)
        await wire.send(ENABLE)
        got = await wire.receive()
        if got.name != "enabled" or got.get("resume") not in ("true", "1") or not got.get("id"):
            raise self._ended(got)
        lost = self._sm.start()
        self._sm.id = got.get("id") or ""
        self._sm.on = True
        self._stream += 1
        self._post.happened(f"has the stream {self._stream} as {resource}", self.name)
        self._begin(wire, lost)

    def _begin(self, wire: Wire, lost: list[tuple[str, Letter]]) -> None:
        """The first stanzas of a stream, in any order that makes sense."""
        self._wire = wire
        letters_first = self._rng.random() < 0.5
        if letters_first:
            self._send_again(lost)
        self._catchup = None
        if self._reads_history:
            self._hidden = self._rng.random() < 0.5
            if not self._hidden:
                self._show()
            page = self._rng.choice((3, 20, 50))
            self._catchup = CatchUp(self._last, page, self._send, self._caught_up)
        else:
            self._show()
        if not letters_first:
            self._send_again(lost)

    # Out

    def _send_again(self, lost: list[tuple[str, Letter]]) -> None:
        for _, letter in lost:
            if letter.plain:
                letter.given_up = True
            else:
                self._post_letter(letter)

    def _post_letter(self, letter: Letter) -> None:
        letter.tries.append(time.time())
        letter.error = None
        letter.acknowledged = False
        self._post.note(letter.key, f"{self.name} sends it (try {len(letter.tries)}, stream {self._stream})")
        origin = "" if letter.plain else f"<origin-id xmlns='{ns.STANZA_ID}' id='{letter.key}'/>"
        self._send(
            f"<message type='chat' to='{letter.to}@{DOMAIN}' id='{letter.key}'>"
            f"<body>{escape(text_of(letter.key))}</body>{origin}</message>",
            letter,
        )

    def _send(self, xml: str, letter: Letter | None = None) -> None:
        """A stanza; it is counted whether or not it gets through."""
        self._sm.put(xml, letter)
        if self._wire is not None:
            self._wire.write(xml)
            self._unasked += 1
            if self._unasked >= ASK_EVERY:
                self._ask()

    def _ask(self) -> None:
        if self._wire is not None:
            self._wire.write(ASK)
            self._asked = True
            self._unasked = 0

    async def _talk(self) -> None:
        rng = self._rng
        while True:
            await asyncio.sleep(min(rng.expovariate(1 / self._world.pause), 2.0))
            if not self._shown:
                self._show()
            for letter in [each for each in self._again if not self._sm.holds(each)]:
                self._again.remove(letter)
                self._post_letter(letter)
            if self._world.talking and len(self._sm) < MOST_ON_THE_WAY:
                for _ in range(rng.randint(1, 6)):
                    self.write_letter(rng.choice(self.peers))
            elif len(self._sm):
                self._ask()

    def write_letter(self, to: str) -> None:
        """A new one."""
        if self._rng.random() < 0.1:  # is not stored, and must not get ahead of what is
            self._send(f"<message type='chat' to='{to}@{DOMAIN}'>{TYPING}</message>")
        self._sent[to] += 1
        plain = self._rng.random() < PLAIN
        self._post_letter(self._post.write(self.name, to, self._sent[to], plain=plain))

    # In

    async def _listen(self, wire: Wire) -> None:
        patience = self._rng.uniform(2.0, 4.0)
        while True:
            try:
                got = await wire.receive(patience)
            except TimeoutError:
                if self._asked:
                    raise Lost(f"no answer for {patience:.1f} s") from None
                self._ask()
                continue
            self._take(wire, got)

    def _take(self, wire: Wire, got: Element) -> None:
        if got.ns == NS:
            if got.name == "r":
                wire.write(f"<a xmlns='{NS}' h='{self._sm.handled}'/>")
            elif got.name == "a":
                self._asked = False
                self._acknowledged(int(got.get("h") or -1))
            else:
                raise self._ended(got)
        elif got.name in STANZAS:
            self._sm.handled += 1
            if got.name == "message":
                self._message(got)
            elif got.name == "iq":
                self._iq(got)
            elif got.get("type") == "error":
                self._shown = False
        else:
            raise self._ended(got)

    def _ended(self, got: Element) -> Exception:
        """The server does not go on: what for?"""
        text = f"{got.name} {dict(got.attrs)} {[child.name for child in got.elements()]}"
        conditions = {child.name for child in got.elements()} | {
            child.name for error in got.elements() for child in error.elements()
        }
        # A later connection of the same phone was faster, or the storage is away.
        passing = {"conflict", "resource-constraint", "internal-server-error", "connection-timeout"}
        if not conditions & passing:
            self._post.problem(f"{self.name} was told {text}")
        return Lost(text)

    def _acknowledged(self, h: int) -> None:
        for letter in self._sm.acknowledge(h):
            letter.acknowledged = True
            self._post.note(letter.key, f"acknowledged to {self.name} by h={h}")

    def _iq(self, iq: Element) -> None:
        if iq.get("type") in ("get", "set"):
            self._send(f"<iq type='result' id='{iq.get('id')}' to='{iq.get('from') or DOMAIN}'/>")
            return
        catchup = self._catchup
        if catchup is not None and not catchup.done and catchup.take_end(iq):
            self._last = catchup.last
            self._post.figures.pages += 1

    def _show(self) -> None:
        self._shown = True
        self._send("<presence/>")

    def _caught_up(self) -> None:
        if self._hidden:
            self._show()

    def _message(self, message: Element) -> None:
        if message.get("type") == "error":
            self._refused(message)
            return
        for id, inner in results(message):
            self._sees(inner, id, "history")
            return
        if message.child("body") is None:
            return
        ids = [
            child.get("id") or ""
            for child in message.elements()
            if (child.name, child.ns, child.get("by")) == ("stanza-id", ns.STANZA_ID, f"{self.name}@{DOMAIN}")
        ]
        if len(ids) != 1:
            self._post.problem(f"{self.name} got {message.get('id')} with the stanza-ids {ids}")
            return
        how = "live" if message.child("delay", ns.DELAY) is None else "late"
        if self._sees(message, ids[0], how) and (self._catchup is None or self._catchup.done):
            self._last = ids[0]

    def _sees(self, message: Element, stanza_id: str, how: str) -> bool:
        """Whether it is the first sight of that message."""
        key = message.get("id") or ""
        body = message.child("body")
        letter = self._post.letters.get(key)
        sender = (message.get("from") or "").partition("@")[0]
        if letter is None or letter.sender != sender or body is None or body.text() != text_of(key):
            self._post.problem(f"{self.name} got {key} from {sender} that is not what was sent")
            return False
        self._post.note(key, f"{self.name} sees it {how} as {stanza_id} (stream {self._stream})")
        if letter.to == self.name:
            return self.seen.add(Sight(key, stanza_id, how, self._stream))
        if letter.sender == self.name and how == "history":
            self.own.setdefault(key, set()).add(stanza_id)
        else:
            self._post.problem(f"{self.name} got {key}, which is not for it")
        return False

    def _refused(self, message: Element) -> None:
        letter = self._post.letters.get(message.get("id") or "")
        error = message.child("error")
        conditions = [] if error is None else [child.name for child in error.elements()]
        if letter is None:
            return  # it was not stored, and is not missed
        letter.error = conditions[0] if conditions else "?"
        letter.refusals += 1
        self._post.figures.refused += 1
        self._post.note(letter.key, f"{self.name} is told: {conditions}")
        if (
            error is not None
            and error.get("type") == "wait"
            and not letter.plain
            and letter not in self._again
            and self._rng.random() < 0.7
        ):
            self._again.append(letter)
