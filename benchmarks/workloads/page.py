"""What a page of history costs (XEP-0313), read over TLS from an archive that has grown for long."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Final

from benchmarks.accounts import make_accounts
from benchmarks.client import Connection, Script
from benchmarks.errors import BenchmarkError
from benchmarks.history import CONTACTS, History
from benchmarks.workloads.base import Bench, Measurement, Options

PAGE: Final = 50
_STEP: Final = 100  # on the way to the middle: the most that xmppd gives at once
_ACCOUNTS: Final = 100
_RESULT: Final = b"<result "
_LAST: Final = b"<last>"
_BEHIND: Final = b"<max>%d</max><after>%b</after>"
_FROM_END: Final = b"<max>%d</max><before/>" % PAGE
_QUERY: Final = (
    b"<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'>%b"
    b"<set xmlns='http://jabber.org/protocol/rsm'>%b</set></query></iq>"
)
_WITH: Final = (
    "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>"
    "<field var='with'><value>{peer}</value></field></x>"
)


class Reader:
    """Asks for one page after the other, each when the one before is complete."""

    def __init__(self, connection: Connection, bench: Bench) -> None:
        self.pages = 0
        self.latencies = array("d")
        self._connection = connection
        self._loop = bench.loop
        self._next: Callable[[], bytes] | None = None

    def drive(self, seconds: float, ask: Callable[[], bytes]) -> None:
        """For `seconds`, send what `ask` gives; each answer has to hold a page."""
        self._next = ask
        self._ask()
        self._loop.run(seconds)
        self._next = None
        pages = self.pages
        if not self._loop.run(30, lambda: self.pages > pages):
            raise BenchmarkError("no page came within 30 s")

    def read(self, paging: bytes) -> bytes:
        """The answer to one query."""
        answers: list[bytes] = []
        self._connection.play(_page(self._connection, _QUERY % (b"", paging), answers))
        if not self._loop.run(30, lambda: bool(answers)):
            raise BenchmarkError("no page came within 30 s")
        return answers[0]

    def _ask(self) -> None:
        assert self._next is not None
        sent, answers = time.perf_counter(), list[bytes]()

        def done(_: Connection) -> None:
            self.latencies.append(time.perf_counter() - sent)
            if (count := answers[0].count(_RESULT)) != PAGE:
                raise BenchmarkError(f"a page has {count} messages instead of {PAGE}: {answers[0][-500:]!r}")
            self.pages += 1
            if self._next is not None:
                self._ask()

        self._connection.play(_page(self._connection, self._next(), answers), done)


@dataclass(frozen=True, slots=True, kw_only=True)
class MamPage:
    """Pages of 50, one in flight: the first, those in the middle, the last, and the last with one of 20 contacts."""

    name: str
    postgres: bool = False
    budget: float | None = None
    database_budget: float | None = None
    unit: str = "µs/page"
    mechanism: str = "SCRAM-SHA-1"

    def accounts(self, options: Options) -> int:
        return _ACCOUNTS

    def history(self, options: Options) -> History:
        return History(options.history, _ACCOUNTS)

    def run(self, bench: Bench) -> Mapping[str, Measurement]:
        reader = Reader(bench.online(True, 1)[0], bench)
        owned = self.history(bench.options).owned
        if owned < PAGE * CONTACTS:
            raise BenchmarkError(f"--history has to be at least {2 * PAGE * CONTACTS}")
        middle = cycle(_anchors(reader, owned // 2))
        peer = make_accounts(2)[1].jid
        parts: dict[str, Callable[[], bytes]] = {
            "first": lambda: _QUERY % (b"", b"<max>%d</max>" % PAGE),
            "middle": lambda: _QUERY % (b"", _BEHIND % (PAGE, next(middle))),
            "last": lambda: _QUERY % (b"", _FROM_END),
            "with": lambda: _QUERY % (_WITH.format(peer=peer).encode(), _FROM_END),
        }
        options = bench.options
        share = replace(
            bench,
            options=replace(
                options, seconds=options.seconds / len(parts), warmup=options.warmup / len(parts)
            ),
        )
        measured = {
            name: share.measure(partial(reader.drive, ask=ask), lambda: reader.pages, reader.latencies)
            for name, ask in parts.items()
        }
        note = f"{owned:,} of {options.history:,} rows are the reader's; writing them took {bench.running.filled:.1f} s"
        return {**measured, "first": replace(measured["first"], note=note)}


def _anchors(reader: Reader, middle: int) -> list[bytes]:
    """The names of messages before the middle, behind each of which there is at least a page."""
    names: list[bytes] = []
    paging = b"<max>%d</max>" % _STEP
    for _ in range(max(1, middle // _STEP)):
        answer = reader.read(paging)
        _, found, rest = answer.rpartition(_LAST)
        if not found:
            raise BenchmarkError(f"the archive has not {middle} messages: {answer[-500:]!r}")
        names.append(rest.partition(b"<")[0])
        paging = _BEHIND % (_STEP, names[-1])
    return names[-20:]


def _page(connection: Connection, query: bytes, answers: list[bytes]) -> Script:
    connection.write(query)
    answer = yield (b"</iq>",)
    if b"<fin " not in answer:
        raise BenchmarkError(f"the server refused a page: {answer[-500:]!r}")
    answers.append(answer)
