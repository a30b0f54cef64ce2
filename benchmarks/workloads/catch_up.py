"""What it costs when many come back at once, as after a network outage, and take what waits for them."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from benchmarks.accounts import Account
from benchmarks.client import Connection, Script
from benchmarks.errors import BenchmarkError
from benchmarks.markers import MarkerCounter
from benchmarks.workloads.base import Bench, Measurement, Options, Stopwatch, no_collector
from benchmarks.workloads.chat import BODY

WAITING: Final = 20  # messages for each account
_AT_ONCE: Final = 500  # messages that the sender has on the way
_TIMEOUT: Final = 60.0
_MESSAGE: Final = f"<message to='%b' type='chat' id='m%d'><body>{BODY}</body></message>".encode()
_PING: Final = b"<iq type='get' id='sent'><ping xmlns='urn:xmpp:ping'/></iq>"


class Arrivals:
    """Counts what each account gets."""

    def __init__(self, accounts: int, complete: Callable[[float], None]) -> None:
        """`complete` is told the seconds from the beginning of a login to the last message that waited."""
        self.counts = [0] * accounts
        self.complete = 0
        self._tell = complete

    def watch(self, number: int, connection: Connection) -> None:
        """Count what `connection`, just opened, gets for account `number`."""
        began = time.perf_counter()
        count = MarkerCounter(b"</message>").feed

        def on_data(chunk: bytes) -> None:
            if not (came := count(chunk)):
                return
            before = self.counts[number]
            self.counts[number] = before + came
            if before < WAITING <= before + came:
                self.complete += 1
                self._tell(time.perf_counter() - began)

        connection.on_data = on_data


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """Rounds in which 20 messages are sent to each account while it is away, and then all log in, 32 at a time, and get
    them. Charged are the logins and the deliveries; not the sending, nor the logging out.
    """

    name: str
    postgres: bool = False
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/account"
    mechanism: str = "SCRAM-SHA-1"

    def accounts(self, options: Options) -> int:
        return 1 + options.catchups

    def run(self, bench: Bench) -> Measurement:
        sender, accounts = bench.online(True, 1)[0], bench.accounts[1 : 1 + bench.options.catchups]
        gate = bench.gate(tls=True)
        # The generator's cache of salted passwords is filled here, and the server's of accounts.
        bench.log_out(gate.login_all(accounts))
        watch = Stopwatch(bench.running, bench.cores)
        latencies = array("d")
        costs: list[float] = []
        times: list[float] = []
        with no_collector():
            for _ in range(bench.options.rounds):
                gate.play_all([sender], lambda connection: _send(connection, accounts))
                arrivals = Arrivals(len(accounts), latencies.append)
                with watch.window():
                    connections = gate.login_all(accounts, arrivals.watch)
                    bench.loop.run(_TIMEOUT, lambda: arrivals.complete == len(accounts))  # noqa: B023
                costs.append(watch.last.server / len(accounts) * 1e6)
                times.append(watch.last.wall)
                bench.log_out(connections)
                if wrong := [count for count in arrivals.counts if count != WAITING]:
                    raise BenchmarkError(
                        f"{len(wrong)} of {len(accounts)} accounts did not get {WAITING} messages, but {wrong[:10]}"
                    )
        note = f"{len(accounts):,} accounts had all that waited after {statistics.median(times):.2f} s"
        return watch.measurement(costs, len(accounts) * len(costs), latencies, note)


def _send(connection: Connection, accounts: Sequence[Account]) -> Script:
    """To each account in turn, so that what waits for one lies between what waits for others, as in life."""
    messages = _messages(accounts)
    while part := b"".join(islice(messages, _AT_ONCE)):
        connection.write(part + _PING)
        answer = yield (b"id='sent'", b"</error>")
        if answer.endswith(b"</error>"):
            raise BenchmarkError(f"the server would not keep a message: {answer[-500:]!r}")


def _messages(accounts: Sequence[Account]) -> Iterator[bytes]:
    addresses = [account.jid.encode() for account in accounts]
    for number in range(WAITING):
        for address in addresses:
            yield _MESSAGE % (address, number)
