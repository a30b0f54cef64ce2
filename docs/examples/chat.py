"""A chat client for the terminal, to try a server with. It needs slixmpp (`pip install slixmpp`).

    python docs/examples/chat.py romeo@localhost juliet@localhost --trust data/cert.pem

What is typed goes to the second address, but for /add (ask for their presence), /away [TEXT], /back, /history (the last
ten messages), /seen (when were they last there?) and /quit. Requests of others are accepted, and answered with one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from slixmpp import JID, ClientXMPP, Message, Presence
from slixmpp.exceptions import IqError

_TOLD: Final = {
    "subscribe": "wants to see when you are there",
    "subscribed": "lets you see when they are there",
    "available": "is online",
    "unavailable": "is offline",
}


class Chat(ClientXMPP):  # type: ignore[misc]  # slixmpp has no types
    """One person at a terminal, talking to ``peer``."""

    def __init__(self, me: str, password: str, peer: str) -> None:
        super().__init__(me, password)
        self.peer = JID(peer)
        self.settled = asyncio.Event()  # whether we are in
        self.trouble = "no answer"
        self.enable_plaintext = self.enable_direct_tls = False  # STARTTLS and nothing else
        # Last activity, ping, delayed delivery, history.
        for plugin in ("xep_0012", "xep_0199", "xep_0203", "xep_0313"):
            self.register_plugin(plugin)
        self._presences: dict[JID, str] = {}
        self.add_event_handler("session_start", self._on_start)
        self.add_event_handler("message", self._on_message)
        self.add_event_handler("message_error", self._on_message)
        self.add_event_handler("presence", self._on_presence)
        self.add_event_handler("failed_all_auth", self._refused)
        self.add_event_handler("connection_failed", self._failed)

    def _failed(self, reason: object) -> None:
        self.trouble = str(reason)

    def _refused(self, _: object) -> None:
        self.trouble = "the login was refused"
        self.settled.set()

    async def _on_start(self, _: object) -> None:
        await self.get_roster()
        self.send_presence()
        say(f"logged in as {self.boundjid.bare} over {self.socket.version()}")
        self.trouble = ""
        self.settled.set()

    def _on_message(self, message: Message) -> None:
        late = f" (sent at {message['delay']['stamp']:%H:%M:%S} UTC)" if message["delay"]["stamp"] else ""
        if message["type"] == "error":
            error = message["error"]
            say(f"not delivered to {message['from']}: {error['condition']} {error['text']}".rstrip())
        elif message["body"]:
            say(f"{message['from'].bare}: {message['body']}{late}")

    def _on_presence(self, presence: Presence) -> None:
        text = f" ({presence['status']})" if presence["status"] else ""
        told = f"* {presence['from'].bare} {_TOLD.get(presence['type'], 'is ' + presence['type'])}{text}"
        if presence["from"].bare != self.boundjid.bare and self._presences.get(presence["from"]) != told:
            self._presences[presence["from"]] = told  # clients tell it more than once
            say(told)

    async def do(self, line: str) -> None:
        """Act on one typed line."""
        command, _, rest = line.partition(" ")
        match command:
            case "/add":
                self.send_presence_subscription(self.peer)
            case "/away":
                self.send_presence(pshow="away", pstatus=rest)
            case "/back":
                self.send_presence()
            case "/history":
                await self._history()
            case "/seen":
                await self._seen()
            case _ if line:
                self.send_message(self.peer, line, mtype="chat")

    async def _history(self) -> None:
        newest = self.plugin["xep_0313"].iterate(with_jid=self.peer, reverse=True, total=10)
        for result in reversed([result async for result in newest]):
            forwarded = result["mam_result"]["forwarded"]
            message, at = forwarded["stanza"], forwarded["delay"]["stamp"]
            if message["body"]:
                say(f"{at:%H:%M:%S} {message['from'].bare}: {message['body']}")

    async def _seen(self) -> None:
        try:
            answer = await self.plugin["xep_0012"].get_last_activity(self.peer)
        except IqError as error:
            say(f"the server does not tell: {error.condition}")
            return
        ago = timedelta(seconds=answer["last_activity"]["seconds"])
        say(f"* {self.peer} was last there at {datetime.now(UTC) - ago:%H:%M:%S} UTC")


def say(text: str) -> None:
    print(text, flush=True)


async def talk(chat: Chat) -> None:
    """Do what is typed until /quit or the end of the input."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        if line.strip() == b"/quit":
            return
        await chat.do(line.decode().strip())


async def main() -> None:
    parser = argparse.ArgumentParser(description="Chat in the terminal.")
    parser.add_argument("me", help="your address")
    parser.add_argument("peer", help="whom you talk to")
    parser.add_argument("--trust", metavar="FILE", help="the certificate of a server that made its own")
    parser.add_argument("--server", metavar="HOST:PORT", help="where it is, if the DNS does not tell")
    arguments = parser.parse_args()
    ask = getpass.getpass if sys.stdin.isatty() else lambda _: sys.stdin.buffer.readline().decode().strip()
    chat = Chat(arguments.me, ask(f"Password of {arguments.me}: "), arguments.peer)
    if arguments.trust:
        chat.ca_certs = arguments.trust
    host, _, port = (arguments.server or "").rpartition(":")
    chat.connect(*((host, int(port)) if host else ()))
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(chat.settled.wait(), 10)
        if chat.trouble:
            sys.exit(f"not logged in: {chat.trouble}")
        await talk(chat)
    finally:
        await chat.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
