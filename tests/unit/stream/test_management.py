"""XEP-0198 without a stream: what is counted, what an acknowledgement settles, what is kept, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmppd.errors import StreamError
from xmppd.stream import wire
from xmppd.stream.management import NS, REQUEST, Bounds, Management, QueueFull, ack, read_count

ROOMY = Bounds(stanzas=1_000, bytes=1_000_000, ask_every=10)


def management(bounds: Bounds = ROOMY) -> Management:
    return Management(bounds, 0, lambda: 1.0)


def replay(sm: Management) -> list[tuple[bytes | None, int]]:
    """Everything that is written to the new stream; then it is live."""
    written = []
    while (entry := sm.next()) is not None:
        written.append(entry[:2])
        sm.wrote()
    sm.wake()
    return written


def test_a_request_follows_every_so_many_stanzas() -> None:
    sm = management(Bounds(stanzas=100, bytes=0, ask_every=3))
    assert [sm.put(b"%d" % number) for number in range(7)] == [
        b"0", b"1", b"2" + REQUEST, b"3", b"4", b"5" + REQUEST, b"6",
    ]  # fmt: skip


def test_it_may_ask_once_for_what_is_not_acknowledged() -> None:
    sm = management()
    assert not sm.may_ask()
    sm.put(b"a")
    assert sm.may_ask()
    assert sm.request() == REQUEST
    assert not sm.may_ask()
    sm.put(b"b")
    assert not sm.may_ask()
    sm.acknowledge(1)
    assert sm.may_ask()
    sm.acknowledge(2)
    assert not sm.may_ask()


def test_an_acknowledgement_settles_rows_in_order() -> None:
    sm = management()
    for row in (7, 0, 9, 11):
        sm.put(b"x", row)
    assert sm.acknowledge(0) == []
    assert sm.acknowledge(3) == [7, 9]
    assert sm.acknowledge(3) == []
    assert sm.acknowledge(2) == []  # an older one
    assert sm.acknowledge(4) == [11]


def test_more_than_was_sent_ends_the_stream() -> None:
    sm = management()
    for _ in range(8):
        sm.put(b"x")
    with pytest.raises(StreamError) as raised:
        sm.acknowledge(10)
    # XEP-0198#errors
    assert wire.stream_error(raised.value).decode() == (
        "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>"
        "You acknowledged 10 stanzas, but I only sent you 8 so far.</text>"
        f"<handled-count-too-high xmlns='{NS}' h='10' send-count='8'/></stream:error></stream:stream>"
    )


@pytest.mark.parametrize("start", [2**32 - 2, 2**32, 3 * 2**32 - 1])
def test_counts_go_on_behind_the_largest(start: int) -> None:
    sm = management()
    sm.acknowledged = start
    for row in (1, 2, 3):
        sm.put(b"x", row)
    assert sm.acknowledge((start + 2) % 2**32) == [1, 2]
    assert sm.acknowledge((start + 3) % 2**32) == [3]
    with pytest.raises(StreamError):
        sm.acknowledge((start + 4) % 2**32)


def test_what_is_not_acknowledged_is_written_again() -> None:
    sm = management()
    for number in range(4):
        sm.put(b"%d" % number)
    sm.lose()
    assert sm.put(b"4") is None
    assert sm.resume(2) == []
    assert sm.sent == 2
    assert replay(sm) == [(b"2", 0), (b"3", 0), (b"4", 0)]
    assert sm.put(b"5") == b"5"
    assert sm.acknowledge(6) == []
    assert len(sm) == 0


def test_what_was_not_written_cannot_be_acknowledged() -> None:
    sm = management()
    sm.put(b"0")
    sm.lose()
    sm.put(b"1")
    with pytest.raises(StreamError):
        sm.resume(2)
    assert sm.resume(0) == []
    sm.wrote()
    with pytest.raises(StreamError):
        sm.acknowledge(2)
    assert sm.acknowledge(1) == []
    assert sm.next() == (b"1", 0, 1.0)


def test_a_client_that_knows_less_than_it_acknowledged_cannot_go_on() -> None:
    sm = management()
    sm.put(b"0")
    sm.put(b"1")
    sm.acknowledge(2)
    sm.lose()
    assert sm.resume(1) is None


def test_an_entry_that_is_not_found_again_is_left_out() -> None:
    sm = management()
    for row in (1, 2, 3):
        sm.put(b"%d" % row, row)
    sm.lose()
    assert sm.resume(0) == []
    sm.wrote()
    sm.skip()
    assert replay(sm) == [(b"3", 3)]
    assert sm.acknowledge(2) == [1, 3]


def test_content_that_the_archive_has_goes_first() -> None:
    sm = management(Bounds(stanzas=3, bytes=0, ask_every=100))
    for number in range(3):
        sm.put(b"%d" % number, row=number)  # 0: it has no row
    sm.put(b"3", 3)
    assert sm.unacknowledged() == [(b"0", 0, 0.0), (b"1", 1, 0.0), (b"2", 2, 0.0), (None, 3, 0.0)]
    sm.put(b"4")
    assert sm.unacknowledged() == [(b"0", 0, 0), (None, 1, 0), (None, 2, 0), (None, 3, 0), (b"4", 0, 0)]
    sm.lose()
    assert sm.resume(1) == []
    assert sm.upcoming(2) == [1, 2]
    assert replay(sm) == [(None, 1), (None, 2), (None, 3), (b"4", 0)]


def test_the_stream_goes_on_without_the_oldest_but_is_resumed_only_behind_it() -> None:
    sm = management(Bounds(stanzas=4, bytes=0, ask_every=100))
    for number in range(5):
        assert sm.put(b"%d" % number) is not None
    assert sm.unacknowledged() == [(b"3", 0, 0), (b"4", 0, 0)]
    sm.lose()
    assert sm.resume(2) is None
    assert sm.resume(3) == []
    assert replay(sm) == [(b"3", 0), (b"4", 0)]


def test_without_a_stream_nothing_is_given_up() -> None:
    sm = management(Bounds(stanzas=0, bytes=10, ask_every=100))
    sm.put(b"12345")
    sm.lose()
    sm.put(b"67890")
    with pytest.raises(QueueFull):
        sm.put(b"!")
    assert [data for data, _, _ in sm.unacknowledged()] == [b"12345", b"67890", b"!"]


@pytest.mark.parametrize("before", [0, 50, 90])
def test_without_a_stream_little_is_kept_of_what_the_archive_has(before: int) -> None:
    """Many sessions may wait for their clients at the same time."""
    sm = management(Bounds(stanzas=0, bytes=1_600, ask_every=1_000))
    sent: list[tuple[bytes, int]] = [(b"%02d" % number + b"." * 8, number % 9) for number in range(90)]
    for number, (data, row) in enumerate(sent):
        if number == before:
            sm.lose()
        sm.put(data, row)
    sm.lose()
    left = sm.unacknowledged()
    assert sum(len(data) for data, row, _ in left if data and row) <= 100
    assert [data for data, row, _ in left if not row] == [data for data, row in sent if not row]
    assert sm.resume(0) == []
    assert [row for _, row in replay(sm)] == [row for _, row in sent]


@pytest.mark.parametrize("live", [True, False])
def test_even_rows_are_too_many_some_day(live: bool) -> None:
    sm = management(Bounds(stanzas=5, bytes=0, ask_every=100))
    if not live:
        sm.lose()
    for row in range(1, 51):
        sm.put(b"x", row)
    with pytest.raises(QueueFull):
        sm.put(b"x", 51)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("4294967295", 2**32 - 1),
        ("007", 7),
        (" 7\n", 7),
        ("4294967296", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("1.0", None),
        ("٣", None),
        ("1" * 5_000, None),
        (None, None),
    ],
)
def test_a_count_is_an_unsigned_int(text: str | None, value: int | None) -> None:
    assert read_count(text) == value


def test_a_count_is_written_modulo() -> None:
    assert ack(2**32 + 5) == f"<a xmlns='{NS}' h='5'/>".encode()


# The whole of it against a model that forgets nothing


@dataclass
class Model:
    """What an honest client has, and what a server that needed no bounds would know."""

    sm: Management
    sent: list[tuple[bytes, int]] = field(default_factory=list)  # by the server, in all
    acknowledged: int = 0
    received: int = 0  # by the client
    on_stream: int = 0  # of ``sent``
    live: bool = True
    settled: list[int] = field(default_factory=list)

    def put(self, size: int, row: int) -> None:
        data = b"%d" % len(self.sent) + b"." * size
        self.sent.append((data, row))
        out = self.sm.put(data, row)
        assert (out is not None) == self.live
        if self.live:
            assert out in (data, data + REQUEST)
            self.on_stream = len(self.sent)

    def receive(self, count: int) -> None:
        self.received = min(self.on_stream, self.received + count)

    def acknowledge(self) -> None:
        if self.live:
            self.settle(self.sm.acknowledge(self.received % 2**32))

    def settle(self, rows: list[int]) -> None:
        self.settled += rows
        self.acknowledged = self.received

    def lose(self) -> None:
        self.sm.lose()
        self.live = False

    def resume(self) -> None:
        if self.live:
            return
        rows = self.sm.resume(self.received % 2**32)
        assert rows is not None
        self.settle(rows)
        again = self.sent[self.received :]
        for data, row in again:
            entry = self.sm.next()
            assert entry is not None
            assert entry[1] == row
            assert entry[0] == data or (entry[0] is None and row)
            self.sm.wrote()
        assert self.sm.next() is None
        self.sm.wake()
        self.live = True
        self.on_stream = len(self.sent)

    def check(self, bounds: Bounds) -> None:
        assert self.settled == [row for _, row in self.sent[: self.acknowledged] if row]
        left = self.sm.unacknowledged()
        assert [row for _, row, _ in left] == [row for _, row in self.sent[self.acknowledged :]]
        contents = [data for data, _, _ in left if data is not None]
        assert len(contents) == self.sm._full <= bounds.stanzas
        assert sum(map(len, contents)) == self.sm._bytes <= bounds.bytes
        assert self.sm._kept == sum(data is not None and row != 0 for data, row, _ in left)


steps = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("receive"), st.integers(1, 5)),
    st.sampled_from([("acknowledge",), ("lose",), ("resume",)]),
)


@given(st.lists(steps, max_size=80), st.integers(0, 3))
def test_nothing_is_lost_doubled_or_settled_too_early(
    steps: list[tuple[object, ...]], unarchived: int
) -> None:
    bounds = Bounds(stanzas=8, bytes=150, ask_every=3)
    model = Model(Management(bounds, 0, lambda: 1.0))
    row = 0
    for name, *arguments in steps:
        if name == "put":
            size, has_row = arguments
            assert isinstance(size, int)
            plain = sum(1 for _, row in model.sent[model.acknowledged :] if not row)
            row += 1
            # Within the bounds that nothing has to be given up for.
            model.put(size, row if has_row or plain >= unarchived else 0)
            if len(model.sm) == 80:
                break
        else:
            step: Callable[..., None] = getattr(model, str(name))
            step(*arguments)
        model.check(bounds)
