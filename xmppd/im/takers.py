"""Who of an account takes messages on this node."""

from __future__ import annotations

from collections.abc import Sequence, Set

from xmppd.im.mailbox import Mailbox
from xmppd.sessions.account import Account
from xmppd.sessions.asleep import Asleep
from xmppd.sessions.session import Session
from xmppd.stanza import Message


def box_of(account: Account) -> Mailbox:
    """The mailbox of ``account``, which was loaded with it."""
    box = account.mailbox
    assert box is not None, f"{account} was not loaded"
    return box


def can_take(session: Session) -> bool:
    return session.presence is not None and session.priority >= 0 and not session.ending


def sleeps(session: Session) -> bool:
    """Whether ``session`` has no connection and waits for its client to come back (XEP-0198)."""
    return isinstance(session.link, Asleep)


def takers(account: Account) -> list[Session]:
    """The sessions of ``account`` on this node that can get messages."""
    return [each for each in account.reachable() if isinstance(each, Session)]


def taker(account: Account, gone: Set[Session] = frozenset()) -> Session | None:
    """One of these that is not among ``gone``; one that sleeps only where nobody else is there."""
    left = [each for each in takers(account) if each not in gone]
    return next((each for each in left if not sleeps(each)), left[0] if left else None)


def hand(message: Message, sessions: Sequence[Session]) -> int:
    """Deliver ``message`` to ``sessions``; how many of them will acknowledge it. 0: one of them has it already, since
    who does not acknowledge has it when it is written (DESIGN 6), or somebody on another node. -1: nobody has it.
    """
    settled = not sessions
    acknowledging = 0
    for session in sessions:
        session.deliver(message)
        if session.sm is not None:
            acknowledging += 1
        elif not session.ending:
            settled = True
    return 0 if settled else acknowledging or -1
