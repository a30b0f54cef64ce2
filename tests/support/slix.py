"""slixmpp, as an application uses it, with what happens put into queues.

async with Person(server, "juliet") as juliet:
    juliet.xmpp.send_message(...)
    stanza = await juliet.next("message")
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final, Self

from slixmpp import ClientXMPP

from tests.support.process import DOMAIN, PASSWORD, ServerProcess

SECONDS: Final = 10.0
PLUGINS: Final = (
    "xep_0012", "xep_0030", "xep_0048", "xep_0049", "xep_0054", "xep_0077", "xep_0092", "xep_0153", "xep_0191",
    "xep_0199", "xep_0202", "xep_0203", "xep_0280", "xep_0352",
)  # fmt: skip
EVENTS: Final = (
    "session_start", "failed_all_auth", "disconnected", "stream_error", "message", "message_error",
    "presence_available", "presence_away", "presence_unavailable", "presence_subscribe", "presence_subscribed",
    "carbon_received", "carbon_sent", "vcard_avatar_update", "session_resumed",
)  # fmt: skip


class LoginRefused(Exception):
    """Every mechanism that the client tried was refused."""


class Person:
    """One logged-in client. It answers subscription requests only when told to."""

    def __init__(
        self,
        server: ServerProcess,
        name: str,
        *,
        password: str = PASSWORD,
        mechanism: str | None = None,
        direct_tls: bool = True,
        present: bool = True,
        managed: bool = False,
    ) -> None:
        """``name``: localpart, or localpart and resource. ``present``: send initial presence and ask for the roster.
        ``managed``: with stream management (XEP-0198).
        """
        self._address = server.c2s_tls if direct_tls else server.c2s
        self._present = present
        self._queues: dict[str, asyncio.Queue[Any]] = {}
        user, _, resource = name.partition("/")
        self.bare = f"{user}@{DOMAIN}"
        jid = f"{self.bare}/{resource}" if resource else self.bare
        xmpp = self.xmpp = ClientXMPP(jid, password, sasl_mech=mechanism)
        xmpp.ca_certs = server.certificate
        xmpp.enable_direct_tls = direct_tls
        xmpp.enable_starttls = not direct_tls
        xmpp.enable_plaintext = False
        xmpp.auto_authorize = None
        xmpp.auto_subscribe = False
        for plugin in (*PLUGINS, "xep_0198") if managed else PLUGINS:
            xmpp.register_plugin(plugin)
        for event in EVENTS:
            queue = self._queues[event] = asyncio.Queue()
            xmpp.add_event_handler(event, queue.put_nowait)

    async def __aenter__(self) -> Self:
        try:
            await self._log_in()
        except BaseException:
            await self._close()
            raise
        return self

    async def _log_in(self) -> None:
        self.xmpp.connect(*self._address)
        started = asyncio.ensure_future(self.next("session_start"))
        refused = asyncio.ensure_future(self.next("failed_all_auth"))
        done, waiting = await asyncio.wait([started, refused], return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            task.result()
        if refused in done:
            raise LoginRefused
        if self._present:
            await self.xmpp.get_roster()
            self.xmpp.send_presence()
            await self.until("presence_available", lambda got: got["from"] == self.xmpp.boundjid)

    def reconnect(self) -> None:
        """Connect once more, after the connection was lost."""
        self.xmpp.connect(*self._address)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        xmpp = self.xmpp
        await xmpp.disconnect()
        xmpp.cancel_connection_attempt()
        sender = xmpp._run_out_filters
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def plugin(self, name: str) -> Any:
        """The plugin for an XEP: ``plugin("xep_0199").ping(...)``."""
        return self.xmpp.plugin[name]

    async def next(self, event: str, seconds: float = SECONDS) -> Any:
        """What ``event`` came with, the next time that it happens, or happened."""
        try:
            return await asyncio.wait_for(self._queues[event].get(), seconds)
        except TimeoutError as late:
            raise AssertionError(f"{self.bare} waited in vain for {event}") from late

    async def until(self, event: str, wanted: Any, seconds: float = SECONDS) -> Any:
        """As ``next``, passing over those that are not ``wanted``."""
        async with asyncio.timeout(seconds):
            while not wanted(got := await self.next(event, seconds)):
                pass
        return got

    def quiet(self, event: str) -> None:
        """``event`` has not happened since anybody asked last."""
        queue = self._queues[event]
        assert queue.empty(), f"{self.bare} got {queue.get_nowait()}"
