"""Clients that are gone without a word are asked after some silence, and closed when they do not answer."""

from __future__ import annotations

import pytest

from tests.support.clock import ManualClock
from xmppd.sessions.keepalive import Keepalive, Watched


class Connection:
    """Notes when it was asked and given up."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.heard = True
        self.silent = 0
        self.asked: list[float] = []
        self.ended: list[float] = []
        self.checks = 0
        self.reminders = 0

    def check(self) -> None:
        self.checks += 1

    def ping(self) -> None:
        self.asked.append(self._clock.monotonic())

    def remind(self) -> None:
        self.reminders += 1

    def give_up(self) -> None:
        self.ended.append(self._clock.monotonic())


class Watch:
    """A keepalive over one connection."""

    def __init__(self, after: float, timeout: float) -> None:
        self.clock = ManualClock()
        self.connection = Connection(self.clock)
        self.connections: list[Watched] = [self.connection]
        self.keepalive = Keepalive(self.connections, self.clock, after=after, timeout=timeout)
        self.keepalive.start()

    def pass_by(self, seconds: float, *, hearing_every: float = 0.0) -> None:
        passed = 0.0
        while passed < seconds:
            step = hearing_every or seconds
            self.clock.advance(step)
            passed += step
            if hearing_every:
                self.connection.heard = True


@pytest.mark.parametrize(("after", "timeout"), [(60, 30), (5, 30), (5, 2), (10, 600), (600, 10), (0.5, 0.5)])
def test_it_is_asked_after_the_silence_and_closed_after_the_timeout(after: float, timeout: float) -> None:
    watch = Watch(after, timeout)
    tick = min(after, timeout) / 4
    watch.pass_by(3 * (after + timeout))
    (asked,) = watch.connection.asked
    (ended,) = watch.connection.ended
    assert after <= asked <= after + 2 * tick
    assert timeout - tick / 2 <= ended - asked <= timeout + tick / 2


def test_whoever_is_heard_is_not_asked() -> None:
    watch = Watch(60, 30)
    watch.pass_by(3_600, hearing_every=7)
    assert watch.connection.checks == 0
    assert watch.connection.asked == []
    assert watch.connection.ended == []


def test_whoever_answers_lives_and_is_asked_again_after_the_next_silence() -> None:
    watch = Watch(60, 30)
    for round in range(1, 5):
        while len(watch.connection.asked) < round:
            watch.pass_by(1)
        watch.connection.heard = True  # the answer
    assert watch.connection.ended == []
    pauses = [
        later - earlier
        for earlier, later in zip(watch.connection.asked, watch.connection.asked[1:], strict=False)
    ]
    assert all(60 <= pause <= 75 for pause in pauses)


def test_a_silent_connection_is_looked_at_long_before_it_is_asked() -> None:
    watch = Watch(60, 30)
    watch.pass_by(20)
    assert watch.connection.checks == 1
    assert watch.connection.asked == []


def test_an_answer_in_the_last_moment_counts() -> None:
    watch = Watch(60, 30)
    while not watch.connection.asked:
        watch.pass_by(1)
    watch.pass_by(22)
    watch.connection.heard = True
    watch.pass_by(60)
    assert watch.connection.ended == []


def test_without_a_timeout_they_are_asked_and_never_closed() -> None:
    watch = Watch(60, 0)
    watch.pass_by(3_600)
    assert len(watch.connection.asked) == 1
    assert watch.connection.ended == []


@pytest.mark.parametrize("timeout", [0, 30])
def test_zero_is_off(timeout: float) -> None:
    watch = Watch(0, timeout)
    watch.pass_by(3_600)
    assert watch.connection.asked == []
    assert watch.connection.ended == []


@pytest.mark.parametrize(("after", "every"), [(60, 7.5), (0, 7.5), (8, 2)])
def test_each_is_reminded_of_what_it_has_not_acknowledged_heard_or_not(after: float, every: float) -> None:
    watch = Watch(after, 30)
    watch.pass_by(10 * every, hearing_every=every)
    assert watch.connection.reminders == 10
    watch.pass_by(every)
    assert watch.connection.reminders == 11


def test_after_stop_nobody_is_asked_and_it_may_be_stopped_twice() -> None:
    watch = Watch(60, 30)
    watch.pass_by(30)
    watch.keepalive.stop()
    watch.keepalive.stop()
    watch.pass_by(3_600)
    assert watch.connection.asked == []


def test_connections_may_go_while_it_looks_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(60, 30)
    other = Connection(watch.clock)
    watch.connections.append(other)
    monkeypatch.setattr(watch.connection, "give_up", watch.connections.clear)
    watch.pass_by(200)
    assert len(other.ended) == 1, "it was still there when the look began"
    watch.pass_by(200)
    assert len(other.ended) == 1
