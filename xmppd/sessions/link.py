"""What is between a session and its client's socket."""

from __future__ import annotations

from typing import Protocol

from xmppd.errors import StreamError
from xmppd.stanza import Stanza


class Link(Protocol):
    """The connection behind a session."""

    def write(self, data: bytes) -> None:
        """Send ``data``; never waits."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> bool:
        """Wait until the socket took everything that was written; False if the connection was lost before."""

    def fail(self, error: StreamError) -> None:
        """End the stream with ``error``, and the session with it."""

    def release(self, error: StreamError) -> None:
        """End the stream with ``error``; the session goes on without it."""


class Gate(Protocol):
    """May hold stanzas back for an inactive client (XEP-0352)."""

    def hold(self, stanza: Stanza) -> bool:
        """True: the gate keeps ``stanza`` and gives it to the link later. False: send it now, all that was
        held has been sent.
        """

    def flush(self) -> None:
        """Send all that is held."""
