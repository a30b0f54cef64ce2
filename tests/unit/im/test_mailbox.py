"""What of an account's messages its clients have."""

from __future__ import annotations

import pytest

from xmppd.im.mailbox import Mailbox
from xmppd.storage.archive import Cursor, Waiting

MESSAGES = 5_000


def test_a_device_that_sleeps_makes_nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others have in the meantime was settled out of turn, and grows: it is not looked through each time."""
    looked_through = 0
    tidy = Mailbox._tidy

    def counted(mailbox: Mailbox) -> None:
        nonlocal looked_through
        looked_through += 1
        tidy(mailbox)

    monkeypatch.setattr(Mailbox, "_tidy", counted)
    mailbox = Mailbox(1, Waiting(Cursor(), 0, 0), lambda _: None)
    mailbox.open = True
    mailbox.give(1, 1)
    mailbox.advance(1)
    for row in range(2, MESSAGES):
        mailbox.give(row, 2)
        mailbox.advance(row)
        mailbox.settle(row)
    assert looked_through < 10
    assert mailbox.cursor() == Cursor(0, frozenset(range(2, 1_002)))  # so many at most
    mailbox.settle(1)
    assert mailbox.cursor() == Cursor(MESSAGES - 1)


def test_what_others_have_is_not_forgotten_when_a_device_that_slept_is_gone() -> None:
    mailbox = Mailbox(1, Waiting(Cursor(), 0, 0), lambda _: None)
    mailbox.open = True
    mailbox.give(1, 1)
    mailbox.advance(1)
    for row in range(2, MESSAGES):
        mailbox.take(row)
        mailbox.cursor()  # is saved now and then
    assert mailbox.lost([1]) == 1
    assert not mailbox.is_done(1)
    assert all(mailbox.is_done(row) for row in range(2, MESSAGES))
