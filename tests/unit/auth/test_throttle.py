from __future__ import annotations

import re

import pytest

from tests.unit.auth.parts import ManualClock
from xmppd.auth.throttle import Throttle, ThrottleConfig
from xmppd.errors import SaslError

HOME, BOT = "192.0.2.1", "203.0.113.7"
JULIET, ROMEO = "juliet@capulet.example", "romeo@capulet.example"
LIMITS = ThrottleConfig(
    failures_per_login=3, failures_per_address=8, failures_per_account=6, window_seconds=60
)


class Door:
    """A throttle, and what it says."""

    def __init__(self, limits: ThrottleConfig = LIMITS) -> None:
        self.clock = ManualClock()
        self.throttle = Throttle(limits, self.clock)

    def wait(self, address: str, account: str | None = JULIET) -> int:
        """Seconds to wait, 0 for none."""
        try:
            self.throttle.check(address, account)
            return 0
        except SaslError as err:
            found = re.fullmatch(r"temporary-auth-failure: too many .* in (\d+) seconds", str(err))
        assert found is not None
        return int(found[1])

    def guess(self, address: str, account: str = JULIET, times: int = 1) -> int:
        """Try wrong passwords; how many were heard."""
        heard = 0
        for _ in range(times):
            if not self.wait(address, account):
                self.throttle.failed(address, account)
                heard += 1
        return heard


def test_a_guesser_is_heard_as_often_as_the_limit_says_and_then_at_its_rate() -> None:
    door = Door()
    assert door.guess(BOT, times=100) == 3
    assert door.wait(BOT) == 20  # 60 s / 3
    door.clock.seconds += 19
    assert door.guess(BOT, times=100) == 0
    door.clock.seconds += 1
    assert door.guess(BOT, times=100) == 1
    door.clock.seconds += 3600
    assert door.guess(BOT, times=100) == 3


def test_attempts_that_are_refused_do_not_prolong_the_wait() -> None:
    door = Door()
    door.guess(BOT, times=3)
    for _ in range(20):
        assert door.wait(BOT)
        door.clock.seconds += 1
    assert door.wait(BOT) == 0


def test_one_address_that_tries_many_accounts_is_stopped() -> None:
    door = Door()
    assert sum(door.guess(BOT, f"user{number}@capulet.example") for number in range(100)) == 8
    assert door.wait(BOT, None)
    assert door.wait(BOT, ROMEO)
    assert not door.wait(HOME, ROMEO)


def test_names_that_can_be_no_account_count_for_the_address() -> None:
    door = Door()
    for _ in range(8):
        door.throttle.failed(BOT)
    assert door.wait(BOT, None)


def test_the_owner_is_not_locked_out_by_an_attack_from_one_address() -> None:
    door = Door()
    door.guess(BOT, times=100)
    assert door.wait(HOME) == 0


def test_an_attack_from_everywhere_gets_one_guess_per_address_and_leaves_the_owner_in() -> None:
    door = Door()
    heard = [door.guess(f"203.0.113.{number}", times=10) for number in range(50)]
    assert heard == [3, 3] + [1] * 48
    assert door.wait(HOME) == 0
    door.throttle.failed(HOME, JULIET)  # mistyped meanwhile
    assert door.wait(HOME) == 20
    door.clock.seconds += 20
    assert door.wait(HOME) == 0


def test_a_login_forgets_the_failures_of_the_account() -> None:
    door = Door()
    for number in range(10):
        door.guess(f"203.0.113.{number}", times=3)
    door.guess(HOME, times=2)
    door.throttle.succeeded(HOME, JULIET)
    assert door.guess(HOME, times=10) == 3
    assert door.guess(HOME, ROMEO, times=10) == 3


def test_a_login_to_ones_own_account_buys_no_further_guesses() -> None:
    door = Door()
    heard = 0
    for number in range(100):
        heard += door.guess(BOT, f"user{number}@capulet.example")
        if not door.wait(BOT, "mallory@capulet.example"):
            door.throttle.succeeded(BOT, "mallory@capulet.example")
    assert heard == 8
    door = Door()
    door.guess(BOT, times=3)
    door.throttle.succeeded(BOT, "mallory@capulet.example")
    assert door.wait(BOT)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:0db8:0:0:1::", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix", "unix", True),
        ("unix", "", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    door = Door()
    door.guess(one, times=3)
    assert bool(door.wait(other)) is same


def test_a_limit_of_0_is_no_limit() -> None:
    door = Door(ThrottleConfig(failures_per_login=0, failures_per_address=0, failures_per_account=0))
    assert door.guess(BOT, times=1000) == 1000
    door = Door(ThrottleConfig(window_seconds=0))
    assert door.guess(BOT, times=1000) == 1000


def test_the_account_is_guarded_without_the_other_limits() -> None:
    door = Door(
        ThrottleConfig(
            failures_per_login=0, failures_per_address=0, failures_per_account=6, window_seconds=60
        )
    )
    assert door.guess(BOT, times=100) == 6
    assert door.wait(HOME) == 0


def test_memory_is_bounded_and_what_is_over_is_forgotten() -> None:
    door = Door(
        ThrottleConfig(failures_per_login=2, failures_per_address=1000, remembered=100, window_seconds=60)
    )
    for number in range(1000):
        door.throttle.failed(f"10.0.{number // 250}.{number % 250}", f"user{number}@capulet.example")
    assert door.throttle.remembered == 300  # a hundred of each of the three kinds
    door.throttle.failed("10.0.3.160", "user910@capulet.example")
    assert door.throttle.remembered == 300
    for number in range(99):
        door.throttle.failed("unix", f"another{number}@capulet.example")
    # twice, of which the last time is among the newest
    assert door.wait("10.0.3.160", "user910@capulet.example")
    door.clock.seconds += 61
    door.throttle.failed(BOT, JULIET)
    assert door.throttle.remembered == 3
