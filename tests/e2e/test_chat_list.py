"""A chat list over TLS with a client that is not ours: what it marked as read is read after kill -9, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.support.process import DOMAIN, ServerProcess
from tests.support.slix import Person

INBOX = "{urn:xmpp:inbox:1}"


async def chats(person: Person) -> dict[str, int]:
    """Unread messages by contact, and under "" the total that the server counted."""
    lines: list[Any] = []
    wanted = MatchXPath(f"{{jabber:client}}message/{INBOX}entry")
    person.xmpp.register_handler(Callback("inbox", wanted, lines.append))
    iq = person.xmpp.make_iq_get()
    iq.append(ET.Element(f"{INBOX}inbox"))
    answer = await iq.send()
    person.xmpp.remove_handler("inbox")
    found = {"": int(answer.xml.find(f"{INBOX}fin").get("all-unread"))}
    for line in lines:
        entry = line.xml.find(f"{INBOX}entry")
        found[entry.get("jid").partition("@")[0]] = int(entry.get("unread"))
    return found


async def test_what_was_marked_is_read_after_the_server_was_killed(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, accounts=["juliet", "romeo", "nurse"])
    with server.running():
        async with Person(server, "romeo") as romeo, Person(server, "nurse") as nurse:
            async with Person(server, "juliet/phone") as juliet:
                for friend in (romeo, nurse):
                    for number in range(3):
                        message = friend.xmpp.make_message(juliet.bare, f"message {number}", mtype="chat")
                        message["id"] = f"m{number}"
                        message.send()
                        await juliet.next("message")
                assert await chats(juliet) == {"": 6, "romeo": 3, "nurse": 3}
                marker = juliet.xmpp.make_message(romeo.bare, mtype="chat")
                marker.append(ET.Element("{urn:xmpp:chat-markers:0}displayed", {"id": "m1"}))
                marker.send()
                await juliet.plugin("xep_0199").ping(jid=DOMAIN)  # answered behind the marker
            server.kill()
    with server.running():
        async with Person(server, "juliet/laptop") as juliet:
            assert await chats(juliet) == {"": 4, "romeo": 1, "nurse": 3}
