"""Presence fan-out: one account changes its status, all its contacts are told."""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.accounts import Account
from benchmarks.client import Connection
from benchmarks.errors import BenchmarkError
from benchmarks.loop import Loop
from benchmarks.markers import MarkerCounter
from benchmarks.workloads.base import Bench, Measurement, Options

_SHOWS = (b"away", b"chat", b"dnd", b"xa")
_SUBSCRIBE = re.compile(rb"""type=['"]subscribe['"]""")
_SUBSCRIBED = re.compile(rb"""type=['"]subscribed['"]""")
_ITEM = re.compile(rb"<item [^>]*>")
_JID = re.compile(rb"""jid=['"]([^'"]*)""")
_BOTH = re.compile(rb"""subscription=['"]both['"]""")
_ROSTER_END = re.compile(rb"roster-end")
_SETUP_SECONDS = 30.0


class Fanout:
    """Closed loop: the next change is sent when every contact has seen the one before."""

    def __init__(
        self, publisher: Connection, contacts: Sequence[Connection], latencies: array[float]
    ) -> None:
        self.received = 0
        self.running = True
        self._publisher = publisher
        self._contacts = len(contacts)
        self._latencies = latencies
        self._changes = 0
        self._sent = 0.0
        for contact in contacts:
            contact.on_data = self._contact(contact)

    def change(self) -> None:
        """Send the next status."""
        show = _SHOWS[self._changes % len(_SHOWS)]
        self._changes += 1
        self._sent = time.perf_counter()
        self._publisher.write(
            b"<presence><show>%b</show><status>change %d</status></presence>" % (show, self._changes)
        )

    def _contact(self, contact: Connection) -> Callable[[bytes], None]:
        count = MarkerCounter(b"</presence>").feed
        clock, add = time.perf_counter, self._latencies.append

        def on_data(chunk: bytes) -> None:
            arrived = count(chunk)
            if not arrived:
                return
            add(clock() - self._sent)
            self.received += arrived
            if self.received >= self._changes * self._contacts and self.running:
                self.change()

        return on_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """CPU per delivery to one of `contacts` contacts, all online, subscribed both ways, over TLS."""

    name: str = "presence"
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/delivery"
    mechanism: str = "SCRAM-SHA-1"
    postgres: bool = False

    def accounts(self, options: Options) -> int:
        return options.contacts + 1

    def run(self, bench: Bench) -> Measurement:
        latencies = array("d")
        count = self.accounts(bench.options)
        publisher, *contacts = bench.online(True, count)
        befriend(bench.loop, publisher, contacts, bench.accounts[:count])
        fanout = Fanout(publisher, contacts, latencies)
        fanout.change()
        measurement = bench.measure(bench.loop.run, lambda: fanout.received, latencies)
        fanout.running = False
        bench.loop.run(0.5)
        return measurement


def befriend(
    loop: Loop, publisher: Connection, contacts: Sequence[Connection], accounts: Sequence[Account]
) -> None:
    """Subscribe the publisher (the first of `accounts`) and each contact to one another, as people do it."""
    host, *others = accounts
    heard = [Transcript(connection) for connection in (publisher, *contacts)]
    if _friends(loop, publisher, heard[0]) == len(contacts):
        return
    publisher.write(_presences("subscribe", others))
    _wait(loop, "subscribe at the contacts", lambda: all(one.count(_SUBSCRIBE) for one in heard[1:]))
    for contact in contacts:
        contact.write(_presences("subscribed", [host]) + _presences("subscribe", [host]))
    _wait(loop, "subscribe at the publisher", lambda: heard[0].count(_SUBSCRIBE) == len(contacts))
    publisher.write(_presences("subscribed", others))
    _wait(loop, "subscribed at the contacts", lambda: all(one.count(_SUBSCRIBED) for one in heard[1:]))
    friends = _friends(loop, publisher, heard[0])
    if friends != len(contacts):
        raise BenchmarkError(f"the publisher's roster shows {friends} mutual contacts, not {len(contacts)}")
    loop.run(0.5)  # presence that follows from the new subscriptions


class Transcript:
    """Everything that a connection received; for the setup only."""

    def __init__(self, connection: Connection) -> None:
        self._heard = bytearray()
        connection.on_data = self._heard.extend

    def clear(self) -> None:
        self._heard.clear()

    def count(self, pattern: re.Pattern[bytes]) -> int:
        return len(self.find(pattern))

    def find(self, pattern: re.Pattern[bytes]) -> list[bytes]:
        return pattern.findall(self._heard)


def _friends(loop: Loop, publisher: Connection, heard: Transcript) -> int:
    """The number of contacts with subscription "both" in the publisher's roster."""
    heard.clear()
    publisher.write(
        b"<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"
        b"<iq type='get' id='roster-end'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    _wait(loop, "roster at the publisher", lambda: heard.count(_ROSTER_END) > 0)
    # Roster pushes may be among them: a contact counts once.
    friends = {jid for item in heard.find(_ITEM) if _BOTH.search(item) for jid in _JID.findall(item)}
    heard.clear()
    return len(friends)


def _presences(kind: str, accounts: Sequence[Account]) -> bytes:
    return "".join(f"<presence to='{account.jid}' type='{kind}'/>" for account in accounts).encode()


def _wait(loop: Loop, what: str, done: Callable[[], bool]) -> None:
    if not loop.run(_SETUP_SECONDS, done):
        raise BenchmarkError(f"no {what} within {_SETUP_SECONDS:.0f} s")
