"""XEP-0500: who says something waits before saying the next thing, where the room's owner wants that."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from xmppd.clock import Clock
from xmppd.errors import StanzaError
from xmppd.extensions.xep_0045_muc.room import Room
from xmppd.jid import Jid
from xmppd.storage.rooms import Affiliation

_TIDY_AT: Final = 200  # people of whom it is remembered when they spoke


class SlowMode:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # When, in monotonic seconds, and with which origin somebody (bare) spoke last.
        self._spoke = WeakKeyDictionary[Room, dict[Jid, tuple[float, int]]]()

    def check(self, room: Room, user: Jid, origin: int) -> None:
        """``user`` (bare) says something; ``policy-violation`` where that is too early. The same as before, by its
        ``origin``, is a resend, of which its sender hears what he heard the first time (I2).
        """
        seconds = room.config.slow_seconds
        if not seconds or room.affiliation(user) >= Affiliation.ADMIN:
            return  # XEP-0500#server-side-rate-limiting
        now = self._clock.monotonic()
        spoke = self._spoke.setdefault(room, {})
        at, last = spoke.get(user, (-1e9, 0))
        if now < at + seconds and not (origin and origin == last):
            raise StanzaError(
                "policy-violation",
                f"this room is in slow mode: wait {seconds} seconds between two messages",
                type="wait",
            )
        spoke[user] = now, origin
        if len(spoke) > _TIDY_AT:
            self._spoke[room] = {one: last for one, last in spoke.items() if now < last[0] + seconds}

    def failed(self, room: Room, user: Jid) -> None:
        """What ``user`` said last was not taken."""
        self._spoke.get(room, {}).pop(user, None)


def told(room: Room) -> list[tuple[str, tuple[str]]]:
    """What ``room`` says of it in disco#info (XEP-0500#client-discovering)."""
    seconds = room.config.slow_seconds
    return [("muc#roominfo_slow_mode_duration", (str(seconds),))] if seconds else []
