"""Login: stream, SCRAM, bind, initial presence; one connection as a script, many with a bound on concurrency."""

from __future__ import annotations

import base64
import itertools
import re
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.accounts import DOMAIN, Account
from benchmarks.client import Address, Connection, Script
from benchmarks.errors import BenchmarkError
from benchmarks.loop import Loop
from benchmarks.scram import KeyCache, ScramClient

_HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    f"to='{DOMAIN}' version='1.0'>"
).encode()
_FEATURES = b"</stream:features>"
_ERROR = b"</stream:error>"
_BIND = (
    b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    b"<resource>bench</resource></bind></iq>"
)
_MECHANISM = re.compile(rb"<mechanism[^>]*>([^<]+)</mechanism>")
_CONTENT = re.compile(rb">([^<]*)</(?:challenge|success)>$")


def login(connection: Connection, account: Account, mechanism: str, keys: KeyCache) -> Script:
    """Log in and send initial presence. Raises BenchmarkError with the server's words where it refuses."""
    connection.write(_HEADER)
    features = _refuse(account, (yield (_FEATURES, _ERROR)), _ERROR)
    offered = [name.decode() for name in _MECHANISM.findall(features)]
    if mechanism not in offered:
        raise BenchmarkError(f"the server does not offer {mechanism}, only {', '.join(offered) or 'nothing'}")
    scram = ScramClient(mechanism, account.name, account.password, keys)
    connection.write(_sasl("auth", scram.first(), f" mechanism='{mechanism}'"))
    challenge = _refuse(account, (yield (b"</challenge>", b"</failure>", _ERROR)), b"</failure>", _ERROR)
    connection.write(_sasl("response", scram.final(_decode(challenge))))
    success = _refuse(account, (yield (b"</success>", b"</failure>", _ERROR)), b"</failure>", _ERROR)
    scram.verify(_decode(success))
    connection.write(_HEADER)
    _refuse(account, (yield (_FEATURES, _ERROR)), _ERROR)
    connection.write(_BIND)
    bound = yield (b"</iq>", _ERROR)
    if b"<jid>" not in bound:
        raise BenchmarkError(f"{account.jid}: binding was refused: {bound!r}")
    connection.write(b"<presence/>")


def settle(connection: Connection) -> Script:
    """Ask for the roster and for carbons, as chat clients do, and wait until all that was sent has been handled.

    Without the roster a session is not "interested" and misses answers to subscriptions (RFC 6121#2.2, 3.1.6).
    """
    connection.write(
        b"<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"
        b"<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
        b"<iq type='get' id='bench-settled'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    yield (b"bench-settled",)


def enable(connection: Connection) -> Script:
    """Turn stream management on (XEP-0198#enable)."""
    connection.write(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    answer = yield (b"<enabled", b"<failed")
    if answer.endswith(b"<failed"):
        raise BenchmarkError("the server refused stream management")


@dataclass(slots=True)
class Gate:
    """Where and how clients log in."""

    loop: Loop
    address: Address
    tls: ssl.SSLContext | None
    mechanism: str
    keys: KeyCache
    concurrency: int = 32
    timeout: float = 180.0
    """Seconds that a whole batch of logins may take."""
    durations: list[float] = field(default_factory=list)
    """Seconds from opening the socket to sending initial presence, one per login."""

    def login_all(
        self, accounts: Sequence[Account], opened: Callable[[int, Connection], None] | None = None
    ) -> list[Connection]:
        """Log in one session per account, `concurrency` at a time; the result is in the order of `accounts`. `opened`
        is called with the place there and the connection before anything is sent: its `on_data` gets what comes behind
        the login.
        """
        waiting = iter(range(len(accounts)))
        connections: dict[int, Connection] = {}
        finished = 0

        def start(numbers: Iterable[int]) -> None:
            for number in numbers:
                began = time.perf_counter()
                connection = connections[number] = Connection(self.loop, self.address, self.tls)
                if opened is not None:
                    opened(number, connection)

                def done(_: Connection, began: float = began) -> None:
                    nonlocal finished
                    finished += 1
                    self.durations.append(time.perf_counter() - began)
                    start(itertools.islice(waiting, 1))

                connection.play(login(connection, accounts[number], self.mechanism, self.keys), done)

        start(itertools.islice(waiting, self.concurrency))
        if not self.loop.run(self.timeout, lambda: finished == len(accounts)):
            raise BenchmarkError(f"{finished} of {len(accounts)} logins were done after {self.timeout:.0f} s")
        return [connections[number] for number in range(len(accounts))]

    def settle_all(self, connections: Sequence[Connection]) -> None:
        """Wait until the server has handled everything that all `connections` sent."""
        self.play_all(connections, settle)

    def play_all(self, connections: Sequence[Connection], script: Callable[[Connection], Script]) -> None:
        """Run `script` on all `connections` at once, to its end."""
        finished = 0

        def done(_: Connection) -> None:
            nonlocal finished
            finished += 1

        for connection in connections:
            connection.play(script(connection), done)
        if not self.loop.run(self.timeout, lambda: finished == len(connections)):
            raise BenchmarkError(f"only {finished} of {len(connections)} sessions answered")


def _sasl(name: str, payload: bytes, attributes: str = "") -> bytes:
    content = base64.b64encode(payload).decode()
    return f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'{attributes}>{content}</{name}>".encode()


def _decode(element: bytes) -> bytes:
    found = _CONTENT.search(element)
    if found is None:
        raise BenchmarkError(f"a SASL answer without content: {element!r}")
    return base64.b64decode(found[1])


def _refuse(account: Account, answer: bytes, *bad: bytes) -> bytes:
    """`answer`, unless it ends with one of the `bad` end tags."""
    if answer.endswith(bad):
        raise BenchmarkError(f"{account.jid}: login was refused: {answer.decode(errors='replace')}")
    return answer
