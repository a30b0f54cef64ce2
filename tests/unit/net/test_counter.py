"""Connections are counted by address; who gets none is in the log, and the log stays short."""

from __future__ import annotations

import pytest

from tests.support.clock import ManualClock
from xmppd.logs import TextFormatter
from xmppd.net.counter import ConnectionCounter


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_who_is_taken_for_one(one: str, other: str, same: bool) -> None:
    """An IPv6 user has a /64 at least."""
    counter = ConnectionCounter("connections", ManualClock())
    assert counter.acquire(one, 1)
    assert counter.acquire(other, 1) is not same
    counter.release(one)
    assert counter.acquire(one, 1)


def test_what_is_held_in_all() -> None:
    counter = ConnectionCounter("connections", ManualClock())
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        counter.acquire(address, 2)
    assert not counter.acquire("192.0.2.1", 2)
    assert counter.held == 3
    counter.release("192.0.2.1")
    counter.release("192.0.2.2")
    assert counter.held == 1


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since the last time, without the times."""
    told = [TextFormatter().format(record).split(" ", 1)[1] for record in caplog.records]
    caplog.clear()
    return told


def test_a_refusal_is_logged_once_a_minute_for_each_address(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    counter = ConnectionCounter("limits.connections_per_address", clock)
    for address in ("192.0.2.1", "2001:db8::1"):
        assert counter.acquire(address, 1)
    assert lines(caplog) == []
    for address in ("192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.1"):
        assert not counter.acquire(address, 1)
    line = "warning xmppd.net a connection is refused, its address has too many address={} "
    line += "bound=limits.connections_per_address most=1 refused={}"
    assert lines(caplog) == [line.format("192.0.2.1", 1), line.format("2001:db8::", 2)]
    clock.advance(59)
    counter.acquire("192.0.2.1", 1)
    assert lines(caplog) == []
    clock.advance(1)
    counter.acquire("192.0.2.1", 1)
    assert lines(caplog) == [line.format("192.0.2.1", 6)]


def test_many_addresses_at_once_fill_neither_the_log_nor_the_memory(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmppd.net.counter._TOLD", 3)
    clock = ManualClock()
    counter = ConnectionCounter("connections", clock)
    for number in range(100):
        counter.acquire(f"192.0.2.{number}", 1)
        counter.acquire(f"192.0.2.{number}", 1)
    assert len(lines(caplog)) == 3
    clock.advance(60)
    for number in range(100):
        counter.acquire(f"192.0.2.{number}", 1)
    assert len(lines(caplog)) == 3
    assert counter.refused == 200
